//! Tokens to the tree, by recursive descent. After a mistake it goes on at the next comma or closing bracket of the same
//! nesting, so one reading reports every mistake once.

use crate::lexer::{Bracket, Lexeme, Token, lex};
use crate::number::{self, Number};
use crate::{Field, FileId, Problem, Problems, Span, Value, ValueKind};
use std::collections::HashSet;

/// Deeper documents are refused: every later stage walks the tree by recursion.
const MAX_DEPTH: usize = 128;

/// After so many mistakes the rest of the text is not read.
const MAX_PROBLEMS: usize = 100;

/// Parses one document.
///
/// Reads what `ron` 0.12 reads, and one form more: positional values followed by named ones, `Cast("qty", Int32, strict: true)`.
/// That is a struct whose first fields are named `0`, `1`, … Duplicate fields and keys are errors.
pub fn parse(file: FileId, text: &str) -> Result<Value, Problems> {
    if u32::try_from(text.len()).is_err() {
        return Err(Problem::error(Span::new(file, 0, 0), "the text is too long, expected less than 4 GiB").into());
    }
    let lexed = lex(file, text);
    let torn = lexed.torn;
    let from = torn.as_ref().and_then(|p| p.span).map_or(u32::MAX, |s| s.start);
    let mut parser = Parser {
        text,
        torn: from,
        tokens: lexed.tokens,
        at: 0,
        depth: 0,
        open: vec![],
        problems: vec![],
        stopped: false,
        told_end: false,
    };
    parser.problems.extend(lexed.problems.into_iter().map(|p| Found { depth: usize::MAX, problem: p }));
    let value = parser.document();

    let mut problems: Vec<Problem> = parser.problems.into_iter().map(|f| f.problem).collect();
    problems.retain(|p| p.span.is_none_or(|s| s.start < from));
    problems.extend(torn);
    problems.sort_by_key(|p| p.span.map(|s| s.start));
    problems.dedup_by(|a, b| a.span == b.span);
    Problems(problems).or(value)
}

/// A problem and the nesting of the container in which it was met.
struct Found {
    depth: usize,
    problem: Problem,
}

pub(crate) struct Parser<'a> {
    text: &'a str,
    pub(crate) tokens: Vec<Lexeme>,
    pub(crate) at: usize,
    depth: usize,
    /// The brackets that are open here.
    open: Vec<Bracket>,
    problems: Vec<Found>,
    /// From here on the text cannot be trusted: a string or comment without an end.
    torn: u32,
    /// Nothing more is to be reported: the text is too deep, or there is too much wrong with it.
    stopped: bool,
    /// A bracket that is open at the end of the text is reported.
    told_end: bool,
}

/// How one container ended.
enum Next {
    Item,
    Close,
}

