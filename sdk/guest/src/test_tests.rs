//! The harness under test, and the SDK through it.

use super::*;
use crate::prelude::*;

/// Counts rows for each key, and sends the counts at the end.
struct Count;
#[derive(Default)]
struct Counting {
    key: usize,
    seen: BTreeMap<String, i64>,
}
impl Kind for Count {
    const NAME: &'static str = "Count";
    const ABOUT: &'static str = "counts";
    const DOCS: &'static str = "";
    const EXAMPLE: &'static str = r#"{"key": "sku"}"#;
    type Config = String;
    type Work = Counting;
    fn config(settings: &mut Settings) -> Result<String> {
        settings.required("key")
    }
    fn build(key: String, inputs: &[Input]) -> Result<Built<Counting>> {
        let column = inputs[0].schema.column_of_type(&key, "key", "text", Type::is_text)?;
        let output = Schema::new([Field::new(&key, Type::Utf8), Field::new("rows", Type::Int64).required()]);
        let work = Counting { key: column, ..Counting::default() };
        let keys = Partitioning::Keys(vec![vec![column as u32]]);
        Ok(Built::transform(output, keys, work).reads([column]))
    }
}
impl Transform for Counting {
    fn process(&mut self, _: usize, batch: &Batch, out: &mut Out) -> Result<()> {
        for key in batch.utf8(self.key)?.iter().flatten() {
            *self.seen.entry(key.to_string()).or_default() += 1;
        }
        out.drop_rows("null in key", &batch.nulls(self.key)?);
        out.absorb("grouped", batch.nulls(self.key)?.not().count() as u64);
        Ok(())
    }
    fn finish(&mut self, out: &mut Out) -> Result<bool> {
        out.create("groups", self.seen.len() as u64);
        let keys = Column::utf8(self.seen.keys().map(Some));
        let counts = Column::of(self.seen.values().map(|n| Some(*n)));
        out.send(0, Rows::fresh(self.seen.len()).with(0, keys).with("rows", counts))?;
        Ok(false)
    }
    fn save(&self) -> Result<Vec<u8>> {
        Ok(self.seen.iter().map(|(k, n)| format!("{k}={n}\n")).collect::<String>().into_bytes())
    }
    fn load(&mut self, state: &[u8]) -> Result<()> {
        let text = std::str::from_utf8(state).map_err(|e| Error::bug(e.to_string()))?;
        let pairs = text.lines().filter_map(|line| line.split_once('='));
        self.seen = pairs.filter_map(|(k, n)| Some((k.to_string(), n.parse().ok()?))).collect();
        Ok(())
    }
}
crate::export_transform!(Count);

