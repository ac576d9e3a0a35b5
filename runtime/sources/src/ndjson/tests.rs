//! NDJSON: line by line against the whole, in ranges, and through the node.

use super::*;
use crate::files::Files;
use proptest::prelude::*;
use selvedge_connect::Embedded;
use selvedge_node::{Memory, Next, Rejection};
use selvedge_testkit::{Case, Recorder, show};
use std::fmt::Write;

fn layout(max_record: usize) -> Arc<Layout> {
    let list = DataType::new_list(DataType::Int64, true);
    let columns = [("a", DataType::Int64), ("b", DataType::Utf8), ("c", list)];
    let schema = Schema::new(columns.iter().map(|(name, ty)| Field::new(*name, ty.clone(), true)).collect::<Vec<_>>());
    let as_decoded = |(name, ty): &(&str, DataType)| {
        Field::new(*name, if *ty == DataType::Int64 { DataType::Utf8 } else { ty.clone() }, true)
    };
    Arc::new(Layout {
        decoded: Arc::new(Schema::new(columns.iter().map(as_decoded).collect::<Vec<_>>())),
        wanted: vec![0, 1, 2],
        readings: vec![Reading::Whole, Reading::AsIs, Reading::AsIs],
        on_error: OnError::Reject,
        strict: false,
        expected: None,
        choices: None,
        max_record,
        output: Output::new(&schema, None, None).unwrap(),
    })
}

fn task(batch_rows: usize) -> Task {
    Task {
        run: "test".into(),
        node: "node".into(),
        instance: 0,
        instances: 1,
        memory: Memory::new(1 << 20),
        scratch: std::env::temp_dir(),
        batch_rows,
        batch_bytes: 1 << 20,
        wake: Default::default(),
    }
}

fn drain(mut reader: NdjsonReader, block: usize) -> Recorder {
    reader.block = block;
    let mut out = Recorder::default();
    while reader.read(&mut out).unwrap() != Next::Done {}
    out.check_law(0);
    out
}

fn read(text: &[u8], layout: &Arc<Layout>, block: usize, rows: usize) -> Recorder {
    let input = Input::of(std::io::Cursor::new(text.to_vec()), "t.json");
    drain(NdjsonReader::new(layout.clone(), input, "t.json".into(), None, &task(rows)), block)
}

fn rows(out: &Recorder) -> Vec<String> {
    let lines = |batch| show(batch).lines().skip(1).map(str::to_string).collect::<Vec<_>>();
    out.sent.values().flatten().flat_map(lines).collect()
}

/// In the order of the lines; within a batch, lines that cannot be decoded come before those with a bad value.
fn rejected(out: &Recorder) -> Vec<Rejection> {
    let line = |r: &Rejection| -> usize { r.message.split(':').nth(1).and_then(|n| n.parse().ok()).unwrap_or(0) };
    let mut rejected = out.rejected.clone();
    rejected.sort_by_key(line);
    rejected
}

