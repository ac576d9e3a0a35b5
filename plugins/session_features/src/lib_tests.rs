//! Tests of the node: `test::transform` cuts the input three ways and saves and loads the state after every batch.

use super::*;
use selvedge_guest::test;

const MINUTE: i64 = 60_000_000;
/// 2024-03-01 00:00:00, a Friday, in microseconds.
const DAY: i64 = 1_709_251_200_000_000;

/// Events as `user minute type item`, `-` for null, `_` for an empty text.
fn table(events: &str) -> String {
    let mut table = "user | at:tsu:UTC | event | sku\n".to_string();
    for line in events.lines().map(str::trim).filter(|l| !l.is_empty()) {
        let cells: Vec<&str> =
            line.split(' ').map(|c| c.trim_matches('_')).map(|c| if c == "-" { "null" } else { c }).collect();
        let time = cells[1].parse().map_or("null".to_string(), |minute: i64| (DAY + minute * MINUTE).to_string());
        table += &format!("{} | {time} | {} | {}\n", cells[0], cells[2], cells[3]);
    }
    table
}

const CONFIG: &str = r#"{"user": "user", "time": "at", "type": "event", "item": "sku", "last_items": 2,
    "counts": {"views": ["view", "screen"], "buys": ["buy"], "all": ["view", "screen", "buy"]}}"#;

fn run(events: &str) -> test::Done {
    test::transform::<SessionFeatures>(CONFIG, &[("in", &table(events))])
}

#[test]
fn events_become_sessions() {
    let done = run("ann 600 view A
                    bob 601 view A
                    ann 605 screen B
                    ann 603 view C
                    ann 604 - A
                    ann 630 buy B
                    ann 661 wish -
                    bob 2000 other A\"\\");
    done.expect(&format!(
        r#"user | session_id          | session_start:tsu:UTC | session_end:tsu:UTC | seconds:Int64 | events:Int64 | views:Int64 | buys:Int64 | all:Int64 | distinct_items:Int64 | last_items | bounce:Boolean | hour:Int32 | weekday:Int32
           bob | bob-20240301T100100 | {} | {} | 0    | 1 | 1 | 0 | 1 | 1 | ["A"]     | true  | 10 | 5
           ann | ann-20240301T100000 | {} | {} | 1800 | 5 | 3 | 1 | 4 | 3 | ["A","B"] | false | 10 | 5
           ann | ann-20240301T110100 | {} | {} | 0    | 1 | 0 | 0 | 0 | 0 | []        | true  | 11 | 5
           bob | bob-20240302T092000 | {} | {} | 0    | 1 | 0 | 0 | 0 | 1 | ["A\"\\"] | true  | 9  | 6"#,
        DAY + 601 * MINUTE,
        DAY + 601 * MINUTE,
        DAY + 600 * MINUTE,
        DAY + 630 * MINUTE,
        DAY + 661 * MINUTE,
        DAY + 661 * MINUTE,
        DAY + 2000 * MINUTE,
        DAY + 2000 * MINUTE
    ));
    assert_eq!((done.absorbed["grouped"], done.created["sessions"]), (8, 4));
}

