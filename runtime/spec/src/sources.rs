//! The files that were read: their texts, and the line and column of a place.

use selvedge_ron::{FileId, Span};
use std::io::{Error, ErrorKind, Read, Result};
use std::path::{Path, PathBuf};

/// Where texts come from: the disk, or a test's memory.
pub trait Files {
    fn read(&self, path: &Path) -> Result<String>;
}

/// The operating system's files.
#[derive(Debug, Clone, Copy, Default)]
pub struct Os;

impl Files for Os {
    fn read(&self, path: &Path) -> Result<String> {
        // One byte more than a span can point at: the parser refuses it, and an endless file ends.
        let limit = u64::from(u32::MAX) + 1;
        let mut text = String::new();
        let file = std::fs::File::open(path)?;
        if file.metadata()?.is_dir() {
            return Err(Error::new(ErrorKind::IsADirectory, "is a folder"));
        }
        file.take(limit).read_to_string(&mut text)?;
        Ok(text)
    }
}

#[derive(Debug, Clone)]
struct Source {
    path: PathBuf,
    text: String,
    /// Where each line begins.
    lines: Vec<usize>,
}

/// The texts of one load. A value of `--set` is a source of its own.
#[derive(Debug, Clone, Default)]
pub struct Sources(Vec<Source>);

impl Sources {
    pub fn add(&mut self, path: PathBuf, text: String) -> FileId {
        let lines = std::iter::once(0).chain(text.match_indices('\n').map(|(i, _)| i + 1)).collect();
        self.0.push(Source { path, text, lines });
        FileId(self.0.len() as u32 - 1)
    }

    fn get(&self, file: FileId) -> Option<&Source> {
        self.0.get(file.0 as usize)
    }

    /// Empty for a file that is not of this load.
    pub fn text(&self, file: FileId) -> &str {
        self.get(file).map_or("", |s| &s.text)
    }

    pub fn path(&self, file: FileId) -> &Path {
        self.get(file).map_or(Path::new(""), |s| &s.path)
    }

    /// Line and column of the span's start, from 1; the column counts characters.
    pub fn line_col(&self, span: Span) -> (usize, usize) {
        let Some(source) = self.get(span.file) else { return (1, 1) };
        let at = (span.start as usize).min(source.text.len());
        let line = source.lines.partition_point(|start| *start <= at);
        let start = source.lines[line - 1];
        let column = source.text.as_bytes()[start..at].iter().filter(|b| (**b & 0xC0) != 0x80).count();
        (line, column + 1)
    }

    /// The text of a line, numbered from 1, without its end.
    pub(crate) fn line(&self, file: FileId, number: usize) -> Option<&str> {
        let source = self.get(file)?;
        let start = *source.lines.get(number.checked_sub(1)?)?;
        let end = source.lines.get(number).map_or(source.text.len(), |next| next - 1);
        source.text.get(start..end).map(|line| line.strip_suffix('\r').unwrap_or(line))
    }

    /// The text that a span covers.
    pub(crate) fn slice(&self, span: Span) -> &str {
        self.text(span.file).get(span.start as usize..span.end as usize).unwrap_or("")
    }

    /// The place of the `nth` (from 0) occurrence of `part` inside the literal at `span`: escapes before it may have made the
    /// literal longer than what it says.
    pub(crate) fn within(&self, span: Span, part: &str, nth: usize) -> Span {
        match self.slice(span).match_indices(part).nth(nth) {
            Some((at, _)) => Span::new(span.file, span.start as usize + at, span.start as usize + at + part.len()),
            None => span,
        }
    }
}

/// Files that were never on a disk: a graph made in code, a test.
impl Files for std::collections::BTreeMap<PathBuf, String> {
    fn read(&self, path: &Path) -> Result<String> {
        self.get(path).cloned().ok_or_else(|| std::io::Error::from(std::io::ErrorKind::NotFound))
    }
}
