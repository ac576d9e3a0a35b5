//! `#![enable(…)]` and its like before a document. They are checked and change nothing: what they enable is always on.

use crate::Problem;
use crate::lexer::{Bracket, Token};
use crate::parse::Parser;

const EXTENSIONS: [&str; 4] = ["implicit_some", "unwrap_newtypes", "unwrap_variant_newtypes", "explicit_struct_names"];

impl Parser<'_> {
    /// One `#![…]` before the value.
    pub fn attribute(&mut self) -> bool {
        if *self.peek() != Token::Other("#".into()) {
            return false;
        }
        let start = self.at;
        if !self.attribute_body() {
            let span = self.tokens[start].span;
            self.report(
                Problem::error(span, "malformed attribute")
                    .help("an attribute reads `#![enable(implicit_some)]`; remove it if in doubt"),
            );
            while !matches!(self.peek(), Token::Close(Bracket::Square) | Token::End) {
                self.next();
            }
            self.eat(&Token::Close(Bracket::Square));
        }
        true
    }

    fn attribute_body(&mut self) -> bool {
        let other = |c: &str| Token::Other(c.into());
        self.next();
        if !(self.eat(&other("!")) && self.eat(&Token::Open(Bracket::Square))) {
            return false;
        }
        match self.next().token {
            Token::Name { text, .. } if text == "enable" => {
                if !self.eat(&Token::Open(Bracket::Round)) {
                    return false;
                }
                while let Token::Name { text, .. } = self.peek().clone() {
                    if !EXTENSIONS.contains(&text.as_str()) {
                        self.report(Problem::unknown(self.span(), "extension of RON", &text, EXTENSIONS));
                    }
                    self.next();
                    if !self.eat(&Token::Comma) {
                        break;
                    }
                }
                self.eat(&Token::Close(Bracket::Round)) && self.eat(&Token::Close(Bracket::Square))
            }
            Token::Name { text, .. } if text == "type" || text == "schema" => {
                self.eat(&other("="))
                    && matches!(self.next().token, Token::Str(_))
                    && self.eat(&Token::Close(Bracket::Square))
            }
            _ => false,
        }
    }
}
