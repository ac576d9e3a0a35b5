//! Logfmt: `level=info msg="hello there" retry took=12ms`. There is no standard; this is the common ground of Heroku's and Go's
//! readers (`kr/logfmt`, `go-logfmt/logfmt`), except that a bare value may hold `=`, as addresses do.

use super::cell::{Cell, Names};
use super::quoted::quoted;

/// Finds the values of the columns in a line. `Err` says what is wrong.
pub(super) fn read<'a>(names: &Names, line: &'a str, cells: &mut [Cell<'a>]) -> Result<(), String> {
    let bytes = line.as_bytes();
    let blank = |at: usize| bytes.get(at).is_none_or(|b| *b <= b' ');
    let (mut at, mut next, mut pairs) = (0, 0, false);
    loop {
        while at < bytes.len() && blank(at) {
            at += 1;
        }
        if at == bytes.len() {
            break;
        }
        let start = at;
        while !blank(at) && !matches!(bytes[at], b'=' | b'"') {
            at += 1;
        }
        if at == start || bytes.get(at) == Some(&b'"') {
            return Err(format!("expected key=value at byte {}, found `{}`", start + 1, &line[at..at + 1]));
        }
        let column = names.find(&line[start..at], &mut next);
        let valued = bytes.get(at) == Some(&b'=');
        pairs |= valued;
        let cell = match bytes.get(at + 1) {
            _ if !valued => Cell::Text("true"),
            Some(b'"') => {
                let (end, escaped) = quoted(bytes, at + 2, true)?;
                let text = &line[at + 2..end];
                at = end + 1;
                if !blank(at) {
                    return Err(format!("expected a blank behind the closing quote, at byte {}", at + 1));
                }
                if escaped { Cell::Escaped(text) } else { Cell::Text(text) }
            }
            _ => {
                let from = at + 1;
                at = from;
                while !blank(at) {
                    if bytes[at] == b'"' {
                        return Err(format!("a quote inside a value, at byte {}", at + 1));
                    }
                    at += 1;
                }
                if from == at { Cell::Null } else { Cell::Text(&line[from..at]) }
            }
        };
        if let Some(column) = column {
            cells[column] = cell;
        }
    }
    if pairs { Ok(()) } else { Err("expected key=value somewhere in the line".into()) }
}
