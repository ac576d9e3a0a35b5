//! Appends that are repeated, cut short and disturbed.

use super::append::{Append, append_all};
use selvedge_node::Commit;
use std::fs;
use std::path::Path;

fn commit(epoch: u64) -> Commit {
    Commit { run: "r".into(), epoch }
}

fn staged(folder: &Path, name: &str, text: &str) -> Append {
    fs::write(folder.join(name), text).unwrap();
    Append { shard: "s".into(), staged: name.into(), bytes: text.len() as u64, from: 0 }
}

fn shard(folder: &Path) -> String {
    fs::read_to_string(folder.join("s")).unwrap_or_default()
}

#[test]
fn a_repeated_commit_appends_nothing_twice() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let appends = |a, b| vec![staged(folder, a, "1\n"), staged(folder, b, "2\n")];
    append_all(folder, &commit(1), appends("a", "b")).unwrap();
    append_all(folder, &commit(1), vec![]).unwrap();
    assert_eq!(shard(folder), "1\n2\n");
    append_all(folder, &commit(2), appends("c", "d")).unwrap();
    assert_eq!(shard(folder), "1\n2\n1\n2\n");
    assert!(!folder.join("d").exists());
}

#[test]
fn a_commit_that_was_cut_short_is_finished_by_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    append_all(folder, &commit(1), vec![staged(folder, "a", "first\n")]).unwrap();
    // Killed when the intent was written and half of the second append was done.
    let mut appends = vec![staged(folder, "b", "second\n"), staged(folder, "c", "third\n")];
    (appends[0].from, appends[1].from) = (6, 13);
    let intent = serde_json::json!({ "run": "r", "epoch": 2, "appends": appends });
    fs::write(folder.join(".selvedge-appends.json"), intent.to_string()).unwrap();
    fs::write(folder.join("s"), "first\nsec").unwrap();
    append_all(folder, &Commit { run: "other".into(), epoch: 1 }, vec![staged(folder, "d", "fourth\n")]).unwrap();
    assert_eq!(shard(folder), "first\nsecond\nthird\nfourth\n");
}

#[test]
fn a_shard_that_somebody_else_wrote_to_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let mut append = staged(folder, "b", "second\n");
    append.from = 6;
    let intent = serde_json::json!({ "run": "r", "epoch": 2, "appends": [append] });
    fs::write(folder.join(".selvedge-appends.json"), intent.to_string()).unwrap();
    fs::write(folder.join("s"), "this is longer than all of that\n").unwrap();
    let error = append_all(folder, &commit(2), vec![]).unwrap_err();
    assert!(error.message.ends_with("has 32 bytes, but 6 to 13 were expected: something else wrote to it"), "{error}");
}