impl Parser<'_> {
    pub(crate) fn peek(&self) -> &Token {
        self.ahead(0)
    }

    fn ahead(&self, n: usize) -> &Token {
        // The last token is `End`, and nothing reads past it.
        &self.tokens[(self.at + n).min(self.tokens.len() - 1)].token
    }

    pub(crate) fn span(&self) -> Span {
        self.tokens[self.at.min(self.tokens.len() - 1)].span
    }

    pub(crate) fn next(&mut self) -> Lexeme {
        let i = self.at.min(self.tokens.len() - 1);
        self.at = (self.at + 1).min(self.tokens.len() - 1);
        let span = self.tokens[i].span;
        let token = if i == self.tokens.len() - 1 {
            Token::End
        } else {
            std::mem::replace(&mut self.tokens[i].token, Token::Invalid)
        };
        Lexeme { token, span }
    }

    pub(crate) fn eat(&mut self, token: &Token) -> bool {
        let found = self.peek() == token;
        if found {
            self.next();
        }
        found
    }

    pub(crate) fn report(&mut self, problem: Problem) {
        if !self.stopped && self.span().start < self.torn {
            self.problems.push(Found { depth: self.depth, problem });
        }
        if self.problems.len() >= MAX_PROBLEMS {
            self.stop();
        }
    }

    /// Nothing more is read or reported.
    fn stop(&mut self) {
        self.stopped = true;
        self.at = self.tokens.len() - 1;
    }

    fn expected(&mut self, what: &str) -> Problem {
        Problem::error(self.span(), format!("expected {what}, found {}", self.peek().what()))
    }

    fn document(&mut self) -> Value {
        while self.attribute() {}
        let value = self.value("a value");
        if *self.peek() != Token::End && !self.stopped {
            let problem = self.expected("the end of the text");
            let problem = match self.peek() {
                Token::Close(b) => {
                    Problem::error(self.span(), format!("`{}` closes nothing", b.close())).help("remove it")
                }
                _ => problem.help("a document is one value"),
            };
            self.report(problem);
        }
        value
    }

    /// One value. Reports and returns a stand-in if there is none; then nothing is consumed that a container could need.
    fn value(&mut self, expected: &str) -> Value {
        let span = self.span();
        let simple = |kind| Value { span, kind };
        match self.peek() {
            Token::Open(bracket) => {
                let bracket = *bracket;
                self.container(bracket, None, span)
            }
            Token::Name { .. } => self.named(),
            Token::Number(number) => {
                let number = *number;
                self.next();
                self.after_number(span, number)
            }
            Token::Range => {
                self.next();
                match self.number() {
                    Some((end_span, end)) => range(join(span, end_span), vec![("end", end_span, end)]),
                    None => simple(ValueKind::Unit { name: None }),
                }
            }
            Token::Str(_) | Token::Bytes(_) | Token::Char(_) | Token::Invalid => {
                let kind = match self.next().token {
                    Token::Str(text) => ValueKind::Str(text),
                    Token::Bytes(bytes) => ValueKind::Bytes(bytes),
                    Token::Char(c) => ValueKind::Char(c),
                    _ => ValueKind::Unit { name: None },
                };
                simple(kind)
            }
            Token::Close(_) | Token::Colon | Token::Comma | Token::Other(_) | Token::End => {
                let problem = self.expected(expected);
                self.report(problem);
                simple(ValueKind::Unit { name: None })
            }
        }
    }

    /// A value that begins with a name: a keyword, a unit, or the name of a struct.
    fn named(&mut self) -> Value {
        let Lexeme { token: Token::Name { text, raw }, span } = self.next() else {
            return Value { span: self.span(), kind: ValueKind::Unit { name: None } };
        };
        if !raw {
            if let Some(number) = number::word(&text) {
                return self.after_number(span, number);
            }
            match text.as_str() {
                "true" => return Value { span, kind: ValueKind::Bool(true) },
                "false" => return Value { span, kind: ValueKind::Bool(false) },
                "None" => return Value { span, kind: ValueKind::Option(None) },
                "Some" => return self.some(span),
                _ => {}
            }
        }
        if *self.peek() == Token::Open(Bracket::Round) {
            self.container(Bracket::Round, Some(text), span)
        } else {
            Value { span, kind: ValueKind::Unit { name: Some(text) } }
        }
    }

    fn some(&mut self, span: Span) -> Value {
        if *self.peek() != Token::Open(Bracket::Round) {
            let problem = self.expected("`(` after `Some`").help("write `Some(value)`, or the value alone");
            self.report(problem);
            return Value { span, kind: ValueKind::Option(None) };
        }
        let inner_span = self.span();
        let inner = self.container(Bracket::Round, None, inner_span);
        let whole = join(span, inner.span);
        // `Some(x)` holds x; with fields or several values in it, it holds what stands in the brackets.
        let inner = match inner.kind {
            ValueKind::Tuple { mut items, .. } if items.len() == 1 => items.remove(0),
            kind => Value { span: inner.span, kind },
        };
        Value { span: whole, kind: ValueKind::Option(Some(Box::new(inner))) }
    }

    /// After a number: perhaps the rest of a range, which reads as a struct with `start` and `end`.
    fn after_number(&mut self, span: Span, number: Number) -> Value {
        if *self.peek() != Token::Range {
            return Value { span, kind: kind_of(number) };
        }
        let dots = self.next().span;
        match self.number() {
            Some((end_span, end)) => range(join(span, end_span), vec![("start", span, number), ("end", end_span, end)]),
            None => range(join(span, dots), vec![("start", span, number)]),
        }
    }

    fn number(&mut self) -> Option<(Span, Number)> {
        let number = match self.peek() {
            Token::Number(number) => Some(*number),
            Token::Name { text, raw: false } => number::word(text),
            _ => None,
        }?;
        Some((self.next().span, number))
    }

    /// `(…)`, `[…]` or `{…}`, after a name if there is one.
    fn container(&mut self, bracket: Bracket, name: Option<String>, name_span: Span) -> Value {
        let opener = self.next().span;
        let start = if name.is_some() { name_span } else { opener };
        if self.depth == MAX_DEPTH {
            self.report(Problem::error(opener, format!("nested deeper than {MAX_DEPTH} levels")));
            self.stop();
        }
        self.depth += 1;
        self.open.push(bracket);
        let before = self.problems.len();
        let mut kind = match bracket {
            Bracket::Square => ValueKind::List(self.positional(bracket)),
            Bracket::Curly => ValueKind::Map(self.entries()),
            Bracket::Round => self.round(),
        };
        self.open.pop();
        self.depth -= 1;
        let end = self.span();
        if !self.eat(&Token::Close(bracket)) {
            self.unclosed(opener, bracket, before);
        }
        if let Some(text) = name {
            match &mut kind {
                ValueKind::Tuple { name, name_span: at, .. } | ValueKind::Struct { name, name_span: at, .. } => {
                    *name = Some(text);
                    *at = name_span;
                }
                _ => {}
            }
        } else if matches!(&kind, ValueKind::Tuple { items, .. } if items.is_empty()) {
            kind = ValueKind::Unit { name: None };
        }
        Value { span: join(start, end), kind }
    }

    /// The bracket at `opener` has no end. What was found wrong directly inside it follows from that, most probably. At the
    /// end of the text the innermost open bracket is told, and no other.
    fn unclosed(&mut self, opener: Span, bracket: Bracket, before: usize) {
        let at_end = *self.peek() == Token::End;
        if self.stopped || (at_end && self.told_end) {
            return;
        }
        self.told_end |= at_end;
        let inside = self.depth + 1;
        let kept: Vec<Found> = self.problems.drain(before..).filter(|f| f.depth != inside).collect();
        self.problems.extend(kept);
        let help = if at_end {
            format!("expected `{}` before the end of the text", bracket.close())
        } else {
            let line = 1 + self.text.as_bytes()[..self.span().start as usize].iter().filter(|b| **b == b'\n').count();
            format!("expected `{}` before the {} of line {line}", bracket.close(), self.peek().what())
        };
        if self.span().start < self.torn {
            let problem = Problem::error(opener, format!("`{}` is never closed", bracket.open())).help(help);
            self.problems.push(Found { depth: usize::MAX, problem });
        }
        if self.problems.len() >= MAX_PROBLEMS {
            self.stop();
        }
    }

    /// What stands in round brackets: fields, or values, or values and then fields.
    fn round(&mut self) -> ValueKind {
        let nameless = Span { end: self.span().start, start: self.span().start, ..self.span() };
        let mut items: Vec<Value> = vec![];
        let mut fields: Vec<Field> = vec![];
        let mut seen: HashSet<String> = HashSet::new();
        let mut told = false;
        let mut first = true;
        while let Next::Item = self.item(Bracket::Round, std::mem::take(&mut first)) {
            let span = self.span();
            if let (Token::Name { text, .. }, true) = (self.peek(), is_field_mark(self.ahead(1))) {
                let name = text.clone();
                self.next();
                self.colon("a field's name");
                let value = self.value(&format!("the value of `{name}`"));
                if !seen.insert(name.clone()) {
                    self.report(
                        Problem::error(span, format!("the field `{name}` is here twice")).help("remove one of the two"),
                    );
                } else {
                    fields.push(Field { name, name_span: span, value });
                }
                continue;
            }
            let found = self.peek().what();
            let item = self.value("a value");
            if matches!(self.peek(), Token::Colon) {
                if !told {
                    let key = item.as_str().map(str::to_string);
                    let problem =
                        Problem::error(item.span, format!("expected a field's name before the `:`, found {found}"));
                    self.report(match key {
                        Some(key) if !key.is_empty() => {
                            problem.help(format!("field names have no quotes: {}: …", crate::print::name(&key)))
                        }
                        _ => problem.help("a struct is (name: value, …), a map is {key: value, …}"),
                    });
                    told = true;
                }
                self.next();
                self.value("a value");
            } else if !fields.is_empty() {
                if !told {
                    self.report(
                        Problem::error(item.span, format!("expected `name: value`, found {found}"))
                            .help("after the first named field, all are named"),
                    );
                    told = true;
                }
                self.skip();
            } else {
                items.push(item);
            }
        }
        if fields.is_empty() {
            return ValueKind::Tuple { name: None, name_span: nameless, items };
        }
        let positional =
            items.into_iter().enumerate().map(|(i, value)| Field { name: i.to_string(), name_span: value.span, value });
        ValueKind::Struct { name: None, name_span: nameless, fields: positional.chain(fields).collect() }
    }

    fn positional(&mut self, bracket: Bracket) -> Vec<Value> {
        let mut items = vec![];
        let mut told = false;
        let mut first = true;
        while let Next::Item = self.item(bracket, std::mem::take(&mut first)) {
            items.push(self.value("a value"));
            if is_field_mark(self.peek()) {
                if !told {
                    let problem = self.expected("`,` or `]`").help("a list has no keys; a map is {key: value, …}");
                    self.report(problem);
                    told = true;
                }
                self.next();
                self.value("a value");
            }
        }
        items
    }

    fn entries(&mut self) -> Vec<(Value, Value)> {
        let mut entries: Vec<(Value, Value)> = vec![];
        let mut seen: HashSet<String> = HashSet::new();
        let mut first = true;
        while let Next::Item = self.item(Bracket::Curly, std::mem::take(&mut first)) {
            let key = self.value("a key");
            if !is_field_mark(self.peek()) {
                let problem = self.expected("`:` and a value after the key").help("a map is {key: value, …}");
                self.report(problem);
                if matches!(self.peek(), Token::Comma | Token::Close(_) | Token::End) {
                    entries.push((key.clone(), Value { span: key.span, kind: ValueKind::Unit { name: None } }));
                    continue;
                }
            } else {
                self.colon("a key");
            }
            let value = self.value("a value");
            if !seen.insert(key.to_string()) {
                self.report(
                    Problem::error(key.span, format!("the key {key} is here twice")).help("remove one of the two"),
                );
            } else {
                entries.push((key, value));
            }
        }
        entries
    }

    /// The `:` after a name or key; `=` and `=>` are other languages' habit.
    fn colon(&mut self, after: &str) {
        if let Token::Other(_) = self.peek() {
            let problem = self.expected(&format!("`:` after {after}")).help("write `name: value`");
            self.report(problem);
        }
        self.next();
    }

    /// Goes to the next item of a container: over the comma, to a value or to the closing bracket. A closing bracket of an
    /// outer container ends this one too; one that nothing opened is skipped.
    fn item(&mut self, bracket: Bracket, first: bool) -> Next {
        // An opening bracket or a comma stands just before.
        let mut apart = first;
        let mut told = false;
        loop {
            match self.peek() {
                Token::End => return Next::Close,
                Token::Close(found) => {
                    let found = *found;
                    if self.open.contains(&found) {
                        return Next::Close;
                    }
                    self.report(
                        Problem::error(self.span(), format!("`{}` closes nothing", found.close())).help("remove it"),
                    );
                    self.next();
                }
                Token::Comma if !apart => {
                    self.next();
                    apart = true;
                }
                Token::Comma | Token::Colon | Token::Other(_) => {
                    let semicolon = *self.peek() == Token::Other(";".into());
                    if !told {
                        let wanted = if apart { "a value" } else { "`,`" };
                        let problem = self.expected(&format!("{wanted} or `{}`", bracket.close()));
                        self.report(if semicolon { problem.help("items are separated by commas") } else { problem });
                        told = true;
                    }
                    if apart || semicolon {
                        self.next();
                        apart = true;
                    } else {
                        self.skip();
                    }
                }
                _ => {
                    if !apart && !told {
                        let problem =
                            self.expected(&format!("`,` or `{}`", bracket.close())).help("put a comma before it");
                        self.report(problem);
                    }
                    return Next::Item;
                }
            }
        }
    }

    /// To the next comma (or semicolon) or closing bracket of this nesting.
    fn skip(&mut self) {
        let mut depth = 0usize;
        loop {
            match self.peek() {
                Token::End => return,
                Token::Comma if depth == 0 => return,
                Token::Other(text) if depth == 0 && text == ";" => return,
                Token::Close(_) if depth == 0 => return,
                Token::Close(_) => depth -= 1,
                Token::Open(_) => depth += 1,
                _ => {}
            }
            self.next();
        }
    }
}

fn is_field_mark(token: &Token) -> bool {
    matches!(token, Token::Colon) || matches!(token, Token::Other(text) if text.starts_with('='))
}

fn kind_of(number: Number) -> ValueKind {
    match number {
        Number::Int(i) => ValueKind::Int(i),
        Number::Float(f) => ValueKind::Float(f),
    }
}

fn range(span: Span, ends: Vec<(&str, Span, Number)>) -> Value {
    let field = |(name, span, number): (&str, Span, Number)| Field {
        name: name.into(),
        name_span: span,
        value: Value { span, kind: kind_of(number) },
    };
    let name_span = Span { end: span.start, ..span };
    let fields = ends.into_iter().map(field).collect();
    Value { span, kind: ValueKind::Struct { name: None, name_span, fields } }
}

fn join(start: Span, end: Span) -> Span {
    Span { end: end.end.max(start.end), ..start }
}