#[test]
fn rows_without_user_or_time_and_late_ones_are_rejected() {
    let done = run("- 1 view A
                    ann - view A
                    ann 100 view A
                    ann 40 view A
                    ann 39 view A
                    _ 1 view A");
    let told: Vec<_> = done.rejected.iter().map(|r| (r.code.as_str(), r.message.as_str())).collect();
    assert_eq!(
        told,
        [
            ("session.user", "expected a user, found null"),
            ("session.user", "expected a user, found an empty text"),
            ("session.time", "expected a time, found null"),
            (
                "session.late",
                "expected a time from 20240301T004000 on, found 20240301T003900: earlier sessions have ended"
            ),
        ]
    );
    assert_eq!(done.sent[0].values("session_start").len(), 2);
}

#[test]
fn users_and_items_may_be_numbers_and_columns_may_be_missing() {
    let config = r#"{"user": "id", "time": "at", "item": "sku", "gap_minutes": 1, "lateness_minutes": 0}"#;
    let table = "id:Int32 | at:tss: | sku:Int16\n -7 | 0 | 1\n -7 | 60 | 2\n -7 | 121 | 2\n 8 | 0 | null";
    let done = test::transform::<SessionFeatures>(config, &[("in", table)]);
    done.expect(
        r#"id:Int64 | session_id | session_start:tss: | session_end:tss: | seconds:Int64 | events:Int64 | distinct_items:Int64 | last_items | bounce:Boolean | hour:Int32 | weekday:Int32
           -7 | -7-19700101T000000 | 0   | 60  | 60 | 2 | 2 | ["1","2"] | false | 0 | 4
           -7 | -7-19700101T000201 | 121 | 121 | 0  | 1 | 1 | ["2"]     | true  | 0 | 4
           8  | 8-19700101T000000  | 0   | 0   | 0  | 1 | 0 | []        | true  | 0 | 4"#,
    );
    let config = r#"{"user": "id", "time": "at"}"#;
    let done = test::transform::<SessionFeatures>(config, &[("in", "id | at:tsn:\n a | 0")]);
    assert_eq!(done.sent[0].schema.fields.len(), 9);
}

#[test]
fn the_end_comes_in_parts() {
    // 4 MiB are wanted at once: two of these sessions.
    let users: Vec<String> = ["a", "b", "c", "d", "e"].map(|user| user.repeat(1 << 20)).into();
    let rows: String = users.iter().map(|user| format!("{user} | 0\n")).collect();
    let table = format!("id | at:tss:\n{rows}");
    let done = test::transform::<SessionFeatures>(r#"{"user": "id", "time": "at"}"#, &[("in", &table)]);
    assert_eq!(done.sent[0].values("id"), users);
}

#[test]
fn settings_are_checked() {
    test::example::<SessionFeatures>();
    for (config, at, message) in [
        ("{}", "user", "needs `user`: a text"),
        (r#"{"user": "usr", "time": "at"}"#, "user", "no column named `usr` (did you mean `user`?)"),
        (
            r#"{"user": "x", "time": "at"}"#,
            "user",
            "expected `x` to be text or a whole number of at most 63 bits, found Float64",
        ),
        (
            r#"{"user": "big", "time": "at"}"#,
            "user",
            "expected `big` to be text or a whole number of at most 63 bits, found UInt64",
        ),
        (r#"{"user": "user", "time": "user"}"#, "time", "expected `user` to be a timestamp, found Utf8"),
        (r#"{"user": "user", "time": "at", "gap_minutes": 0}"#, "gap_minutes", "expected 1 minute or more, found 0"),
        (
            r#"{"user": "user", "time": "at", "lateness_minutes": -1}"#,
            "lateness_minutes",
            "expected a whole number of 32 bits from 0, found -1",
        ),
        (
            r#"{"user": "user", "time": "at", "counts": {"views": ["view"]}}"#,
            "counts",
            "`counts` needs `type` (name the column that says what happened)",
        ),
        (
            r#"{"user": "user", "time": "at", "type": "user", "counts": {"views": "view"}}"#,
            "counts.views",
            "expected a list, found the text \"view\"",
        ),
        (
            r#"{"user": "user", "time": "at", "type": "user", "counts": {"events": ["view"]}}"#,
            "counts.events",
            "two columns of the output would be named `events`",
        ),
        (r#"{"user": "hour", "time": "at"}"#, "user", "two columns of the output would be named `hour`"),
    ] {
        let error = test::problem::<SessionFeatures>(
            config,
            "user | at:tss: | x:Float64 | big:UInt64 | hour\n a | 0 | 0 | 1 | b",
        );
        assert_eq!((error.at.as_deref(), error.to_string().as_str()), (Some(at), message), "{config}");
    }
}
