//! JSON lines (RFC 8259): one pass over a line finds the wanted values where they stand and checks all others.

use super::cell::{Bad, Cell, Names};
use super::quoted::{quoted, unescape};

/// How deep values may be nested.
const DEPTH: usize = 256;

/// The wanted values, as a tree of the names and places on the way to them.
#[derive(Debug)]
pub(super) struct Tree {
    names: Names,
    /// Names that are places in a list, as numbers.
    places: Vec<Option<usize>>,
    below: Vec<Tree>,
    /// Columns that take the value here.
    columns: Vec<usize>,
}

impl Tree {
    /// From the path of each column.
    pub fn new(paths: Vec<Vec<String>>) -> Tree {
        Tree::grow(paths.into_iter().enumerate().collect(), 0)
    }

    fn grow(paths: Vec<(usize, Vec<String>)>, depth: usize) -> Tree {
        let columns = paths.iter().filter(|(_, path)| path.len() == depth).map(|(column, _)| *column).collect();
        let mut names: Vec<String> = vec![];
        let mut groups: Vec<Vec<(usize, Vec<String>)>> = vec![];
        for path in paths {
            let Some(name) = path.1.get(depth) else { continue };
            match names.iter().position(|n| n == name) {
                Some(at) => groups[at].push(path),
                None => {
                    names.push(name.clone());
                    groups.push(vec![path]);
                }
            }
        }
        let below = groups.into_iter().map(|group| Tree::grow(group, depth + 1)).collect();
        let place = |name: &String| name.parse().ok().filter(|place: &usize| place.to_string() == *name);
        Tree { places: names.iter().map(place).collect(), names: Names::new(names), below, columns }
    }

    fn item(&self, place: usize) -> Option<&Tree> {
        self.places.iter().position(|p| *p == Some(place)).and_then(|at| self.below.get(at))
    }

    fn child(&self, name: &str, next: &mut usize) -> Option<&Tree> {
        self.names.find(name, next).and_then(|at| self.below.get(at))
    }

    fn put<'a>(&self, cell: Cell<'a>, cells: &mut [Cell<'a>]) {
        for column in &self.columns {
            cells[*column] = cell;
        }
    }

    /// Of a name that stands twice the last value counts: nothing of an earlier one may stay.
    fn clear(&self, cells: &mut [Cell]) {
        for tree in &self.below {
            tree.put(Cell::Null, cells);
            tree.clear(cells);
        }
    }

    /// Finds the values of the columns in a line.
    pub fn read<'a>(&self, line: &'a str, cells: &mut [Cell<'a>]) -> Result<(), Bad> {
        let mut scan = Scan { line, bytes: line.as_bytes(), at: 0, cells };
        scan.line(self).map_err(|what| Bad { code: "json.syntax", what })?;
        match line.trim_ascii_start().as_bytes().first() {
            Some(b'{') => Ok(()),
            _ => Err(Bad { code: "json.type", what: "expected an object, found another JSON value".into() }),
        }
    }
}

/// The parts of a JSON Pointer (RFC 6901): `/user/address~1city`.
pub(super) fn pointer(text: &str) -> Result<Vec<String>, String> {
    let Some(parts) = text.strip_prefix('/') else {
        return Err(format!("`{text}` is no path into JSON: it does not start with `/`"));
    };
    let part = |part: &str| {
        let plain = part.replace("~0", "").replace("~1", "");
        match plain.contains('~') {
            true => Err(format!("`~` in `{part}` stands for nothing: write `~0` for `~` and `~1` for `/`")),
            false => Ok(part.replace("~1", "/").replace("~0", "~")),
        }
    };
    parts.split('/').map(part).collect()
}

struct Scan<'a, 'c> {
    line: &'a str,
    bytes: &'a [u8],
    at: usize,
    cells: &'c mut [Cell<'a>],
}

