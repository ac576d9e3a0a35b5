//! CSV as a whole: against a parser that is slow and plain, in pieces, in ranges, and through the node.

use super::*;
use crate::files::Files;
use proptest::prelude::*;
use selvedge_connect::Embedded;
use selvedge_node::{Memory, Next, Rejection};
use selvedge_testkit::{Case, Recorder, show};
use std::io::Write;

const QUOTE: u8 = b'"';

/// What a record is: its fields, or the reason of its rejection.
type Record = std::result::Result<Vec<Vec<u8>>, &'static str>;

/// The meaning of CSV, written down once more without any cleverness.
fn reference(text: &[u8], width: usize, max_record: usize) -> Vec<Record> {
    let mut records = vec![];
    let mut at = 0;
    while at < text.len() {
        let start = at;
        let (mut fields, mut odd, mut open) = (vec![], false, false);
        loop {
            let from = at;
            let mut value = vec![];
            if text.get(at) == Some(&QUOTE) {
                at += 1;
                loop {
                    match text.get(at) {
                        None => {
                            open = true;
                            break;
                        }
                        Some(&QUOTE) if text.get(at + 1) == Some(&QUOTE) => {
                            value.push(QUOTE);
                            at += 2;
                        }
                        Some(&QUOTE) => {
                            at += 1;
                            break;
                        }
                        Some(&b) => {
                            value.push(b);
                            at += 1;
                        }
                    }
                }
                let rest = &text[at..];
                let ends = rest.is_empty()
                    || rest == b"\r"
                    || rest.starts_with(b",")
                    || rest.starts_with(b"\n")
                    || rest.starts_with(b"\r\n");
                odd |= !ends;
            }
            let plain = text[from] != QUOTE;
            while at < text.len() && text[at] != b',' && text[at] != b'\n' {
                at += 1;
            }
            if plain {
                value = text[from..at].to_vec();
                if text.get(at) != Some(&b',') && value.last() == Some(&b'\r') {
                    value.pop();
                }
            }
            fields.push(value);
            if text.get(at) != Some(&b',') {
                break;
            }
            at += 1;
            if at == text.len() {
                fields.push(vec![]);
                break;
            }
        }
        let raw = &text[start..at];
        at += 1;
        if raw.is_empty() || raw == b"\r" {
            continue;
        }
        records.push(if raw.len() > max_record {
            Err("csv.record_too_long")
        } else if open || odd {
            Err("csv.quote")
        } else if std::str::from_utf8(raw).is_err() {
            Err("csv.utf8")
        } else if fields.len() != width {
            Err("csv.columns")
        } else {
            Ok(fields)
        });
    }
    records
}

fn layout(width: usize, max_record: usize, dialect: Dialect) -> Arc<Layout> {
    let schema = Schema::new((0..width).map(|i| Field::new(format!("c{i}"), DataType::Utf8, true)).collect::<Vec<_>>());
    Arc::new(Layout {
        values: Values::new(dialect, &[String::new()]),
        width,
        wanted: (0..width).collect(),
        readings: vec![Reading::AsIs; width],
        on_error: OnError::Reject,
        fill_ragged: false,
        max_record,
        output: Output::new(&schema, None, None).unwrap(),
    })
}

pub fn task(batch_rows: usize, batch_bytes: usize) -> Task {
    Task {
        run: "test".into(),
        node: "node".into(),
        instance: 0,
        instances: 1,
        memory: Memory::new(1 << 20),
        scratch: std::env::temp_dir(),
        batch_rows,
        batch_bytes,
        wake: Default::default(),
    }
}

fn drain(mut reader: CsvReader, block: usize) -> Recorder {
    reader.block = block;
    let mut out = Recorder::default();
    while reader.read(&mut out).unwrap() != Next::Done {}
    out.check_law(0);
    out
}

/// Reads a text in blocks of so many bytes.
fn read(text: &[u8], layout: &Arc<Layout>, block: usize, task: &Task) -> Recorder {
    let input = Input::of(std::io::Cursor::new(text.to_vec()), "t.csv");
    drain(CsvReader::new(layout.clone(), input, "t.csv".into(), false, None, task), block)
}

