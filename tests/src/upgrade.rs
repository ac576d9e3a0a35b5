//! A checkpoint that an earlier release has written is gone on from: `data/checkpoint-1` was left by commit 90da25a, the last with version 1, in
//! the middle of a stream, with each kind of node that remembers something.

use crate::harness::{Place, copy_folder, top};
use std::os::unix::fs::MetadataExt;

/// The rows of each sink.
fn published(place: &Place) -> Vec<(&'static str, Vec<String>)> {
    let sinks = ["sessions", "minutes", "near", "words", "late", "late_minutes", "bad"];
    sinks.into_iter().map(|sink| (sink, place.published(&format!("out/{sink}")))).collect()
}

#[test]
fn a_checkpoint_of_version_1_is_gone_on_from() {
    let old = top().join("tests/data/checkpoint-1");
    let graph = std::fs::read_to_string(old.join("graph.ron")).unwrap();
    let (first, more) =
        (std::fs::read(old.join("in/a.ndjson")).unwrap(), std::fs::read(old.join("more.ndjson")).unwrap());
    let run = ["run", "graph.ron", "--once", "--quiet", "--threads", "2"];

    let whole = Place::with(&graph);
    whole.write("in/a.ndjson", [first.as_slice(), &more].concat());
    whole.selvedge(&run).code(0);

    let place = Place::with(&graph);
    place.write("in/a.ndjson", &first);
    copy_folder(&old.join("state"), &place.path(".selvedge"));
    copy_folder(&old.join("published"), &place.path("out"));
    // The shard is known by the number of its file, which a copy does not keep.
    let path = place.path(".selvedge/upgraded/checkpoint.json");
    let checkpoint = std::fs::read_to_string(&path).unwrap();
    assert!(checkpoint.contains("\"version\": 1,") && checkpoint.contains("5382245"));
    let number = std::fs::metadata(place.path("in/a.ndjson")).unwrap().ino();
    std::fs::write(&path, checkpoint.replace("5382245", &number.to_string())).unwrap();
    place.write("in/a.ndjson", [first.as_slice(), &more].concat());
    place.selvedge(&run).code(0);

    for ((sink, found), (_, expected)) in published(&place).into_iter().zip(published(&whole)) {
        assert!(found == expected, "{sink}: {} rows, and {} in one go", found.len(), expected.len());
        assert!(!found.is_empty() || ["late", "late_minutes", "bad"].contains(&sink), "{sink} has no row");
    }
}
