//! What is in the files, in which of them, and what happens to it when commits come again.

use super::*;
use crate::files::tests::{commit, data, task, text};
use selvedge_connect::Embedded;
use selvedge_node::Work;
use selvedge_testkit::{Case, Recorder, table};
use std::path::Path;

const CHAT: &str = r#"(connection: "search", index: "chat", id: ["s", "m"])"#;

fn case(config: &str, base: &Path) -> Case<Search<Embedded>> {
    Case::new(config).base(base).connection("search", "Folder", r#"(path: "search")"#)
}

fn sink(config: &str, base: &Path, rows: &str) -> Arc<dyn Sink> {
    let built = case(config, base).input(rows).build().unwrap_or_else(|p| panic!("{p}"));
    let Work::Sink(sink) = built.work else { panic!("a sink") };
    sink
}

/// All lines of the index, file by file.
fn lines(base: &Path, index: &str) -> String {
    let folder = base.join("search").join(index);
    data(&folder).iter().map(|name| text(&folder.join(name))).collect()
}

/// The ids in some lines.
fn ids(lines: &str) -> Vec<String> {
    let actions = lines.lines().step_by(2).map(|l| serde_json::from_str::<serde_json::Value>(l).unwrap());
    actions.map(|a| a["index"]["_id"].as_str().unwrap().to_string()).collect()
}

#[test]
fn documents_have_an_action_and_no_nulls() {
    let dir = tempfile::tempdir().unwrap();
    let done = case(CHAT, dir.path())
        .input(
            "s | m:Int64 | t:Timestamp(ms, \"UTC\") | d:Date32 | text | p:Decimal128(10, 2)
             s1 | 7 | 2024-03-01T10:00:00.250Z | 2024-03-01 | \"say \\\"hi\\\"\\n¡ñ 👋\" | 3.50
             s2 | 8 | null | null | null | null",
        )
        .run();
    assert_eq!(done.absorbed["written"], 2);
    assert_eq!(data(&dir.path().join("search/chat")), ["bulk-test-0-0.ndjson"]);
    assert_eq!(
        lines(dir.path(), "chat"),
        r#"{"index":{"_index":"chat","_id":"s1|7"}}
{"s":"s1","m":7,"t":"2024-03-01T10:00:00.250Z","d":"2024-03-01","text":"say \"hi\"\n¡ñ 👋","p":3.50}
{"index":{"_index":"chat","_id":"s2|8"}}
{"s":"s2","m":8}
"#
    );
}

#[test]
fn ids_are_what_elasticsearch_takes_and_differ_where_values_do() {
    let long = "é".repeat(257);
    let rows = RecordBatch::try_from_iter([
        ("s", Arc::new(arrow::array::StringArray::from(vec!["a|b", "a", "a\\", &long, ""])) as ArrayRef),
        ("m", Arc::new(arrow::array::StringArray::from(vec!["c", "b|c", "b", "x", ""])) as ArrayRef),
    ])
    .unwrap();
    let dir = tempfile::tempdir().unwrap();
    case(CHAT, dir.path()).batch(rows.clone()).run();
    let found = ids(&lines(dir.path(), "chat"));
    // printf '…|x' | sha256sum
    let hash = "3d7d72a66bd49d821124e28bb1643adf67561f110e3ca72b1ae2fd2f42b73255";
    assert_eq!(found, ["a\\|b|c", "a|b\\|c", "a\\\\|b", hash, "|"]);

    // One column: its text as it is, and an empty one is refused.
    let dir = tempfile::tempdir().unwrap();
    let done = case(r#"(connection: "search", index: "one", id: ["s"])"#, dir.path()).batch(rows).run();
    assert_eq!(ids(&lines(dir.path(), "one"))[..3], ["a|b", "a", "a\\"]);
    assert_eq!(done.rejected.iter().map(|r| r.code.as_str()).collect::<Vec<_>>(), ["search.id"]);
}

#[test]
fn a_null_in_an_id_is_rejected() {
    let dir = tempfile::tempdir().unwrap();
    let rows = "s | m | n:Int64\na | x | 1\na | null | 2\na | y | 3\nnull | z | 4\na | w | 5";
    let done = case(CHAT, dir.path()).input(rows).run();
    assert_eq!(ids(&lines(dir.path(), "chat")), ["a|x", "a|y", "a|w"]);
    let rejected: Vec<_> = done.rejected.iter().map(|r| (r.code.as_str(), r.message.as_str())).collect();
    let expected = [
        ("search.id", "the id is null: column `m` has no value"),
        ("search.id", "the id is null: column `s` has no value"),
    ];
    assert_eq!(rejected, expected);
    assert!(case(CHAT, dir.path()).input(rows).run_strict().is_err());
}

#[test]
fn without_columns_the_id_is_that_of_the_content() {
    let dir = tempfile::tempdir().unwrap();
    let config = r#"(connection: "search", index: "chat")"#;
    case(config, dir.path()).input("a | b:Int64\nx | 1\ny | null\nx | 1").run();
    let found = ids(&lines(dir.path(), "chat"));
    // printf '{"a":"x","b":1}\n' | sha256sum
    assert_eq!(found[0], "b9726bbcdf05823038cfdf7612b50329709a519a5da6f1ac21671f6b5dd31dc2");
    assert!(found[0] == found[2] && found[0] != found[1]);
}

#[test]
fn a_file_is_never_larger_than_told_but_for_one_document() {
    let dir = tempfile::tempdir().unwrap();
    let config = r#"(connection: "search", index: "chat", id: ["id"], roll: (size: "300B"))"#;
    let rows: String = (0..40).map(|i| format!("{i} | {}\n", "x".repeat(if i == 20 { 500 } else { i % 7 }))).collect();
    for batch in [1, 3, 40] {
        let dir = dir.path().join(batch.to_string());
        let rows = table(&format!("id:Int64 | t\n{rows}"));
        let sink = sink(config, &dir, "id:Int64 | t\n1 | x");
        let mut writer = sink.open(&task("r", 0)).unwrap();
        let mut out = Recorder::default();
        for at in (0..40).step_by(batch) {
            writer.write(0, rows.slice(at, batch.min(40 - at)), &mut out).unwrap();
        }
        out.check_law(40);
        assert!(out.published_soon > 0);
        let pending = writer.flush(1, &mut out).unwrap();
        sink.commit(&commit("r"), &[pending]).unwrap();
        let folder = dir.join("search/chat");
        let sizes: Vec<usize> =
            (0..data(&folder).len()).map(|n| text(&folder.join(format!("bulk-r-0-{n}.ndjson"))).len()).collect();
        assert_eq!(sizes.iter().filter(|s| **s > 300).count(), 1, "{sizes:?}");
        assert!(sizes.windows(2).all(|pair| pair[0] + pair[1] > 300), "{sizes:?}");
        let all: String = (0..sizes.len()).map(|n| text(&folder.join(format!("bulk-r-0-{n}.ndjson")))).collect();
        assert_eq!(ids(&all), (0..40).map(|i| i.to_string()).collect::<Vec<_>>());
    }
}

#[test]
fn epochs_add_and_repeated_commits_do_nothing() {
    for (mode, expected) in [("Append", 5), ("Replace", 3)] {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("search/chat");
        let config = format!(r#"(connection: "search", index: "chat", id: ["s"], mode: {mode})"#);
        let sink = sink(&config, dir.path(), "s\nx");
        for run in ["r1", "r2"] {
            let mut writer = sink.open(&task(run, 0)).unwrap();
            for epoch in 1..=4 {
                // Nothing comes in the third epoch; the second run has one more row.
                let count = if epoch == 3 || (run == "r1" && epoch == 4) { 0 } else { 1 };
                let rows = table(&format!("s\n{}", format!("{run}{epoch}\n").repeat(count)));
                writer.write(0, rows, &mut Recorder::default()).unwrap();
                let before = data(&folder).into_iter().filter(|n| !n.starts_with('.')).count();
                let pending = [writer.flush(epoch, &mut Recorder::default()).unwrap()];
                assert_eq!(data(&folder).into_iter().filter(|n| !n.starts_with('.')).count(), before);
                for _ in 0..2 {
                    sink.commit(&Commit { run: run.into(), epoch }, &pending).unwrap();
                }
            }
        }
        assert_eq!(data(&folder).len(), expected, "{:?}", data(&folder));
        let names = data(&folder);
        let last = if mode == "Append" { "bulk-r2-e4-0-0.ndjson" } else { "bulk-e4-0-0.ndjson" };
        assert!(names.iter().any(|n| n == last), "{names:?}");
    }
}

#[test]
fn an_aborted_run_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let sink = sink(CHAT, dir.path(), "s | m\na | b");
    let mut writer = sink.open(&task("r", 0)).unwrap();
    writer.write(0, table("s | m\na | b"), &mut Recorder::default()).unwrap();
    let pending = writer.flush(1, &mut Recorder::default()).unwrap();
    drop(writer);
    sink.abort(&[pending]);
    assert_eq!(std::fs::read_dir(dir.path().join("search/chat")).unwrap().count(), 0);
}

/// Another language's JSON reads every line, and finds what was put in.
#[test]
fn python_reads_every_line() {
    let dir = tempfile::tempdir().unwrap();
    let rows = "s | m | f:Float64 | t:Timestamp(µs) | b:Boolean
                \"\\\"q\\\" \\t \u{1}\u{2028}\u{7f} مرحبا é\" | 1 | 0.1 | 2024-03-01T10:00:00.000001 | true
                s | 2 | NaN | null | null
                \\ | 3 | 1e300 | 1969-12-31T23:59:59 | false";
    case(CHAT, dir.path()).input(rows).run();
    let script = r#"
import datetime, json, sys
lines = open(sys.argv[1], encoding="utf-8", newline="\n").read().split("\n")
assert lines.pop() == "" and len(lines) == 6
for action, document in zip(lines[::2], lines[1::2]):
    action, document = json.loads(action), json.loads(document)
    assert list(action) == ["index"] and action["index"]["_index"] == "chat"
    escaped = document["s"].replace("\\", "\\\\").replace("|", "\\|")
    assert action["index"]["_id"] == escaped + "|" + document["m"], (action, document)
    if "t" in document:
        datetime.datetime.fromisoformat(document["t"])
print(json.dumps([json.loads(l).get("s") for l in lines[1::2]]))
"#;
    let file = dir.path().join("search/chat/bulk-test-0-0.ndjson");
    let python = std::process::Command::new("python3").arg("-c").arg(script).arg(&file).output().unwrap();
    assert!(python.status.success(), "{}", String::from_utf8_lossy(&python.stderr));
    let texts: Vec<String> = serde_json::from_slice(&python.stdout).unwrap();
    assert_eq!(texts, ["\"q\" \t \u{1}\u{2028}\u{7f} مرحبا é", "s", "\\"]);
}

#[test]
fn all_problems_are_told_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let problems = |config: &str| case(config, dir.path()).input("s | f:Float64 | _id | a..b").problems();
    assert_eq!(
        problems(r#"(connection: "serch", index: "Chat", id: ["f", "s", "s", "x"], roll: (size: "200MiB"))"#),
        "no connection named `serch` (did you mean `search`?)\n\
         an index cannot be named `Chat`: a name has no upper case (use lower case, digits, `-`, `_` and `.`, as in `chat-keywords`)\n\
         no column named `x` (did you mean `f`, `s`?)\n\
         column `_id` cannot be a field: the name is Elasticsearch's own (rename, cast or drop it before with SchemaEdit)\n\
         column `a..b` cannot be a field: a dot parts names, and one of them has no letter (rename, cast or drop it before with SchemaEdit)\n\
         files of 209715200 bytes are more than Elasticsearch takes (roll: (size: \"10MiB\"); the most is 100MiB)"
    );
    let problems = |index: &str| {
        case(&format!(r#"(connection: "search", index: "{index}", id: ["f", "s", "s"])"#), dir.path())
            .input("s | f:Float64")
            .problems()
    };
    let found = problems("chat");
    assert!(
        found.contains("`f` of type Float64 cannot be part of an id") && found.contains("`s` is named twice"),
        "{found}"
    );
    for index in ["", "..", "_x", "-x", "a b", "a/b", "a:b", "a*", ".x"] {
        assert!(problems(index).contains("an index cannot be named"), "{index}");
    }
    let built = case(r#"(connection: "search", index: "x", roll: (interval: "5s"))"#, dir.path());
    let built = built.input("s\nx").build().unwrap();
    assert_eq!(built.publish_every, Some(std::time::Duration::from_secs(5)));
}