impl<'a> Scan<'a, '_> {
    fn line(&mut self, root: &Tree) -> Result<(), String> {
        self.blanks();
        self.value(Some(root), 0)?;
        self.blanks();
        if self.at == self.bytes.len() { Ok(()) } else { Err(self.expected("the end of the line")) }
    }

    fn blanks(&mut self) {
        while matches!(self.bytes.get(self.at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    #[cold]
    fn expected(&self, what: &str) -> String {
        match self.line.get(self.at..).and_then(|rest| rest.chars().next()) {
            Some(found) => format!("expected {what} at byte {}, found `{}`", self.at + 1, found.escape_debug()),
            None => format!("expected {what}, found the end of the line"),
        }
    }

    fn value(&mut self, tree: Option<&Tree>, depth: usize) -> Result<(), String> {
        if let Some(tree) = tree {
            tree.clear(self.cells);
        }
        let from = self.at;
        let mut null = false;
        match self.bytes.get(from) {
            Some(b'"') => {
                let (text, escaped) = self.text()?;
                if let Some(tree) = tree {
                    tree.put(if escaped { Cell::Escaped(text) } else { Cell::Text(text) }, self.cells);
                }
                return Ok(());
            }
            Some(b'{') => self.object(tree, depth + 1)?,
            Some(b'[') => self.list(tree, depth + 1)?,
            Some(b'-' | b'0'..=b'9') => self.number()?,
            Some(b't') => self.word("true")?,
            Some(b'f') => self.word("false")?,
            Some(b'n') => {
                self.word("null")?;
                null = true;
            }
            _ => return Err(self.expected("a value")),
        }
        if let Some(tree) = tree {
            tree.put(if null { Cell::Null } else { Cell::Text(&self.line[from..self.at]) }, self.cells);
        }
        Ok(())
    }

    fn text(&mut self) -> Result<(&'a str, bool), String> {
        let from = self.at + 1;
        let (end, escaped) = quoted(self.bytes, from, false)?;
        self.at = end + 1;
        Ok((&self.line[from..end], escaped))
    }

    /// Goes into an object or a list; whether there is anything in it.
    fn enter(&mut self, depth: usize, close: u8) -> Result<bool, String> {
        if depth > DEPTH {
            return Err(format!("nested deeper than {DEPTH} levels"));
        }
        self.at += 1;
        self.blanks();
        let empty = self.bytes.get(self.at) == Some(&close);
        self.at += usize::from(empty);
        Ok(!empty)
    }

    /// Goes behind an element; whether another one follows.
    fn more(&mut self, close: u8, wanted: &str) -> Result<bool, String> {
        self.blanks();
        let more = match self.bytes.get(self.at) {
            Some(b',') => true,
            Some(byte) if *byte == close => false,
            _ => return Err(self.expected(wanted)),
        };
        self.at += 1;
        self.blanks();
        Ok(more)
    }

    fn object(&mut self, tree: Option<&Tree>, depth: usize) -> Result<(), String> {
        let mut more = self.enter(depth, b'}')?;
        let mut next = 0;
        while more {
            if self.bytes.get(self.at) != Some(&b'"') {
                return Err(self.expected("a name in quotes"));
            }
            let (name, escaped) = self.text()?;
            let child = match tree {
                Some(tree) if escaped => {
                    let mut plain = String::with_capacity(name.len());
                    unescape(name, |part| plain.push_str(part));
                    tree.child(&plain, &mut next)
                }
                Some(tree) => tree.child(name, &mut next),
                None => None,
            };
            self.blanks();
            if self.bytes.get(self.at) != Some(&b':') {
                return Err(self.expected("`:`"));
            }
            self.at += 1;
            self.blanks();
            self.value(child, depth)?;
            more = self.more(b'}', "`,` or `}`")?;
        }
        Ok(())
    }

    fn list(&mut self, tree: Option<&Tree>, depth: usize) -> Result<(), String> {
        let mut more = self.enter(depth, b']')?;
        let mut place = 0;
        while more {
            self.value(tree.and_then(|tree| tree.item(place)), depth)?;
            place += 1;
            more = self.more(b']', "`,` or `]`")?;
        }
        Ok(())
    }

    fn word(&mut self, word: &str) -> Result<(), String> {
        if !self.bytes[self.at..].starts_with(word.as_bytes()) {
            return Err(self.expected("a value"));
        }
        self.at += word.len();
        Ok(())
    }

    fn number(&mut self) -> Result<(), String> {
        self.at += usize::from(self.bytes[self.at] == b'-');
        match self.bytes.get(self.at) {
            // A number does not start with a zero: `007` is none.
            Some(b'0') => self.at += 1,
            _ => self.digits()?,
        }
        if self.bytes.get(self.at) == Some(&b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.bytes.get(self.at) {
            self.at += 1;
            self.at += usize::from(matches!(self.bytes.get(self.at), Some(b'+' | b'-')));
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Result<(), String> {
        let from = self.at;
        while self.bytes.get(self.at).is_some_and(u8::is_ascii_digit) {
            self.at += 1;
        }
        if self.at > from { Ok(()) } else { Err(self.expected("a digit")) }
    }
}