/// Lines good and bad: whole, cut off, two in one, of wrong types, no JSON at all.
fn lines() -> impl Strategy<Value = Vec<u8>> {
    let line = prop_oneof![
        6 => (any::<i32>(), "[a-zä\"\\\\]{0,6}").prop_map(|(a, b)| serde_json::json!({ "a": a, "b": b, "c": [1] }).to_string().into_bytes()),
        1 => Just(br#"{"a":1.5}"#.to_vec()),
        1 => Just(br#"{"c":[1,"x"]}"#.to_vec()),
        1 => Just(br#"{"c":{"d":1}}"#.to_vec()),
        1 => Just(br#"{"a":"#.to_vec()),
        1 => Just(b"1}".to_vec()),
        1 => Just(br#"{"a":1} {"a":2}"#.to_vec()),
        1 => Just(br#"{"b":"x"#.to_vec()),
        1 => Just(b"5".to_vec()),
        1 => Just(b"null".to_vec()),
        1 => Just(b"[]".to_vec()),
        1 => Just(b"  \r".to_vec()),
        1 => Just(b"{\"b\":\"\xff\"}".to_vec()),
        1 => Just(br#"{"b":"\ud800"}"#.to_vec()),
        1 => Just("{".repeat(600).into_bytes()),
        1 => prop::collection::vec(any::<u8>(), 0..20),
        1 => prop::collection::vec(prop::sample::select(&b"{}[]\",:\\ 019e-tfn"[..]), 0..20),
    ];
    prop::collection::vec(line, 0..25).prop_map(|lines| lines.join(&b'\n'))
}

proptest! {

    #[test]
    fn every_line_stands_for_itself(text in lines(), block in 1usize..300, batch in 1usize..30, small in any::<bool>()) {
        let layout = layout(if small { 60 } else { 1 << 20 });
        let found = read(&text, &layout, block, batch);
        // One line at a time, each in a file of its own.
        let (mut good, mut bad) = (vec![], vec![]);
        for (i, line) in text.split(|b| *b == b'\n').enumerate() {
            let alone = read(line, &layout, 4096, 1);
            good.extend(rows(&alone));
            bad.extend(alone.rejected.into_iter().map(|r| Rejection { message: r.message.replace(":1:", &format!(":{}:", i + 1)), ..r }));
        }
        prop_assert_eq!(rows(&found), good);
        prop_assert_eq!(rejected(&found), bad);
    }

    #[test]
    fn ranges_give_the_whole(text in lines(), bom in any::<bool>(), distance in 1u64..200) {
        let text = if bom { [BOM.to_vec(), text].concat() } else { text };
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.json");
        std::fs::write(&path, &text).unwrap();
        let layout = layout(1 << 20);
        let whole = read(&text, &layout, 4096, 100);
        let file = Found::local(&path, "t.json");
        let cuts = cuts(&file, file.bytes, distance).unwrap();
        let lines = Arc::new(Lines::new(Found::local(&path, "t.json"), cuts.clone()));
        let (mut found, mut bad) = (vec![], vec![]);
        for (range, ends) in cuts.windows(2).enumerate().rev() {
            let input = Input::part(&Found::local(&path, "t.json"), ends[0], ends[1]).unwrap();
            let part = Part { lines: lines.clone(), range };
            let out = drain(NdjsonReader::new(layout.clone(), input, "t.json".into(), Some(part), &task(3)), 50);
            found.splice(0..0, rows(&out));
            bad.splice(0..0, rejected(&out));
        }
        prop_assert_eq!(found, rows(&whole));
        prop_assert_eq!(bad, rejected(&whole));
    }
}

// ---- through the node ----

fn lake(files: &[(&str, &[u8])]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

fn case(folder: &tempfile::TempDir, config: &str) -> Case<Files<Embedded>> {
    Case::new(config).base(folder.path())
}

fn messages(rejected: &[Rejection]) -> Vec<String> {
    rejected.iter().map(|r| format!("{} {}", r.code, r.message)).collect()
}

#[test]
fn columns_come_from_the_first_lines_in_their_order() {
    let lake = lake(&[
        ("a.json", b"{\"z\":1,\"t\":\"x\",\"n\":null,\"o\":{\"p\":1,\"q\":[true]}}\n\n{\"z\":2.5,\"m\":1}\n"),
        ("b.json", b"\xef\xbb\xbf{\"m\":\"one\",\"t\":3,\"e\":{},\"l\":[]}"),
    ]);
    let done = case(&lake, r#"(path: "*.json", format: Ndjson, file_name: "file", row_number: "nr")"#).run();
    assert_eq!(
        done.text(),
        "z:Float64 | t:Utf8 | n:Utf8 | o:Struct(\"p\": Int64, \"q\": List(Boolean)) | m:Utf8 | l:List(Utf8) | file:Utf8 | nr:Int64\n\
         1.0 | x | null | {p: 1, q: [true]} | null | null | a.json | 1\n\
         2.5 | null | null | null | 1 | null | a.json | 2\n\
         null | 3 | null | null | one | [] | b.json | 1"
    );
    case(&lake, r#"(path: "*.json", format: Ndjson, columns: ["t", "z"])"#)
        .run()
        .expect("t | z:Float64\nx | 1\nnull | 2.5\n3 | null");
    assert_eq!(case(&lake, r#"(path: "*.json", format: Ndjson, columns: [])"#).run().rows(0).num_rows(), 3);
}

#[test]
fn bad_lines_are_rejected_and_the_others_go_on() {
    let text = b"{\"a\":1}\n{\"a\":2\n{\"a\":3} {\"a\":4}\n7\n{\"a\":\"x\"}\n\n{\"a\":{\"b\":1}}\n{\"a\":5,\"t\":\"\xff\"}\n{\"a\":12.0}\n{\"a\":12.5}\n";
    let lake = lake(&[("t.json", text)]);
    let done = case(&lake, r#"(path: "t.json", format: Ndjson(sample: 1))"#).run();
    done.expect_in_order("a:Int64\n1\n12");
    let expected = [
        "ndjson.syntax t.json:2: EOF while parsing an object at byte 6",
        "ndjson.syntax t.json:3: trailing characters at byte 9",
        "ndjson.type t.json:4: expected an object, found 7",
        "ndjson.type t.json:7: whilst decoding field 'a': expected string got {\"b\": 1}",
        "ndjson.utf8 t.json:8: not UTF-8, at byte 13 of the line",
        "ndjson.type t.json:5: cannot read `x` in column `a` as Int64",
        "ndjson.type t.json:10: cannot read `12.5` in column `a` as Int64",
    ];
    assert_eq!(messages(&done.rejected), expected);
    assert_eq!(done.rejected[0].raw, "{\"a\":2");
    let parts = case(&lake, r#"(path: "t.json", format: Ndjson(sample: 1), split_bytes: 10)"#).run();
    assert_eq!(parts.text(), done.text());
    let sorted = |done: &selvedge_testkit::Done| {
        let mut all = messages(&done.rejected);
        all.sort();
        all
    };
    assert_eq!(sorted(&parts), sorted(&done));
}

#[test]
fn declared_types_are_cast_as_spark_does() {
    let lake = lake(&[(
        "t.json",
        br#"{"n":"12.7","d":"2024-1-5","l":[1,2],"x":1}
{"n":"N/A","d":20240105}
{"n":7}
"#,
    )]);
    let config = |more: &str| {
        format!(r#"(path: "t.json", format: Ndjson, schema: {{ "n": Int32, "d": Date, "l": List(Int16) }}, {more})"#)
    };
    let built = case(&lake, &config("")).build().unwrap();
    assert!(built.notes.contains(&"fields that are no column: x".to_string()), "{:?}", built.notes);
    let done = case(&lake, &config("")).run();
    assert_eq!(done.text(), "n:Int32 | d:Date32 | l:List(Int16)\n12 | 2024-01-05 | [1, 2]\n7 | null | null");
    assert_eq!(messages(&done.rejected), ["ndjson.type t.json:2: cannot read `N/A` in column `n` as Int32"]);
    let done = case(&lake, &config("on_error: Null")).run();
    assert_eq!(done.text().lines().nth(2), Some("null | null | null"));
    let error = case(&lake, &config("on_error: Fail")).try_run().unwrap_err();
    assert!(error.message.starts_with("t.json:2: cannot read `N/A`"), "{error}");
}

#[test]
fn deep_and_long_lines_are_rejected() {
    let mut text = String::from("{\"a\":[1]}\n");
    writeln!(text, "{{\"a\":{}1{}}}", "[".repeat(200_000), "]".repeat(200_000)).unwrap();
    writeln!(text, "{{\"b\":\"{}\"}}", "[{".repeat(100_000)).unwrap();
    writeln!(text, "{{\"b\":\"{}\"}}", "x".repeat(1_000_000)).unwrap();
    text.push_str("{\"a\":[2]}");
    let lake = lake(&[("t.json", text.as_bytes())]);
    let done =
        case(&lake, r#"(path: "t.json", format: Ndjson(max_record: 500000), schema: { "a": List(Int64) })"#).run();
    assert_eq!(done.rows(0).num_rows(), 3);
    let expected = [
        "ndjson.record_too_long t.json:4: a line of 1000008 bytes, where 500000 are allowed",
        "ndjson.syntax t.json:2: nested deeper than 512 levels",
    ];
    assert_eq!(messages(&done.rejected), expected);
    assert!(done.rejected.iter().all(|r| r.raw.len() == 65536));
}

#[test]
fn unknown_fields_are_rejected_on_request() {
    let lake = lake(&[("t.json", b"{\"a\":1,\"b\":2}\n{\"a\":1,\"c\":2}\n{\"b\":{\"x\":1}}\n")]);
    let config = r#"(path: "t.json", format: Ndjson(unknown_fields: Reject), schema: { "a": Int64, "b": Int64 }, columns: ["b"])"#;
    let done = case(&lake, config).run();
    done.expect_in_order("b:Int64\n2");
    let codes: Vec<&str> = done.rejected.iter().map(|r| r.code.as_str()).collect();
    assert_eq!(codes, ["ndjson.unknown_field", "ndjson.type"]);
}

#[test]
fn files_without_a_shape_are_problems() {
    let lake =
        lake(&[("a.json", b"{\"a\":{\"b\":1}}\n{\"a\":{\"b\":[1]}}\n"), ("b.json", b"\n"), ("c.json", b"{\"a\":1}\n")]);
    let problems = |config: &str| case(&lake, config).problems();
    assert_eq!(
        problems(r#"(path: "a.json", format: Ndjson)"#),
        "the field `a.b` is a single value in some lines and a list in others (declare the schema; rows with values that do not \
         fit then go to errors)"
    );
    assert!(problems(r#"(path: "b.json", format: Ndjson)"#).starts_with("every file is empty"));
    assert_eq!(
        problems(r#"(path: "c.json", format: Ndjson, columns: ["b"])"#),
        "no column named `b` (did you mean `a`?)"
    );
}

#[test]
fn fields_behind_the_sample_are_told() {
    let mut text = "{\"a\":1,\"o\":{\"x\":1},\"l\":[{\"y\":1}]}\n".repeat(30);
    text.push_str("{\"a\":2,\"z\":1}\n{\"a\":3,\"o\":{\"x\":2,\"new\":[1]},\"z\":null}\n{\"l\":[{\"y\":2},{\"w\":3}],\"z\":2}\n{\"a\":\"?\",\"z\":3}\n");
    text.push_str("{\"a\":4}\n{broken\n");
    let lake = lake(&[("t.json", text.as_bytes())]);
    let done = case(&lake, r#"(path: "t.json", format: Ndjson(sample: 10))"#).run();
    assert_eq!(done.rows(0).num_rows(), 34);
    let told = |name: &str| format!("field not in the sample, not read: {name}");
    assert_eq!(done.altered, [(told("l.w"), 1), (told("o.new"), 1), (told("z"), 3)].into());
    assert_eq!(done.rejected.len(), 2);
    // A column that was left out on purpose is no surprise, nor is one beside a declared schema.
    for config in [
        r#"(path: "t.json", format: Ndjson(sample: 10), columns: ["a"])"#,
        r#"(path: "t.json", format: Ndjson, schema: {"a": Int64})"#,
    ] {
        assert!(case(&lake, config).run().altered.is_empty());
    }
}

#[test]
fn keys_that_are_data_do_not_make_reasons_without_end() {
    let mut text = "{\"a\":1}\n".repeat(10);
    (0..1000).for_each(|i| writeln!(text, "{{\"a\":1,\"k{i:04}\":1}}").unwrap());
    let lake = lake(&[("t.json", text.as_bytes())]);
    let done = case(&lake, r#"(path: "t.json", format: Ndjson(sample: 10))"#).run();
    assert!(done.altered.len() <= 30, "{}", done.altered.len());
    assert_eq!(done.altered.values().sum::<u64>(), 1000);
}

#[test]
fn numbers_beyond_all_bounds_are_guessed_with_care() {
    let text =
        b"{\"id\":18446744073709551615,\"x\":1e999,\"y\":2}\n{\"id\":123456789012345678901234567890,\"x\":-1.5}\n";
    let lake = lake(&[("t.json", text)]);
    case(&lake, r#"(path: "t.json", format: Ndjson)"#).run().expect_in_order(
        "id | x:Float64 | y:Int64\n18446744073709551615 | inf | 2\n123456789012345678901234567890 | -1.5 | null",
    );
}

#[test]
fn other_formats_are_named() {
    let problem = |text: &str| {
        let lake = lake(&[("t.json", text.as_bytes())]);
        case(&lake, r#"(path: "t.json", format: Ndjson)"#).problems()
    };
    assert_eq!(
        problem("[{\"a\":1},\n{\"a\":2}]"),
        "no line of t.json is a JSON object, such as `[{\"a\":1},` (if it is one JSON list, make a line of each of its items: jq -c '.[]')"
    );
    assert!(problem("{\n  \"a\": 1\n}\n").contains("jq -c ."));
    assert!(problem("{\"a\":1}\r{\"a\":2}\r").contains("must end in LF"));
    assert!(problem("sku,qty\n1,2\n").contains("is the format another one?"));
    assert!(problem("{}\n{\"a\":{}}\n").starts_with("no object of the sample has a field with a value"));
    assert!(problem("\n\n").starts_with("every file is empty"));
}