/// Rows in order; the cells of each, null as an empty text.
fn rows(out: &Recorder) -> Vec<Vec<Vec<u8>>> {
    let mut rows = vec![];
    for batch in out.sent.values().flatten() {
        let columns: Vec<&arrow::array::StringArray> =
            batch.columns().iter().map(|c| c.as_any().downcast_ref().unwrap()).collect();
        for row in 0..batch.num_rows() {
            rows.push(columns.iter().map(|c| c.value(row).as_bytes().to_vec()).collect());
        }
    }
    rows
}

fn codes(out: &Recorder) -> Vec<&str> {
    out.rejected.iter().map(|r| r.code.as_str()).collect()
}

/// Texts in which everything that matters stands next to everything else, now and then at the edges of blocks of 64 bytes.
fn nasty() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => Just(b",".to_vec()),
        3 => Just(b"\n".to_vec()),
        4 => Just(b"\"".to_vec()),
        2 => Just(b"\r\n".to_vec()),
        1 => Just(b"\r".to_vec()),
        1 => Just(b"\"\"".to_vec()),
        1 => Just(b",\"".to_vec()),
        1 => Just(b"\",".to_vec()),
        1 => Just(b"\"a,\nb\"".to_vec()),
        1 => Just("ä€".as_bytes().to_vec()),
        1 => Just(b"\xff".to_vec()),
        1 => Just(b"\xc3".to_vec()),
        3 => "[a-z ]{1,9}".prop_map(String::into_bytes),
        1 => "[a-z ]{60,70}".prop_map(String::into_bytes),
    ];
    prop::collection::vec(piece, 0..80).prop_map(|pieces| pieces.concat())
}

fn compare(text: &[u8], expected: &[Record], out: &Recorder) {
    let good: Vec<Vec<Vec<u8>>> = expected.iter().filter_map(|r| r.clone().ok()).collect();
    let bad: Vec<&str> = expected.iter().filter_map(|r| r.as_ref().err().copied()).collect();
    let shown = String::from_utf8_lossy(text);
    assert_eq!(rows(out), good, "rows of {shown:?}");
    assert_eq!(codes(out), bad, "rejected of {shown:?}");
    assert_eq!(out.created.get("read").copied().unwrap_or(0), expected.len() as u64, "read of {shown:?}");
}

proptest! {

    #[test]
    fn means_what_the_reference_says(text in nasty(), width in 1usize..4, block in 1usize..200, batch in 1usize..9, small in any::<bool>()) {
        let max_record = if small { 40 } else { 1 << 20 };
        let out = read(&text, &layout(width, max_record, Dialect::default()), block, &task(batch, 1 << 20));
        compare(&text, &reference(&text, width, max_record), &out);
    }

    #[test]
    fn ranges_give_the_whole(text in nasty(), bom in any::<bool>(), distance in 1u64..90, threads in 1usize..4) {
        let text = if bom { [BOM.to_vec(), text].concat() } else { text };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.csv");
        std::fs::write(&path, &text).unwrap();
        let layout = layout(2, 1 << 20, Dialect::default());
        let whole = read(&text, &layout, 4096, &task(100, 1 << 20));
        let cuts = ranges::cuts(&Found::local(&path, "t.csv"), Dialect::default(), text.len() as u64, distance, threads).unwrap();
        let lines = Arc::new(Lines::new(Found::local(&path, "t.csv"), cuts.clone()));
        let (mut found, mut rejected, mut count) = (vec![], vec![], 0);
        // The last range first: nobody may rely on the order.
        for (range, ends) in cuts.windows(2).enumerate().rev() {
            let input = Input::part(&Found::local(&path, "t.csv"), ends[0], ends[1]).unwrap();
            let part = Part { lines: lines.clone(), range };
            let reader = CsvReader::new(layout.clone(), input, "t.csv".into(), false, Some(part), &task(3, 1 << 20));
            let mut out = drain(reader, 50);
            count += out.created.get("read").copied().unwrap_or(0);
            let mut these = rows(&out);
            these.append(&mut found);
            found = these;
            out.rejected.append(&mut rejected);
            rejected = out.rejected;
        }
        prop_assert_eq!(found, rows(&whole));
        prop_assert_eq!(rejected, whole.rejected);
        prop_assert_eq!(count, whole.created.get("read").copied().unwrap_or(0));
    }

    #[test]
    fn nothing_makes_it_panic(
        text in prop::collection::vec(prop_oneof![Just(b'"'), Just(b','), Just(b'\n'), Just(b'\\'), Just(b'#'), Just(b' '), any::<u8>()], 0..400),
        (escape, comment, trim) in (any::<bool>(), any::<bool>(), any::<bool>()),
        block in 1usize..100,
        max_record in 1usize..100,
    ) {
        let dialect = Dialect {
            escape: escape.then_some(b'\\'),
            comment: comment.then_some(b'#'),
            trim,
            ..Dialect::default()
        };
        let layout = layout(2, max_record, dialect);
        let some = read(&text, &layout, block, &task(2, 64));
        let all = read(&text, &layout, 4096, &task(1000, 1 << 20));
        prop_assert_eq!(rows(&some), rows(&all));
        prop_assert_eq!(some.rejected, all.rejected);
    }
}

