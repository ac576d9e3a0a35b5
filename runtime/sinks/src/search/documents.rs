//! Rows to lines of the bulk API: which id a row has, and its document.

use arrow::array::{Array, RecordBatch};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use memchr::memchr_iter;
use selvedge_node::{Error, Result, write_json_lines};
use sha2::{Digest, Sha256};
use std::fmt::Write;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Range;

/// The longest id that Elasticsearch takes, in bytes.
const LONGEST: usize = 512;

/// Makes the lines of a batch.
#[derive(Debug, Clone)]
pub struct Documents {
    /// The line before a document, up to the id: `{"index":{"_index":"…","_id":`, or `{"create":…` of a data stream.
    action: Vec<u8>,
    /// Indices of the columns of the id. None: the document tells it.
    id: Vec<usize>,
}

/// The lines of a batch, one pair for each row, or why it has none.
#[derive(Debug, Default)]
pub struct Lines {
    pub text: Vec<u8>,
    pub rows: Vec<std::result::Result<Pair, String>>,
}

/// What to do, and the document.
#[derive(Debug)]
pub struct Pair {
    /// Both lines, in the text.
    pub range: Range<usize>,
    /// Where the second begins.
    pub document: usize,
    /// Of the id.
    pub hash: u64,
}

impl Documents {
    pub fn new(operation: &str, index: &str, id: Vec<usize>) -> Documents {
        let index = serde_json::Value::from(index);
        Documents { action: format!("{{\"{operation}\":{{\"_index\":{index},\"_id\":").into_bytes(), id }
    }

    pub fn lines(&self, batch: &RecordBatch) -> Result<Lines> {
        let mut documents = vec![];
        write_json_lines(batch, false, &mut documents)?;
        let options = FormatOptions::default();
        let columns = self.id.iter().map(|&c| ArrayFormatter::try_new(batch.column(c), &options));
        let columns = columns.collect::<std::result::Result<Vec<_>, _>>()?;
        let nulls: Vec<_> = self.id.iter().map(|&c| batch.column(c).logical_nulls()).collect();

        let row_bytes = self.action.len() + 64;
        let mut lines = Lines {
            text: Vec::with_capacity(documents.len() + batch.num_rows() * row_bytes),
            rows: Vec::with_capacity(batch.num_rows()),
        };
        // JSON holds no line break but those between documents.
        let mut ends = memchr_iter(b'\n', &documents);
        let (mut start, mut id) = (0, String::new());
        for row in 0..batch.num_rows() {
            let end = ends.next().ok_or_else(|| Error::bug("there are fewer documents than rows"))?;
            let document = &documents[start..=end];
            start = end + 1;
            let null = nulls.iter().position(|n| n.as_ref().is_some_and(|n| n.is_null(row)));
            if let Some(at) = null {
                let name = batch.schema_ref().field(self.id[at]).name();
                lines.rows.push(Err(format!("the id is null: column `{name}` has no value")));
                continue;
            }
            id.clear();
            match columns.as_slice() {
                [] => hexadecimal(document, &mut id),
                [one] => one.value(row).write(&mut id)?,
                many => {
                    for (i, column) in many.iter().enumerate() {
                        id.push_str(if i > 0 { "|" } else { "" });
                        join(&column.value(row).try_to_string()?, &mut id);
                    }
                }
            }
            if id.is_empty() {
                lines.rows.push(Err("the id is the empty text, which Elasticsearch refuses".into()));
                continue;
            }
            if id.len() > LONGEST {
                let long = std::mem::take(&mut id);
                hexadecimal(long.as_bytes(), &mut id);
            }
            let from = lines.text.len();
            lines.text.extend_from_slice(&self.action);
            serde_json::to_writer(&mut lines.text, &id).map_err(|e| Error::bug(format!("writing an id: {e}")))?;
            lines.text.extend_from_slice(b"}}\n");
            let at = lines.text.len();
            lines.text.extend_from_slice(document);
            lines.rows.push(Ok(Pair { range: from..lines.text.len(), document: at, hash: hash(&id) }));
        }
        Ok(lines)
    }
}

/// The value, so that `("a|b", "c")` and `("a", "b|c")` have different ids.
fn join(value: &str, id: &mut String) {
    for c in value.chars() {
        if matches!(c, '|' | '\\') {
            id.push('\\');
        }
        id.push(c);
    }
}

fn hash(id: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    id.hash(&mut hasher);
    hasher.finish()
}

/// SHA-256.
fn hexadecimal(bytes: &[u8], id: &mut String) {
    for byte in Sha256::digest(bytes) {
        // Writing to memory does not fail.
        let _ = write!(id, "{byte:02x}");
    }
}
