//! RON text to tokens, each with its byte range. Reports what is wrong inside a token (a bad escape, a number out of range)
//! and goes on with a stand-in, so that the parser can look for more.

use crate::number::{self, Number};
use crate::{FileId, Problem, Span};
use unicode_ident::{is_xid_continue, is_xid_start};

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Token {
    Open(Bracket),
    Close(Bracket),
    Colon,
    Comma,
    /// `..` or `..=`
    Range,
    /// A raw name (`r#true`) is never a keyword.
    Name {
        text: String,
        raw: bool,
    },
    Number(Number),
    Str(String),
    Bytes(Vec<u8>),
    Char(char),
    /// Something that is no RON: `=`, `;`, `@` …
    Other(String),
    /// A literal whose problem is already reported.
    Invalid,
    End,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bracket {
    Round,
    Square,
    Curly,
}

impl Bracket {
    pub fn open(self) -> char {
        match self {
            Bracket::Round => '(',
            Bracket::Square => '[',
            Bracket::Curly => '{',
        }
    }
    pub fn close(self) -> char {
        match self {
            Bracket::Round => ')',
            Bracket::Square => ']',
            Bracket::Curly => '}',
        }
    }
}

impl Token {
    /// What the token is, for messages.
    pub fn what(&self) -> String {
        match self {
            Token::Open(b) => format!("`{}`", b.open()),
            Token::Close(b) => format!("`{}`", b.close()),
            Token::Colon => "`:`".into(),
            Token::Comma => "`,`".into(),
            Token::Range => "`..`".into(),
            Token::Name { text, .. } => format!("`{}`", crate::print::shorten(text)),
            Token::Number(_) => "a number".into(),
            Token::Str(_) => "a string".into(),
            Token::Bytes(_) => "a byte string".into(),
            Token::Char(_) => "a character".into(),
            Token::Other(text) => format!("`{text}`"),
            Token::Invalid => "a malformed value".into(),
            Token::End => "the end of the text".into(),
        }
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Lexeme {
    pub token: Token,
    pub span: Span,
}

pub(crate) struct Lexed {
    /// Ends with [`Token::End`].
    pub tokens: Vec<Lexeme>,
    pub problems: Vec<Problem>,
    /// Something is open at the end of the text since here: what follows cannot be trusted.
    pub torn: Option<Problem>,
}

pub(crate) fn lex(file: FileId, text: &str) -> Lexed {
    let mut lexer = Lexer { file, text, at: 0, problems: vec![], torn: None, suspect: None };
    // Editors on Windows leave a byte order mark.
    lexer.eat("\u{feff}");
    let mut tokens = vec![];
    loop {
        lexer.skip_blank();
        let start = lexer.at;
        let token = lexer.token();
        let done = token == Token::End;
        tokens.push(Lexeme { token, span: Span::new(file, start, lexer.at) });
        if done {
            return Lexed { tokens, problems: lexer.problems, torn: lexer.torn };
        }
    }
}

struct Lexer<'a> {
    file: FileId,
    text: &'a str,
    at: usize,
    problems: Vec<Problem>,
    torn: Option<Problem>,
    /// The first string that goes over a line end and is followed by what cannot follow a string: if quotes turn out not to
    /// pair up, here is where one is missing.
    suspect: Option<usize>,
}

/// What an escape stands for.
enum Escape {
    Char(char),
    /// `\x80` in a byte string is one byte, not the letter U+0080.
    Byte(u8),
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        Some(c)
    }

    fn eat(&mut self, prefix: &str) -> bool {
        let found = self.rest().starts_with(prefix);
        if found {
            self.at += prefix.len();
        }
        found
    }

    fn run(&self, from: usize, belongs: impl Fn(char) -> bool) -> usize {
        let rest = &self.text[from..];
        rest.find(|c| !belongs(c)).unwrap_or(rest.len())
    }

    fn span(&self, start: usize) -> Span {
        Span::new(self.file, start, self.at)
    }

    fn problem(&mut self, start: usize, message: impl Into<String>) -> &mut Problem {
        let span = self.span(start);
        self.problems.push(Problem::error(span, message));
        let last = self.problems.len() - 1;
        &mut self.problems[last]
    }

    /// Reports that what began at `start` never ends, and ends the text.
    fn tear(&mut self, start: usize, length: usize, what: &str, closer: &str) {
        let start_at = if what == "string" { self.suspect.unwrap_or(start) } else { start };
        let line = self.text[start_at..].find('\n').unwrap_or(self.text.len() - start_at);
        let length = if start_at == start { length } else { line };
        self.at = self.text.len();
        self.torn = Some(
            Problem::error(Span::new(self.file, start_at, start_at + length), format!("this {what} is never closed"))
                .help(format!("close it with `{closer}`")),
        );
    }

    fn skip_blank(&mut self) {
        loop {
            self.at += self.run(self.at, is_blank);
            let start = self.at;
            if self.eat("//") {
                self.at += self.run(self.at, |c| c != '\n');
            } else if self.eat("/*") {
                let mut level = 1;
                while level > 0 {
                    self.at += self.run(self.at, |c| c != '/' && c != '*');
                    if self.eat("/*") {
                        level += 1;
                    } else if self.eat("*/") {
                        level -= 1;
                    } else if self.next().is_none() {
                        return self.tear(start, 2, "comment", "*/");
                    }
                }
            } else {
                return;
            }
        }
    }

    fn token(&mut self) -> Token {
        let start = self.at;
        let Some(c) = self.peek() else { return Token::End };
        match c {
            '(' | ')' | '[' | ']' | '{' | '}' | ':' | ',' => {
                self.at += 1;
                match c {
                    '(' => Token::Open(Bracket::Round),
                    ')' => Token::Close(Bracket::Round),
                    '[' => Token::Open(Bracket::Square),
                    ']' => Token::Close(Bracket::Square),
                    '{' => Token::Open(Bracket::Curly),
                    '}' => Token::Close(Bracket::Curly),
                    ':' => Token::Colon,
                    _ => Token::Comma,
                }
            }
            '"' => self.string(1, false),
            'b' if self.rest().starts_with("b\"") => self.string(2, true),
            'b' if self.rest().starts_with("br\"") || self.rest().starts_with("br#") => self.raw_string(2, true),
            'r' if self.rest().starts_with("r\"")
                || self.rest().starts_with("r##")
                || self.rest().starts_with("r#\"") =>
            {
                self.raw_string(1, false)
            }
            'b' if self.rest().starts_with("b'") => self.byte(),
            '\'' => self.char(),
            '.' if self.eat("..=") || self.eat("..") => Token::Range,
            '0'..='9' | '+' | '-' | '.' => self.number(),
            'r' if self.eat("r#") => {
                let length = self.run(self.at, is_raw_name);
                if length == 0 {
                    self.problem(start, "expected a name after `r#`");
                    return Token::Invalid;
                }
                self.at += length;
                Token::Name { text: self.text[start + 2..self.at].into(), raw: true }
            }
            c if c == '_' || is_xid_start(c) => {
                self.at += self.run(start, is_xid_continue).max(c.len_utf8());
                self.name(start)
            }
            _ => {
                self.at += c.len_utf8();
                if c == '=' {
                    self.eat(">");
                }
                Token::Other(self.text[start..self.at].into())
            }
        }
    }

    /// After the letters of a name: a `-`, `+` or `.` that sticks to it means a raw name was meant.
    fn name(&mut self, start: usize) -> Token {
        let text = &self.text[start..self.at];
        let raw = self.run(start, is_raw_name);
        if raw > text.len() && !self.rest().starts_with("..") && !number::is_word(text) {
            self.at = start + raw;
            let text = self.text[start..self.at].to_string();
            self.problem(start, format!("`{text}` is not a plain name")).help =
                Some(format!("write `r#{text}`, or quote a string"));
            return Token::Name { text, raw: true };
        }
        Token::Name { text: text.into(), raw: false }
    }

    fn number(&mut self) -> Token {
        let start = self.at;
        self.at += number::length(self.rest());
        match number::parse(&self.text[start..self.at]) {
            Ok(number) => Token::Number(number),
            Err(message) => {
                self.problem(start, message);
                Token::Invalid
            }
        }
    }

    fn byte(&mut self) -> Token {
        let start = self.at;
        self.at += 2;
        let byte = match self.next() {
            Some('\\') => self.escape(true, true).and_then(|e| match e {
                Escape::Byte(b) => Some(b),
                Escape::Char(c) => c.is_ascii().then_some(c as u8),
            }),
            Some(c) if c.is_ascii() => Some(c as u8),
            _ => None,
        };
        match byte {
            Some(byte) if self.eat("'") => Token::Number(Number::Int(byte.into())),
            _ => {
                self.problem(start, "expected one ASCII character between quotes, as in `b'x'`");
                Token::Invalid
            }
        }
    }

    fn char(&mut self) -> Token {
        let start = self.at;
        self.at += 1;
        let found = self.problems.len();
        let c = match self.next() {
            Some('\\') => match self.escape(false, true) {
                Some(Escape::Char(c)) => Some(c),
                _ => None,
            },
            c => c,
        };
        if let Some(c) = c
            && self.eat("'")
        {
            return Token::Char(c);
        }
        // Not a character: most probably a string in single quotes, which ends on its own line.
        self.problems.truncate(found);
        self.at = start + 1;
        let length = self.run(self.at, |c| c != '\n' && c != '\'');
        if self.text[self.at + length..].starts_with('\'') {
            let inner = self.text[self.at..self.at + length].to_string();
            self.at += length + 1;
            let problem = self.problem(start, "expected one character between single quotes");
            problem.help = Some(format!("a string is written in double quotes: {}", crate::print::quote(&inner)));
        } else {
            self.at += self.run(self.at, is_xid_continue);
            let problem = self.problem(start, "expected one character and a closing single quote");
            problem.help = Some("a string is written in double quotes".into());
        }
        Token::Invalid
    }

    fn raw_string(&mut self, prefix: usize, bytes: bool) -> Token {
        let start = self.at;
        self.at += prefix;
        let hashes = self.run(self.at, |c| c == '#');
        let closer = format!("\"{}", &self.text[self.at..self.at + hashes]);
        self.at += hashes;
        if !self.eat("\"") {
            self.problem(start, "expected `\"` to begin a raw string");
            return Token::Invalid;
        }
        let from = self.at;
        let Some(length) = self.rest().find(&closer) else {
            self.tear(start, prefix + hashes + 1, "raw string", &closer);
            return Token::Invalid;
        };
        self.at += length + closer.len();
        let inner = &self.text[from..from + length];
        if bytes { Token::Bytes(inner.as_bytes().to_vec()) } else { Token::Str(inner.into()) }
    }

    fn string(&mut self, prefix: usize, binary: bool) -> Token {
        let start = self.at;
        self.at += prefix;
        let mut bytes: Vec<u8> = vec![];
        loop {
            let length = self.run(self.at, |c| c != '"' && c != '\\');
            bytes.extend_from_slice(&self.text.as_bytes()[self.at..self.at + length]);
            self.at += length;
            match self.next() {
                Some('"') => break,
                Some(_) if self.eat("\n") || self.eat("\r\n") => {
                    self.at += self.run(self.at, |c| matches!(c, ' ' | '\t' | '\n' | '\r'));
                }
                Some(_) => match self.escape(binary, false) {
                    Some(Escape::Byte(b)) => bytes.push(b),
                    Some(Escape::Char(c)) => bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
                    None => {}
                },
                None => {
                    self.tear(start, prefix, "string", "\"");
                    return Token::Invalid;
                }
            }
        }
        let follows = self.rest().trim_start().chars().next();
        let fits = follows.is_none_or(|c| matches!(c, ',' | ':' | ')' | ']' | '}' | '/'));
        if self.suspect.is_none() && !fits && self.text[start..self.at].contains('\n') {
            self.suspect = Some(start);
        }
        if binary {
            return Token::Bytes(bytes);
        }
        match String::from_utf8(bytes) {
            Ok(text) => Token::Str(text),
            Err(_) => Token::Invalid,
        }
    }

    /// The character of an escape whose backslash is read; `None` (and a problem) if it is not one.
    fn escape(&mut self, binary: bool, single: bool) -> Option<Escape> {
        let start = self.at - 1;
        let c = match self.peek() {
            // A quote may be the end of the string; leave line ends for the message to show.
            None | Some('\n' | '\r') => None,
            Some(c) => {
                self.at += c.len_utf8();
                Some(c)
            }
        };
        let value = match c {
            Some(c @ ('\'' | '"' | '\\')) => Some(c),
            Some('n') => Some('\n'),
            Some('r') => Some('\r'),
            Some('t') => Some('\t'),
            Some('0') => Some('\0'),
            Some('x') if binary => {
                if let Some(byte) = self.hex_byte() {
                    return Some(Escape::Byte(byte));
                }
                None
            }
            Some('x') => self.hex_char(single),
            Some('u') if self.eat("{") => {
                let length = self.run(self.at, |c| c.is_ascii_hexdigit());
                let digits = &self.text[self.at..self.at + length];
                self.at += length;
                let value = if (1..=6).contains(&length) { u32::from_str_radix(digits, 16).ok() } else { None };
                let closed = self.eat("}");
                value.filter(|_| closed).and_then(char::from_u32)
            }
            _ => None,
        };
        if value.is_none() {
            let text = crate::print::shorten(&self.text[start..self.at]);
            self.problem(start, format!("`{text}` is no escape")).help =
                Some("escapes are \\n \\r \\t \\0 \\\\ \\\" \\' \\x41 \\u{1F600}; a backslash itself is \\\\".into());
        }
        value.map(Escape::Char)
    }

    fn hex_byte(&mut self) -> Option<u8> {
        let digits = self.rest().get(..2).filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()))?;
        self.at += 2;
        u8::from_str_radix(digits, 16).ok()
    }

    /// In text, `\x` escapes spell the UTF-8 bytes of one character.
    fn hex_char(&mut self, single: bool) -> Option<char> {
        let mut bytes = vec![self.hex_byte()?];
        loop {
            if let Ok(text) = std::str::from_utf8(&bytes) {
                return text.chars().next();
            }
            if single || bytes.len() == 4 || !self.eat("\\x") {
                return None;
            }
            bytes.push(self.hex_byte()?);
        }
    }
}

fn is_raw_name(c: char) -> bool {
    matches!(c, '.' | '+' | '-') || is_xid_continue(c)
}

fn is_blank(c: char) -> bool {
    matches!(
        c,
        ' ' | '\t' | '\n' | '\r' | '\x0B' | '\x0C' | '\u{85}' | '\u{200E}' | '\u{200F}' | '\u{2028}' | '\u{2029}'
    )
}
