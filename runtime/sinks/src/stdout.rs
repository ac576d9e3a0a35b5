//! `Stdout`: rows for people (a table) or for the next program in a pipe (NDJSON, CSV).

use crate::csv::{self, Style};
use arrow::array::StringArray;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use selvedge_node::prelude::*;
use selvedge_node::{Sink, write_json_lines};
use std::io::{ErrorKind, Write};

pub struct Stdout;

/// How rows are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
pub enum Format {
    /// Boxes for people to read, a new one for every 1,000 rows; cells are cut after 1,000 characters.
    #[default]
    Table,
    /// One JSON object a line, nulls written out.
    Ndjson,
    /// With a header line; null is an empty field and the empty string is `""`.
    Csv,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// `Table` (the default), `Ndjson` or `Csv`.
    #[serde(default)]
    format: Format,
    /// Print at most this many rows; the others are dropped and counted.
    limit: Option<u64>,
}

impl Kind for Stdout {
    const NAME: &'static str = "Stdout";
    const ROLE: Role = Role::Sink;
    const ABOUT: &'static str = "prints rows as a table, NDJSON or CSV";
    const DOCS: &'static str = "Prints every batch as it comes: what is printed is not taken back when the run fails later.

Dropped rows: `beyond the limit` (more than `limit` rows came), `stdout closed` (the program at the other end of the pipe, such
as `head`, has read enough; the run goes on and its other outputs are not harmed).";
    const EXAMPLE: &'static str = r#"Stdout(input: "tidy", format: Table, limit: 20)"#;
    type Config = Config;

    fn build(config: Config, site: &Site, inputs: &[Input]) -> std::result::Result<Built, Problems> {
        let mut problems = Problems::default();
        let schema = inputs.first().map(|i| i.schema.clone()).unwrap_or_else(|| Arc::new(Schema::empty()));
        if config.format == Format::Csv {
            for field in schema.fields().iter().filter(|f| !csv::can_hold(f.data_type())) {
                problems.push(
                    site.error(format!("CSV cannot hold column `{}` of type {}", field.name(), field.data_type()))
                        .help("print it with format: Ndjson, or drop it with SchemaEdit(edits: [Drop([…])])"),
                );
            }
        }
        let printer = Printer { format: config.format, limit: config.limit, schema };
        problems.or(Built::sink(Partitioning::Single, printer).visible_at_once().replaces(true))
    }
}

struct Printer {
    format: Format,
    limit: Option<u64>,
    schema: SchemaRef,
}

impl Sink for Printer {
    fn open(&self, _: &Task) -> Result<Box<dyn Writer>> {
        Ok(Box::new(Print::new(self, std::io::stdout())))
    }
}

/// Rows in one box of the table format.
const BOX: usize = 1000;
/// Characters of a cell of the table format. Nobody reads more, and laying out a cell takes long.
const CELL: usize = 1000;

struct Print<W> {
    format: Format,
    schema: SchemaRef,
    /// Rows still wanted.
    left: u64,
    /// Rows of the next box.
    waiting: Vec<RecordBatch>,
    started: bool,
    closed: bool,
    to: W,
}

/// The rows as the text of their cells.
fn as_cells(batch: &RecordBatch) -> Result<RecordBatch> {
    let options = FormatOptions::default();
    let mut columns: Vec<(&str, ArrayRef)> = Vec::with_capacity(batch.num_columns());
    for (field, column) in batch.schema_ref().fields().iter().zip(batch.columns()) {
        let cells = ArrayFormatter::try_new(column, &options)?;
        let cells = (0..column.len()).map(|row| Ok(cut(cells.value(row).try_to_string()?)));
        let cells = cells.collect::<Result<Vec<String>>>()?;
        columns.push((field.name(), Arc::new(StringArray::from(cells))));
    }
    Ok(RecordBatch::try_from_iter(columns)?)
}

fn cut(mut cell: String) -> String {
    if let Some((end, _)) = cell.char_indices().nth(CELL) {
        cell.truncate(end);
        cell.push('…');
        cell.shrink_to_fit();
    }
    cell
}

impl<W: Write> Print<W> {
    fn new(printer: &Printer, to: W) -> Print<W> {
        Print {
            format: printer.format,
            schema: printer.schema.clone(),
            left: printer.limit.unwrap_or(u64::MAX),
            waiting: vec![],
            started: false,
            closed: false,
            to,
        }
    }

    fn waiting_rows(&self) -> usize {
        self.waiting.iter().map(RecordBatch::num_rows).sum()
    }

    fn text(&mut self, batch: RecordBatch) -> Result<Vec<u8>> {
        let mut text = vec![];
        match self.format {
            Format::Table => {
                self.waiting.push(as_cells(&batch)?);
                if self.waiting_rows() >= BOX || self.left == 0 {
                    text = self.table()?;
                }
            }
            Format::Ndjson => write_json_lines(&batch, true, &mut text)?,
            Format::Csv => {
                if !self.started {
                    Style::default().header(&self.schema, &mut text);
                }
                Style::default().rows(&batch, &mut text)?;
            }
        }
        self.started = true;
        Ok(text)
    }

    fn table(&mut self) -> Result<Vec<u8>> {
        let boxed = arrow::util::pretty::pretty_format_batches(&std::mem::take(&mut self.waiting))?;
        Ok(format!("{boxed}\n").into_bytes())
    }

    /// Prints; `false` once nobody listens any more.
    fn print(&mut self, text: &[u8]) -> Result<bool> {
        match self.to.write_all(text).and_then(|()| self.to.flush()) {
            Ok(()) => Ok(true),
            Err(e) if e.kind() == ErrorKind::BrokenPipe => {
                self.closed = true;
                Ok(false)
            }
            Err(e) => Err(Error::io("writing to", "the standard output", &e)),
        }
    }
}

