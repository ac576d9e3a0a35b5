//! How much SQL is read, and how deep: a text that makes too deep a syntax tree would overflow a thread's stack.

use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};
use selvedge_node::{Problem, Spanned};

/// Longest SQL text in a graph, in bytes …
pub(crate) const MAX_TEXT: usize = 256 << 10;
/// … and how deep its syntax tree may be. The parser bounds the nesting of parentheses; a chain `a + a + …` nests to the
/// left as deep as it is long, and DataFusion walks down such a tree on the stack.
pub(crate) const MAX_DEPTH: usize = 250;

/// Refuses text that is too long, or too deep to be planned on the stack of a thread.
pub(crate) fn check_length(text: &Spanned<String>) -> Result<(), Problem> {
    let length = text.value.len();
    if length > MAX_TEXT {
        return Err(Problem::error(
            text.span,
            format!("SQL of {length} bytes is longer than the {MAX_TEXT} that are read"),
        ));
    }
    // What cannot be cut into tokens is the parser's to report.
    let tokens = Tokenizer::new(&GenericDialect {}, &text.value).tokenize().unwrap_or_default();
    let depth = depth(&tokens);
    if depth > MAX_DEPTH {
        return Err(Problem::error(
            text.span,
            format!("SQL that nests {depth} operators is deeper than the {MAX_DEPTH} that are planned"),
        )
        .help("a chain of `or … =` is `in (…)`; longer sums and texts are built in steps with Derive"));
    }
    Ok(())
}

/// How deep a syntax tree may be by its tokens: the longest chain of operators, where a group in parentheses begins a chain
/// of its own and a comma or a clause begins another beside it.
fn depth(tokens: &[Token]) -> usize {
    // For each open group: the chain at work, and the longest one that is done.
    let mut groups = vec![(0, 0)];
    let mut steps = 0;
    for token in tokens {
        let lower = match token {
            Token::Word(word) if word.quote_style.is_none() => word.value.to_lowercase(),
            _ => String::new(),
        };
        match (token, lower.as_str()) {
            (Token::LParen | Token::LBracket | Token::LBrace, _) | (_, "case") => groups.push((0, 0)),
            (Token::RParen | Token::RBracket | Token::RBrace, _) | (_, "end") if groups.len() > 1 => {
                let (chain, longest) = groups.pop().unwrap_or_default();
                if let Some((outer, _)) = groups.last_mut() {
                    *outer = (*outer).max(chain.max(longest) + 1);
                }
            }
            (_, "union" | "except" | "intersect" | "join") => steps += 1,
            (Token::Comma, _)
            | (_, "select" | "from" | "where" | "having" | "by" | "on" | "when" | "then" | "else") => {
                if let Some((chain, longest)) = groups.last_mut() {
                    *longest = (*longest).max(*chain);
                    *chain = 0;
                }
            }
            (_, "and" | "or" | "not" | "is" | "like" | "ilike" | "between" | "in" | "collate" | "at") => {
                add(&mut groups)
            }
            (
                Token::EOF
                | Token::Word(_)
                | Token::Number(..)
                | Token::Char(_)
                | Token::SingleQuotedString(_)
                | Token::Whitespace(_)
                | Token::Period
                | Token::SemiColon,
                _,
            ) => {}
            _ => add(&mut groups),
        }
    }
    let longest = groups.into_iter().map(|(chain, longest): (usize, usize)| chain.max(longest)).sum::<usize>();
    longest.max(steps)
}

fn add(groups: &mut [(usize, usize)]) {
    if let Some((chain, _)) = groups.last_mut() {
        *chain += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_depth_of_a_text_is_that_of_its_longest_chain() {
        let of = |text: &str| depth(&Tokenizer::new(&GenericDialect {}, text).tokenize().unwrap());
        assert_eq!(of("a.b"), 0);
        assert_eq!(of("a + b * c"), 2);
        assert_eq!(of("f(a + b, c, d + e + f) + 1"), 4);
        assert_eq!(of("(a + b) + (c + d + e)"), 3);
        assert_eq!(of("case when a and b then 1 when c then 2 end"), 2);
        assert_eq!(of("select a + b, c + d from t where e = 1 or f = 2"), 3);
        assert_eq!(of("a in ('x', 'y', 'z')"), 1);
    }
}