// ---- through the node ----

/// A folder with files.
pub fn lake(files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    folder
}

pub fn case(folder: &tempfile::TempDir, config: &str) -> Case<Files<Embedded>> {
    Case::new(config).base(folder.path())
}

fn messages(rejected: &[Rejection]) -> String {
    rejected.iter().map(|r| format!("{} {} [{}]", r.code, r.message, r.raw)).collect::<Vec<_>>().join("\n")
}

#[test]
fn columns_are_found_by_name_and_projected() {
    let lake = lake(&[("a.csv", b"sku,qty,note\na,1,x\n\"b,\"\"c\",,\n"), ("b.csv", b"note,sku,qty\r\ny,d,4\r\n")]);
    case(&lake, r#"(path: "*.csv", format: Csv)"#)
        .run()
        .expect_in_order("sku | qty | note\na | 1 | x\n\"b,\\\"c\" | null | null\nd | 4 | y");
    case(
        &lake,
        r#"(path: ["b.csv", "a.csv"], format: Csv(), columns: ["qty", "sku"], file_name: "file", row_number: "nr")"#,
    )
    .run();
    let done =
        case(&lake, r#"(path: "*.csv", format: Csv, columns: ["qty"], file_name: "file", row_number: "nr")"#).run();
    assert_eq!(show(&done.rows(0)), "qty:Utf8 | file:Utf8 | nr:Int64\n1 | a.csv | 1\nnull | a.csv | 2\n4 | b.csv | 1");
    // No column at all still has rows.
    let done = case(&lake, r#"(path: "*.csv", format: Csv, columns: [])"#).run();
    assert_eq!(done.rows(0).num_rows(), 3);
}

#[test]
fn broken_records_are_rejected_and_the_others_go_on() {
    let text = b"a,b\n1,2\n3\n4,5,6\n\"7\"x,8\n\xff,9\n\n\"10\n\",11\nx\"y\",12\n13,\"never\nclosed,14\n";
    let lake = lake(&[("t.csv", text)]);
    let done = case(&lake, r#"(path: "t.csv", format: Csv)"#).run();
    done.expect_in_order("a | b\n1 | 2\n\"10\\n\" | 11\n\"x\\\"y\\\"\" | 12");
    assert_eq!(
        messages(&done.rejected),
        "csv.columns t.csv:3: 1 fields, where 2 are expected [3]\n\
         csv.columns t.csv:4: 3 fields, where 2 are expected [4,5,6]\n\
         csv.quote t.csv:5: text behind a closing quote, at byte 4 of the record: a quote inside a quoted field must be doubled [\"7\"x,8]\n\
         csv.utf8 t.csv:6: not UTF-8, at byte 1 of the record [\u{fffd},9]\n\
         csv.quote t.csv:11: a quote is never closed: the file ends inside it [13,\"never\nclosed,14\n]"
    );
    // The same in parts of a few bytes, with the same lines.
    let parts = case(&lake, r#"(path: "t.csv", format: Csv, split_bytes: 5)"#).run();
    assert_eq!(parts.text(), done.text());
    assert_eq!(parts.rejected, done.rejected);
    // Not connected, the first one stops the run.
    let error = case(&lake, r#"(path: "t.csv", format: Csv)"#).run_strict().unwrap_err();
    assert!(error.message.starts_with("t.csv:3:"), "{error}");
}

#[test]
fn short_records_may_be_filled() {
    let lake = lake(&[("t.csv", b"a,b,c\n1\n2,3\n\n4,5,6\n7,8,9,0\n")]);
    let done = case(&lake, r#"(path: "t.csv", format: Csv(ragged: Null))"#).run();
    done.expect_in_order("a | b | c\n1 | null | null\n2 | 3 | null\n4 | 5 | 6");
    assert_eq!(codes_of(&done.rejected), ["csv.columns"]);
    assert_eq!(done.altered["missing fields became null"], 2);
}

fn codes_of(rejected: &[Rejection]) -> Vec<&str> {
    rejected.iter().map(|r| r.code.as_str()).collect()
}

#[test]
fn options_change_the_dialect() {
    let lake = lake(&[
        ("a.csv", b"# made by hand\na;b\n'x;''y' ; NA\n  # no comment;2\n#3;4\n'a\\'b';\n"),
        ("b.csv", "\u{feff}ä\t\"b\r\n1\tx\"y".as_bytes()),
        ("c.csv", b"1,2\n,4\n"),
    ]);
    let done = case(
        &lake,
        r##"(path: "a.csv", format: Csv(delimiter: ';', quote: '\'', escape: '\\', comment: '#', trim: true, nulls: ["NA"]))"##,
    )
    .run();
    done.expect_in_order("a | b\n\"x;'y\" | null\n# no comment | 2\na'b | \"\"");
    let done = case(&lake, r#"(path: "b.csv", format: Csv(delimiter: '\t', quote: None))"#).run();
    assert_eq!(done.text(), "ä:Utf8 | \"b:Utf8\n1 | \"x\\\"y\"");
    case(&lake, r#"(path: "c.csv", format: Csv(header: false))"#)
        .run()
        .expect_in_order("column_1 | column_2\n1 | 2\nnull | 4");
    case(
        &lake,
        r#"(path: "c.csv", format: Csv(header: false), schema: { "x": Int64, "y": Utf8 }, columns: ["y", "x"])"#,
    )
    .run()
    .expect_in_order("y | x:Int64\n2 | 1\n4 | null");
}

#[test]
fn wrong_options_are_all_reported() {
    let lake = lake(&[("a.csv", b"a\n1\n")]);
    let text = case(
        &lake,
        r#"(path: "a.csv", format: Csv(delimiter: 'ä', quote: '#', comment: '#', max_record: 0), split_bytes: 0)"#,
    )
    .problems();
    for part in [
        "the delimiter must be one ASCII character",
        "the comment and the quote are the same character",
        "max_record must be from 1",
        "split_bytes must be at least 1",
    ] {
        assert!(text.contains(part), "{part} is missing in {text}");
    }
}

#[test]
fn declared_types_are_cast_as_spark_does() {
    let lake = lake(&[("t.csv", b"sku,qty,day\na, 12 ,2024-1-5\nb,N/A,2024-02-30\nc,,\nd,12.7,2024-03-01\n")]);
    let config = |on_error: &str| {
        format!(
            r#"(path: "t.csv", format: Csv, schema: {{ "day": Date, "qty": Int32 }}, on_error: {on_error}, row_number: "nr")"#
        )
    };
    let rest = "2024-01-05 | 12 | 1\nnull | null | 3\n2024-03-01 | 12 | 4";
    let done = case(&lake, &config("Reject")).run();
    assert_eq!(done.text(), format!("day:Date32 | qty:Int32 | nr:Int64\n{rest}"));
    assert_eq!(
        messages(&done.rejected),
        "cast t.csv:3: cannot read `2024-02-30` in column `day` as Date32 [{\"day\":\"2024-02-30\",\"qty\":\"N/A\"}]"
    );
    let done = case(&lake, &config("Null")).run();
    assert_eq!(done.text().lines().nth(2), Some("null | null | 2"));
    assert!(done.rejected.is_empty());
    assert_eq!((done.altered["null by cast: day"], done.altered["null by cast: qty"]), (1, 1));
    let error = case(&lake, &config("Fail")).try_run().unwrap_err();
    assert!(error.message.starts_with("t.csv:3: cannot read"), "{error}");
}

#[test]
fn guessed_types_lose_nothing() {
    let mut text = b"id,price,ok,day,zip\n".to_vec();
    for i in 0..1200 {
        writeln!(text, "{i},{i}.5,true,2024-01-01,0{i}").unwrap();
    }
    text.extend(b"12.5,1,false,2024-01-02,1\n");
    let lake = lake(&[("t.csv", &text)]);
    let done = case(&lake, r#"(path: "t.csv", format: Csv(infer: true))"#).run();
    assert!(
        done.text().starts_with("id:Int64 | price:Float64 | ok:Boolean | day:Date32 | zip:Utf8\n"),
        "{}",
        &done.text()[..100]
    );
    assert_eq!(done.rows(0).num_rows(), 1200);
    assert_eq!(codes_of(&done.rejected), ["cast"]);
    assert!(done.rejected[0].message.contains(":1202: cannot read `12.5` in column `id`"), "{:?}", done.rejected);
}

#[test]
fn long_records_are_rejected_whole() {
    let long = format!("a,b\n1,2\n{},{}\n3,4\n\"{}", "x".repeat(600_000), "y".repeat(600_000), "z\n".repeat(400_000));
    let lake = lake(&[("t.csv", long.as_bytes())]);
    let done = case(&lake, r#"(path: "t.csv", format: Csv(max_record: 1000))"#).run();
    done.expect_in_order("a | b\n1 | 2\n3 | 4");
    let short: Vec<String> =
        done.rejected.iter().map(|r| format!("{} {} {}", r.code, r.message, r.raw.len())).collect();
    assert_eq!(
        short,
        [
            "csv.record_too_long t.csv:3: a record of 1200001 bytes, where 1000 are allowed 65536",
            "csv.record_too_long t.csv:5: a record of 800001 bytes, where 1000 are allowed: a quote in it is never closed 65536",
        ]
    );
}

#[test]
fn packed_files_and_their_damage() {
    use crate::compression::tests::packed;
    let text: String = std::iter::once("a,b\n".to_string())
        .chain((0..40_000).map(|i| format!("{i},{}\n", i * 7919 % 10007)))
        .collect();
    for compression in [Compression::Gzip, Compression::Zstd, Compression::Bzip2, Compression::Snappy] {
        let (ending, bytes) = packed(compression, text.as_bytes());
        let name = format!("t.csv{ending}");
        let lake = lake(&[(name.as_str(), &bytes)]);
        let config = format!(r#"(path: "{name}", format: Csv, split_bytes: 1000)"#);
        assert_eq!(case(&lake, &config).run().rows(0).num_rows(), 40_000, "{name}");
        std::fs::write(lake.path().join(&name), &bytes[..bytes.len() - 20]).unwrap();
        if compression == Compression::Bzip2 {
            // Its one block cannot be read in part.
            assert!(case(&lake, &config).problems().contains("the bzip2 data of t.csv.bz2 is cut off"));
            continue;
        }
        // What came before the damage was sent, then the run fails.
        let built = case(&lake, &config).build().unwrap();
        let selvedge_node::Work::Source(source) = built.work else { panic!("a source") };
        let mut reader = source.splits(&Positions::new()).unwrap().remove(0).open(&task(1000, 1 << 20)).unwrap();
        let mut out = Recorder::default();
        let error = loop {
            match reader.read(&mut out) {
                Ok(next) => assert_ne!(next, Next::Done, "{name}"),
                Err(e) => break e,
            }
        };
        assert!(error.message.contains(&name), "{error}");
        assert!(out.rows_sent() > 1000, "{name}: {}", out.rows_sent());
    }
}

#[test]
fn empty_files_have_no_rows() {
    let lake = lake(&[("a.csv", b""), ("b.csv", b"x,y\n1,2\n"), ("c.csv", b"\n\n"), ("d.csv", b"y,x")]);
    case(&lake, r#"(path: "*.csv", format: Csv)"#).run().expect_in_order("x | y\n1 | 2");
    let declared = r#"(path: "a.csv", format: Csv, schema: { "x": Utf8 })"#;
    assert_eq!(case(&lake, declared).run().rows(0).num_rows(), 0);
    let unknown = case(&lake, r#"(path: "[ac].csv", format: Csv)"#).problems();
    assert!(unknown.starts_with("every file is empty, so the columns are not known (declare them"), "{unknown}");
}

#[test]
fn missing_files_and_columns_are_problems() {
    let lake = lake(&[("a.csv", b"sku,qty\na,1\n"), ("b.csv", b"sku,amount\na,1\n")]);
    let problems = |config: &str| case(&lake, config).problems().replace(&lake.path().display().to_string(), "ROOT");
    assert_eq!(problems(r#"(path: "*.cvs", format: Csv)"#), "no file matches `*.cvs` (`ROOT/` has `a.csv`, `b.csv`)");
    assert_eq!(
        problems(r#"(path: "*.cvs", format: Csv, on_missing: Empty)"#),
        "there is no file, so the columns are not known (declare them: schema: { \"name\": Utf8, … })"
    );
    let none = case(&lake, r#"(path: "*.cvs", format: Csv, on_missing: Empty, schema: { "a": Int32 })"#).run();
    assert_eq!(none.text(), "a:Int32");
    assert_eq!(
        problems(r#"(path: "*.csv", format: Csv)"#),
        "b.csv has no column `qty`, but a.csv has (read files of different shape by nodes of their own, and join them with Union)\n\
         b.csv has a column `amount` that a.csv has not (read files of different shape by nodes of their own, and join them with Union)"
    );
    assert_eq!(
        problems(r#"(path: "a.csv", format: Csv, schema: { "skuu": Utf8, "qty": Binary })"#),
        "no column named `skuu` in the header of a.csv (did you mean `sku`?)"
    );
    assert_eq!(
        problems(r#"(path: "a.csv", format: Csv, columns: ["qyt", "sku", "sku"], file_name: "sku")"#),
        "column `sku` is named twice\nno column named `qyt` (did you mean `qty`?)"
    );
    assert_eq!(
        problems(r#"(path: "a.csv", format: Csv, file_name: "sku")"#),
        "there is a column `sku` already (choose another name)"
    );
}

#[test]
fn odd_headers_are_made_usable() {
    let lake = lake(&[("a.csv", b"a,,a,a_2\n1,2,3,4\n")]);
    let built = case(&lake, r#"(path: "a.csv", format: Csv)"#);
    let warnings: Vec<String> = built.build().unwrap().warnings.iter().map(ToString::to_string).collect();
    assert_eq!(warnings.len(), 2, "{warnings:?}");
    built.run().expect_in_order("a | column_2 | a_3 | a_2\n1 | 2 | 3 | 4");
    std::fs::write(lake.path().join("a.csv"), b"\xff\xfea\0,\0b\0").unwrap();
    assert!(built.problems().starts_with("a.csv is UTF-16 text"), "{}", built.problems());
    std::fs::write(lake.path().join("a.csv"), b"caf\xe9,b\n").unwrap();
    assert!(built.problems().starts_with("the header of a.csv is not UTF-8"), "{}", built.problems());
}