impl<W: Write + Send> Writer for Print<W> {
    fn write(&mut self, _: usize, batch: RecordBatch, out: &mut dyn Out) -> Result<()> {
        if self.closed {
            out.drop_all("stdout closed", &batch);
            return Ok(());
        }
        let wanted = usize::try_from(self.left).unwrap_or(usize::MAX).min(batch.num_rows());
        let rest = batch.slice(wanted, batch.num_rows() - wanted);
        out.drop_all("beyond the limit", &rest);
        if wanted == 0 {
            return Ok(());
        }
        self.left -= wanted as u64;
        let batch = batch.slice(0, wanted);
        let text = self.text(batch.clone())?;
        if self.print(&text)? {
            out.absorb("written", wanted as u64);
        } else {
            out.drop_all("stdout closed", &batch);
        }
        Ok(())
    }

    fn flush(&mut self, _: u64, _: &mut dyn Out) -> Result<selvedge_node::Pending> {
        let mut text = vec![];
        match self.format {
            Format::Table if !self.waiting.is_empty() => text = self.table()?,
            // No rows came: the header alone says what they would have been.
            Format::Table if !self.started => {
                self.waiting.push(RecordBatch::new_empty(self.schema.clone()));
                text = self.table()?;
            }
            Format::Csv if !self.started => Style::default().header(&self.schema, &mut text),
            _ => {}
        }
        self.started = true;
        if !self.closed {
            self.print(&text)?;
        }
        Ok(Default::default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use selvedge_testkit::{Recorder, table};

    struct Pipe {
        text: Vec<u8>,
        room: usize,
    }

    impl Write for Pipe {
        fn write(&mut self, text: &[u8]) -> std::io::Result<usize> {
            if self.text.len() + text.len() > self.room {
                return Err(ErrorKind::BrokenPipe.into());
            }
            self.text.extend_from_slice(text);
            Ok(text.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn print(format: Format, limit: Option<u64>, room: usize, batches: &[RecordBatch]) -> (String, Recorder) {
        let printer = Printer { format, limit, schema: batches[0].schema() };
        let mut print = Print::new(&printer, Pipe { text: vec![], room });
        let mut out = Recorder::default();
        for batch in batches {
            print.write(0, batch.clone(), &mut out).unwrap();
        }
        print.flush(1, &mut out).unwrap();
        out.check_law(batches.iter().map(|b| b.num_rows() as u64).sum());
        (String::from_utf8(print.to.text).unwrap(), out)
    }

    #[test]
    fn formats() {
        let rows = table("a:Int64 | b\n1 | x\nnull | \"y,z\"");
        let two = [rows.slice(0, 1), rows.slice(1, 1)];
        let (text, _) = print(Format::Ndjson, None, 1000, &two);
        assert_eq!(text, "{\"a\":1,\"b\":\"x\"}\n{\"a\":null,\"b\":\"y,z\"}\n");
        let (text, _) = print(Format::Csv, None, 1000, &two);
        assert_eq!(text, "a,b\n1,x\n,\"y,z\"\n");
        let (text, _) = print(Format::Table, None, 1000, &two);
        assert_eq!(text, "+---+-----+\n| a | b   |\n+---+-----+\n| 1 | x   |\n|   | y,z |\n+---+-----+\n");
    }

    #[test]
    fn rows_beyond_the_limit_are_counted() {
        let rows = table("a:Int64\n1\n2\n3\n4");
        let (text, out) = print(Format::Csv, Some(3), 1000, &[rows.slice(0, 2), rows.slice(2, 2)]);
        assert_eq!(text, "a\n1\n2\n3\n");
        assert_eq!(out.dropped["beyond the limit"], 1);
        assert_eq!(out.absorbed["written"], 3);
    }

    #[test]
    fn a_closed_pipe_is_no_error() {
        let rows = table("a:Int64\n1\n2\n3\n4");
        let one_each: Vec<_> = (0..4).map(|i| rows.slice(i, 1)).collect();
        let (text, out) = print(Format::Csv, None, 6, &one_each);
        assert_eq!(text, "a\n1\n2\n");
        assert_eq!(out.absorbed["written"], 2);
        assert_eq!(out.dropped["stdout closed"], 2);
    }

    #[test]
    fn no_rows_are_a_header() {
        let empty = table("a:Int64 | b");
        assert_eq!(print(Format::Csv, None, 100, std::slice::from_ref(&empty)).0, "a,b\n");
        assert!(print(Format::Table, None, 100, &[empty]).0.contains("| a | b |"));
    }

    #[test]
    fn a_huge_cell_is_cut_in_a_table_only() {
        let huge = "ü".repeat(10 << 20);
        let rows =
            RecordBatch::try_from_iter([("a", Arc::new(StringArray::from(vec![huge.clone()])) as ArrayRef)]).unwrap();
        let (text, _) = print(Format::Table, None, 100_000, std::slice::from_ref(&rows));
        assert!(text.contains(&format!("| {}… |", "ü".repeat(CELL))), "{}", text.len());
        let (text, _) = print(Format::Csv, None, usize::MAX, &[rows]);
        assert!(text.contains(&huge));
    }

    #[test]
    fn csv_refuses_nested_columns_by_name() {
        let item = Arc::new(Field::new("item", DataType::Int64, true));
        let schema = Arc::new(Schema::new(vec![Field::new("tags", DataType::List(item), true)]));
        let case = selvedge_testkit::Case::<Stdout>::new("(format: Csv)").batch(RecordBatch::new_empty(schema));
        assert!(case.problems().contains("CSV cannot hold column `tags`"), "{}", case.problems());
    }
}
