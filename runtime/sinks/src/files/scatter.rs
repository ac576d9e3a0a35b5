//! Rows to Hive partitions (`country=DE/day=2024-03-01`): a batch is put in the order of its partitions by one counting sort
//! and one `take`, then cut into slices.

use arrow::array::{Array, RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::Schema;
use arrow::row::{RowConverter, SortField};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use hashbrown::HashMap;
use selvedge_node::Result;

/// The folder of rows whose value is null or the empty string.
const DEFAULT: &str = "__HIVE_DEFAULT_PARTITION__";
/// The longest name that file systems take, in bytes.
const LONGEST: usize = 255;

/// The partitions met so far.
pub struct Scatter {
    columns: Vec<usize>,
    /// The columns that stay in the files.
    rest: Vec<usize>,
    keys: Vec<String>,
    converter: RowConverter,
    ids: HashMap<Box<[u8]>, u32>,
    /// The folder of each partition; `Err` holds the name that no file system would take.
    folders: Vec<std::result::Result<String, String>>,
}

/// The rows of one batch that belong together.
pub struct Piece {
    pub partition: usize,
    /// Without the partition columns.
    pub rows: RecordBatch,
}

/// A batch by partition.
#[derive(Default)]
pub struct Split {
    /// In the order of the partitions; rows keep theirs.
    pub pieces: Vec<Piece>,
    /// Rows whose folder could not have a name, and that name.
    pub nameless: Vec<(usize, String)>,
}

impl Scatter {
    /// `columns` are indices into `schema`.
    pub fn new(schema: &Schema, columns: &[usize]) -> Result<Scatter> {
        let fields = columns.iter().map(|&c| SortField::new(schema.field(c).data_type().clone())).collect();
        Ok(Scatter {
            columns: columns.to_vec(),
            rest: (0..schema.fields().len()).filter(|c| !columns.contains(c)).collect(),
            keys: columns.iter().map(|&c| escape(schema.field(c).name())).collect(),
            converter: RowConverter::new(fields)?,
            ids: HashMap::new(),
            folders: vec![],
        })
    }

    /// How many there are so far.
    pub fn partitions(&self) -> usize {
        self.folders.len()
    }

    /// Starts again with none: numbers of partitions given so far mean nothing any more.
    pub fn forget(&mut self) {
        self.ids = HashMap::new();
        self.folders = vec![];
    }

    /// The folder of a partition, relative to the data set.
    pub fn folder(&self, partition: usize) -> &str {
        self.folders.get(partition).and_then(|f| f.as_deref().ok()).unwrap_or_default()
    }

    pub fn split(&mut self, batch: &RecordBatch) -> Result<Split> {
        let columns: Vec<_> = self.columns.iter().map(|&c| batch.column(c).clone()).collect();
        let rows = self.converter.convert_columns(&columns)?;
        let mut of_row = Vec::with_capacity(batch.num_rows());
        let mut last: Option<(usize, u32)> = None;
        for row in 0..batch.num_rows() {
            let key = rows.row(row);
            let id = match last {
                Some((before, id)) if rows.row(before) == key => id,
                _ => match self.ids.get(key.as_ref()) {
                    Some(&id) => id,
                    None => {
                        let id = self.folders.len() as u32;
                        self.folders.push(self.name(batch, row)?);
                        self.ids.insert(key.as_ref().into(), id);
                        id
                    }
                },
            };
            last = Some((row, id));
            of_row.push(id);
        }
        let rest = batch.project(&self.rest)?;
        let Some(&first) = of_row.first() else { return Ok(Split::default()) };
        if of_row.iter().all(|&id| id == first) && self.folders.get(first as usize).is_some_and(|f| f.is_ok()) {
            return Ok(Split { pieces: vec![Piece { partition: first as usize, rows: rest }], nameless: vec![] });
        }
        self.sorted(&rest, &of_row)
    }

    fn sorted(&self, rest: &RecordBatch, of_row: &[u32]) -> Result<Split> {
        // Where the rows of each partition of this batch begin. Only partitions that occur are looked at again.
        let mut starts: HashMap<u32, u32> = HashMap::new();
        for &id in of_row {
            *starts.entry(id).or_default() += 1;
        }
        let mut present: Vec<(u32, u32)> = starts.iter().map(|(&id, &count)| (id, count)).collect();
        present.sort_unstable();
        let mut at = 0;
        for &(id, count) in &present {
            starts.insert(id, at);
            at += count;
        }
        let mut order = vec![0u32; of_row.len()];
        for (row, id) in of_row.iter().enumerate() {
            if let Some(next) = starts.get_mut(id) {
                order[*next as usize] = row as u32;
                *next += 1;
            }
        }
        let order = UInt32Array::from(order);
        let taken = take_record_batch(rest, &order)?;
        let mut split = Split::default();
        let mut at = 0;
        for (id, count) in present {
            let (start, count) = (at, count as usize);
            at += count;
            match self.folders.get(id as usize) {
                Some(Err(name)) => {
                    split.nameless.extend(order.values()[start..at].iter().map(|&row| (row as usize, name.clone())));
                }
                _ => split.pieces.push(Piece { partition: id as usize, rows: taken.slice(start, count) }),
            }
        }
        Ok(split)
    }

    fn name(&self, batch: &RecordBatch, row: usize) -> Result<std::result::Result<String, String>> {
        let options = FormatOptions::default();
        let mut path = String::new();
        for (&column, key) in self.columns.iter().zip(&self.keys) {
            let array = batch.column(column);
            let value = if array.is_null(row) {
                String::new()
            } else {
                ArrayFormatter::try_new(array, &options)?.value(row).try_to_string()?
            };
            let value = if value.is_empty() { DEFAULT.to_string() } else { escape(&value) };
            let folder = format!("{key}={value}");
            if folder.len() > LONGEST {
                return Ok(Err(folder));
            }
            if !path.is_empty() {
                path.push('/');
            }
            path.push_str(&folder);
        }
        Ok(Ok(path))
    }
}

/// Percent-escapes what Hive escapes in the names of partitions (`FileUtils.escapePathName`).
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        let special = matches!(
            c,
            '"' | '#' | '%' | '\'' | '*' | '/' | ':' | '=' | '?' | '\\' | '{' | '[' | ']' | '^' | '\u{7f}' | '\0'
                ..='\u{1f}'
        );
        if special {
            escaped.push_str(&format!("%{:02X}", c as u32));
        } else {
            escaped.push(c);
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use selvedge_testkit::{show, table};

    fn check(columns: &[usize], rows: &str, expected: &str) {
        let batch = table(rows);
        let mut scatter = Scatter::new(&batch.schema(), columns).unwrap();
        let Split { pieces, nameless } = scatter.split(&batch).unwrap();
        assert!(nameless.is_empty());
        let found: Vec<_> =
            pieces.iter().map(|p| format!("{}\n{}", scatter.folder(p.partition), show(&p.rows))).collect();
        let expected: Vec<&str> = expected.lines().map(str::trim).collect();
        assert_eq!(found.join("\n"), expected.join("\n"));
    }

    #[test]
    fn rows_keep_their_order_within_a_partition() {
        check(
            &[1],
            "a:Int64 | c\n1 | DE\n2 | FR\n3 | DE\n4 | null\n5 | FR",
            "c=DE
             a:Int64
             1
             3
             c=FR
             a:Int64
             2
             5
             c=__HIVE_DEFAULT_PARTITION__
             a:Int64
             4",
        );
    }

    #[test]
    fn names_are_escaped_and_types_have_their_text() {
        check(
            &[0, 1],
            "d:Date32 | c | a:Int64\n2024-03-01 | \"a/b=ü:%\" | 1",
            "d=2024-03-01/c=a%2Fb%3Dü%3A%25
             a:Int64
             1",
        );
        assert_eq!(escape("..\n\u{7f}"), "..%0A%7F");
    }

    #[test]
    fn a_value_longer_than_a_file_name_is_handed_back() {
        let long = "x".repeat(300);
        let batch = table(&format!("c | a\nok | 1\n{long} | 2"));
        let mut scatter = Scatter::new(&batch.schema(), &[0]).unwrap();
        let Split { pieces, nameless } = scatter.split(&batch).unwrap();
        assert_eq!(pieces.len(), 1);
        assert_eq!(nameless, [(1, format!("c={long}"))]);
    }
}
