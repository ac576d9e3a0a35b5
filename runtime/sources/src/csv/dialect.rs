//! How one CSV file is written: its special bytes. All of them are ASCII, so that cutting at them never cuts a character.

use selvedge_node::{Problem, Problems, Span};

/// The bytes that mean something in a CSV text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dialect {
    pub delimiter: u8,
    /// `None`: quotes are letters like any other.
    pub quote: Option<u8>,
    /// Inside quotes, takes the special meaning from the next byte. `None`: only a doubled quote does.
    pub escape: Option<u8>,
    /// A record that starts with this byte is no record.
    pub comment: Option<u8>,
    /// Blanks around fields are not part of them, and a quote may follow blanks.
    pub trim: bool,
}

impl Default for Dialect {
    fn default() -> Dialect {
        Dialect { delimiter: b',', quote: Some(b'"'), escape: None, comment: None, trim: false }
    }
}

impl Dialect {
    /// From characters as a graph gives them; `at` is the place to blame.
    pub fn new(
        at: Span,
        delimiter: char,
        quote: Option<char>,
        escape: Option<char>,
        comment: Option<char>,
        trim: bool,
    ) -> Result<Dialect, Problems> {
        let mut problems = Problems::default();
        let mut byte = |what: &str, c: char| {
            let fits = c.is_ascii() && !matches!(c, '\n' | '\r' | '\0');
            if !fits {
                problems.push(
                    Problem::error(
                        at,
                        format!("the {what} must be one ASCII character other than a line break, but is {c:?}"),
                    )
                    .help("convert the file, or choose another character"),
                );
            }
            if fits { c as u8 } else { 0 }
        };
        let dialect = Dialect {
            delimiter: byte("delimiter", delimiter),
            quote: quote.map(|c| byte("quote", c)),
            // An escape that is the quote itself is the doubled quote, as Spark's users write it.
            escape: escape.filter(|e| Some(*e) != quote).map(|c| byte("escape", c)),
            comment: comment.map(|c| byte("comment", c)),
            trim,
        };
        let named = [
            ("delimiter", Some(dialect.delimiter)),
            ("quote", dialect.quote),
            ("escape", dialect.escape),
            ("comment", dialect.comment),
        ];
        for (i, (what, byte)) in named.iter().enumerate() {
            let same = named[..i].iter().find(|(_, other)| byte.is_some_and(|b| b != 0) && other == byte);
            if let Some((other, _)) = same {
                problems.push(Problem::error(at, format!("the {what} and the {other} are the same character")));
            }
        }
        if trim && delimiter == ' ' {
            problems.push(Problem::error(at, "with trim, the delimiter cannot be a blank"));
        }
        problems.or(dialect)
    }

    /// Only a doubled quote escapes, and every byte outside quotes means what it is: 64 bytes can be looked at together, and
    /// whether a place is inside quotes follows from the quotes before it alone.
    pub fn is_regular(&self) -> bool {
        self.escape.is_none() && self.comment.is_none() && !self.trim
    }
}

/// Bytes that `trim` cuts off.
pub fn is_blank(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}
