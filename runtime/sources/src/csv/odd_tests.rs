//! CSV files that are not what they seem: what must be said before their rows are lost, and what must not take long.

use super::tests::{case, lake, task};
use super::*;
use selvedge_node::Next;
use selvedge_testkit::Recorder;

#[test]
fn a_file_that_would_pass_for_its_header_is_refused() {
    let lake = lake(&[("a.csv", b"a,b\r1,2\r3,4\r")]);
    let problem = |text: &[u8], config: &str| {
        std::fs::write(lake.path().join("a.csv"), text).unwrap();
        case(&lake, config).problems()
    };
    let plain = r#"(path: "a.csv", format: Csv)"#;
    assert!(problem(b"a,b\r1,2\r3,4\r", plain).contains("a carriage return without a line feed"));
    assert!(problem(b"a\r1\r2", r#"(path: "a.csv", format: Csv, schema: {"a": Utf8})"#).contains("tr '\\r' '\\n'"));
    assert!(problem(b"\0a\0,\0b\0\n\x001\0,\x002\0\n", plain).contains("bytes that are 0"));
    assert!(problem(b"a,\"b\n1,2\n3,4\n", plain).contains("the header of a.csv has a quote that is never closed"));
    // Line breaks between quotes are part of a name, and none of this is about files without a header.
    assert_eq!(problem(b"\"a\r\nx\",\"b\ny\"\n1,2\n", plain), "");
    assert_eq!(problem(b"a,\"b", r#"(path: "a.csv", format: Csv(header: false))"#), "");
}

#[test]
fn a_wrong_delimiter_and_a_column_that_is_there_twice_are_told() {
    let lake = lake(&[("a.csv", b"a;b;c\n1;2;3\n"), ("b.csv", b"a,b,a\n1,2,3\n"), ("c.csv", &[b','; 30])]);
    let warnings = |config: &str| {
        let built = case(&lake, config).build().unwrap();
        built.warnings.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    };
    assert!(warnings(r#"(path: "a.csv", format: Csv)"#).contains("Csv(delimiter: ';')"));
    assert_eq!(warnings(r#"(path: "a.csv", format: Csv(delimiter: ';'))"#), "");
    let twice = "the header of b.csv has `a` twice: the second is `a_2` (give the column a name in the file)";
    assert_eq!(warnings(r#"(path: "b.csv", format: Csv, schema: {"b": Utf8, "a": Utf8})"#), twice);
    assert_eq!(warnings(r#"(path: "b.csv", format: Csv, schema: {"b": Utf8})"#), "");
    let many = warnings(r#"(path: "c.csv", format: Csv)"#);
    assert!(many.lines().count() == 6 && many.contains("more such fields"), "{many}");
}

#[test]
fn a_wide_file_takes_neither_long_nor_much() {
    let columns = 20_000;
    let head: Vec<String> = (0..columns).map(|i| format!("column_of_{i}")).collect();
    let mut text = head.join(",");
    for _ in 0..3 {
        text.push('\n');
        text.push_str(&",".repeat(columns - 1));
    }
    let lake = lake(&[("a.csv", text.as_bytes()), ("b.csv", format!("{}\n", "a,".repeat(columns)).as_bytes())]);
    let declared = head.iter().map(|name| format!("{name:?}: Int32")).collect::<Vec<_>>().join(", ");
    let start = std::time::Instant::now();
    for config in [
        r#"(path: "a.csv", format: Csv)"#.to_string(),
        r#"(path: "b.csv", format: Csv)"#.to_string(),
        format!(r#"(path: "a.csv", format: Csv, schema: {{{declared}}})"#),
    ] {
        let built = case(&lake, &config).build().unwrap();
        assert!(built.outputs[0].fields().len() >= columns);
    }
    // Half a second without optimisation; comparing each name with each takes half a minute.
    assert!(start.elapsed().as_secs() < 15, "{:?}", start.elapsed());
    let values = Values::new(Dialect::default(), &[String::new()]);
    let built = case(&lake, r#"(path: "a.csv", format: Csv)"#).build().unwrap();
    let layout = Layout {
        values,
        width: columns,
        wanted: (0..columns).collect(),
        readings: vec![Reading::AsIs; columns],
        on_error: OnError::Reject,
        fill_ragged: false,
        max_record: 1 << 20,
        output: Output::new(&built.outputs[0], None, None).unwrap(),
    };
    let input = Input::whole(&Found::local(&lake.path().join("a.csv"), "a.csv"), Compression::Uncompressed).unwrap();
    let mut reader = CsvReader::new(Arc::new(layout), input, "a.csv".into(), true, None, &task(8192, 4 << 20));
    assert!(reader.room() < 4 << 20, "{} bytes before the first row", reader.room());
    let mut out = Recorder::default();
    while reader.read(&mut out).unwrap() != Next::Done {}
    assert_eq!(out.rows_sent(), 3);
}
