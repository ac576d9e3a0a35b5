//! What `check` says of a run that is killed.

use super::good;

#[test]
fn each_sink_is_told_how_often_a_row_comes() {
    let promises = |nodes: &str| good(nodes).guarantees();
    let sinks = r#""out": Files(input: "b"), "more": Files(input: "b"), "seen": Null(input: "b")"#;
    let seen = "every row at least once at `seen`: rows are seen there before they are committed";
    assert_eq!(
        promises(&format!(r#""a": Table(schema: {{"x": Int64}}), "b": Dedup(input: "a", columns: ["x"]), {sinks}"#)),
        [
            "all or nothing at `out`, `more`: rows are published when all have arrived; a run that is killed before has \
             published none, and the next one begins anew, as `b` (Dedup) cannot go on from a checkpoint",
            seen
        ]
    );
    assert_eq!(
        promises(&format!(r#""a": Table(schema: {{"x": Int64}}), {}"#, sinks.replace("\"b\"", "\"a\"")))[0],
        "all or nothing at `out`, `more`: rows are published when all have arrived; a run that is killed before has published none, and \
         the next one goes on from its last checkpoint"
    );
    let stream = r#""a": Table(schema: {"x": Int64}, unbounded: true)"#;
    assert_eq!(
        promises(&format!("{stream}, {}", sinks.replace("\"b\"", "\"a\""))),
        ["every row once at `out`, `more`: a run that is stopped or killed goes on from its last epoch", seen]
    );
    assert_eq!(
        promises(&format!(r#"{stream}, "b": Dedup(input: "a", columns: ["x"]), {sinks}"#)),
        [
            "every row at least once at `out`, `more`: what `b` (Dedup) remembers is lost with a run that is killed; the next \
             one reads again what was read since",
            seen
        ]
    );
}