#[test]
fn a_transform_keeps_its_state() {
    let table = "sku | price:Float64\n a | 1\n b | 2\n null | 3\n a | null\n a | 5";
    let done = transform::<Count>(r#"{"key": "sku"}"#, &[("in", table)]);
    done.expect("sku | rows:Int64\n a | 3\n b | 1");
    assert_eq!((done.dropped["null in key"], done.absorbed["grouped"], done.created["groups"]), (1, 4, 2));
    example::<Count>();
    assert_eq!(
        problem::<Count>(r#"{"key": "price"}"#, table).to_string(),
        "expected `price` to be text, found Float64"
    );
}

/// Numbers from 0, in batches of two; written to a log.
struct Numbers;
struct To(i64);
struct At(i64, i64);
impl Kind for Numbers {
    const NAME: &'static str = "Numbers";
    const ABOUT: &'static str = "counts";
    const DOCS: &'static str = "";
    const EXAMPLE: &'static str = r#"{"to": 5}"#;
    type Config = i64;
    type Work = To;
    fn config(settings: &mut Settings) -> Result<i64> {
        settings.required("to")
    }
    fn build(to: i64, _: &[Input]) -> Result<Built<To>> {
        Ok(Built::source(Schema::new([Field::new("n", Type::Int64)]), To(to)))
    }
}
impl Source for To {
    type Reader = At;
    fn splits(&self, _: &Positions) -> Result<Vec<String>> {
        Ok(vec!["all".into()])
    }
    fn open(&self, _: &Task, _: &str, position: Option<&str>) -> Result<At> {
        Ok(At(position.and_then(|p| p.parse().ok()).unwrap_or(0), self.0))
    }
}
impl Reader for At {
    fn read(&mut self, out: &mut Out) -> Result<Next> {
        let numbers: Vec<i64> = (self.0..self.1).take(2).collect();
        self.0 += numbers.len() as i64;
        out.create("read", numbers.len() as u64);
        out.send(0, Rows::fresh(numbers.len()).with("n", Column::of_all(&numbers)))?;
        Ok(if self.0 == self.1 { Next::Done } else { Next::More })
    }
    fn position(&self) -> Result<Option<String>> {
        Ok(Some(self.0.to_string()))
    }
}
crate::export_source!(Numbers);

#[test]
fn a_source_resumes_at_its_position() {
    let done = source::<Numbers>(r#"{"to": 5}"#);
    done.expect("n:Int64\n 0\n 1\n 2\n 3\n 4");
}

struct Log;
#[derive(Default)]
struct Lines(u64);
impl Kind for Log {
    const NAME: &'static str = "Log";
    const ABOUT: &'static str = "writes rows to the log";
    const DOCS: &'static str = "";
    const EXAMPLE: &'static str = "{}";
    type Config = ();
    type Work = Lines;
    fn config(_: &mut Settings) -> Result<()> {
        Ok(())
    }
    fn build(_: (), _: &[Input]) -> Result<Built<Lines>> {
        Ok(Built::sink(Partitioning::Single, Lines::default()).target("the log").may_reject(true))
    }
}
impl Writer for Lines {
    fn write(&mut self, _: usize, batch: &Batch, out: &mut Out) -> Result<()> {
        self.0 += batch.rows() as u64 - 1;
        out.reject_rows("first", &[(0, "the first of a batch".into())]);
        out.absorb("written", batch.rows() as u64 - 1);
        Ok(())
    }
    fn flush(&mut self, _: u64) -> Result<String> {
        Ok(self.0.to_string())
    }
}
impl Sink for Log {
    fn commit(_: &(), commit: &Commit, pending: &[String]) -> Result<()> {
        host::log_with(host::Level::Info, "committed", &[("epoch".into(), commit.epoch.to_string())]);
        host::count("rows", pending.iter().filter_map(|p| p.parse::<u64>().ok()).sum());
        Ok(())
    }
}
crate::export_sink!(Log);

#[test]
fn a_sink_is_committed_twice() {
    let done = sink::<Log>("{}", "a | b\n 1 | 2\n 3 | 4\n 5 | 6\n 7 | 8");
    assert_eq!((done.absorbed["written"], done.pending.as_slice()), (2, &["2".to_string()][..]));
    assert_eq!(done.rejected[1].raw, "7 | 8");
    assert_eq!(done.log, ["Level::Info committed epoch=1"; 2]);
    assert_eq!(done.counters["rows"], 4);
}

/// Sends what the settings say, right or wrong.
struct Careless;
impl Kind for Careless {
    const NAME: &'static str = "Careless";
    const ABOUT: &'static str = "";
    const DOCS: &'static str = "";
    const EXAMPLE: &'static str = r#"{"how": "lose"}"#;
    type Config = String;
    type Work = String;
    fn config(settings: &mut Settings) -> Result<String> {
        settings.required("how")
    }
    fn build(how: String, inputs: &[Input]) -> Result<Built<String>> {
        Ok(Built::map(inputs[0].schema.clone().with(Field::new("new", Type::Int64)), how).reads([]))
    }
}
impl Map for String {
    fn map(&self, batch: &Batch, out: &mut Out) -> Result<()> {
        let new = |rows: usize| Column::of_all(&vec![1_i64; rows]);
        match self.as_str() {
            "lose" => out.send(0, Rows::filter(&Mask::none(batch.rows()))),
            "short" => out.send(0, Rows::all(batch).with("new", new(1))),
            "nothing" => out.send(0, Rows::all(batch)),
            "other" => out.send(0, Rows::filter(&Mask::none(7)).with("new", new(0))),
            "take" => out.send(0, Rows::take(batch, &[2])?.with("new", new(1))),
            "reverse" => {
                let rows: Vec<u32> = (0..batch.rows() as u32).rev().collect();
                out.send(0, Rows::take(batch, &rows)?.with(1, new(rows.len())))
            }
            _ => out.send(3, Rows::all(batch)),
        }
    }
}

fn careless(how: &str) -> String {
    let how = format!(r#"{{"how": "{how}"}}"#);
    let input = [("in", Table::new("a\n x\n y"))];
    let run = || transformed::<Careless, _>(&how, &input, 9, Stateless);
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).map(|_| ()).unwrap_err();
    panic.downcast_ref::<String>().cloned().unwrap_or_default()
}

#[test]
fn mistakes_are_told_before_the_host_traps() {
    assert_eq!(careless("short"), "Fault::Bug: sends 1 values in column `new` with 2 rows");
    assert_eq!(careless("nothing"), "Fault::Bug: sends nothing in column `new`, which no input has");
    assert_eq!(careless("other"), "Fault::Bug: sends rows of a batch of 7, the batch has 2");
    assert_eq!(careless("take"), "Fault::Bug: takes row 2 of a batch of 2");
    assert_eq!(careless("port"), "Fault::Bug: sends to port 3, there are 1");
}

#[test]
fn lost_rows_break_the_law() {
    assert!(careless("lose").contains("sends nothing in column `new`"));
    let input = [("in", Table::new("a\n x\n y"))];
    let done = transformed::<Careless, _>(r#"{"how": "reverse"}"#, &input, 9, Stateless);
    done.expect("a | new:Int64\n y | 1\n x | 1");
    let lost = Done { received: 3, ..done };
    let law = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| lost.law()));
    assert!(law.is_err());
}

#[test]
fn types_come_and_go_as_they_are() {
    let text = "a:Int8 | b:Boolean | c:Date | d:tsu:UTC | e:d:10,2 | f:Float32 | g:UInt64\n\
                -1 | true | 19000 | 1700000000000000 | 150 | 0.5 | 7\n null | null | null | null | null | null | null";
    let table = Table::new(text);
    assert_eq!(table.values("e"), ["150", "null"]);
    assert_eq!(
        table.rows[0].iter().flatten().cloned().collect::<Vec<_>>().join(" "),
        "-1 true 19000 1700000000000000 150 0.5 7"
    );
    assert_eq!(Mask::none(3).count(), 0);
}
