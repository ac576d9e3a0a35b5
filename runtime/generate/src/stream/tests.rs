//! Streams are what their settings say, and lines are what readers take.

use super::*;
use std::collections::{BTreeSet, HashMap};

fn settings(events: Events) -> Settings {
    let start = 1_709_280_000_000_000;
    Settings { events, seed: 1, start, rate: 100.0, duplicates: 0.02, out_of_order: 0.1, late: 0.01 }
}

fn lines(settings: Settings, events: u64) -> Vec<(u64, String)> {
    let stream = Stream::new(settings);
    let line = |number| {
        let mut line = vec![];
        let key = stream.write(number, &mut line);
        let line = String::from_utf8(line).unwrap();
        assert!(line.ends_with('\n') && !line.trim_end().contains('\n') && line.len() > 20, "{line:?}");
        (key, line)
    };
    (0..events).map(line).collect()
}

/// The first value behind `mark` in a line.
fn after<'a>(line: &'a str, mark: &str) -> Option<&'a str> {
    let rest = line.split_once(mark)?.1;
    rest.split(['"', ' ', ',']).next()
}

#[test]
fn lines_depend_on_the_settings_alone() {
    for &events in Events::ALL {
        let first = lines(settings(events), 2000);
        assert_eq!(first, lines(settings(events), 2000));
        assert_ne!(first, lines(Settings { seed: 2, ..settings(events) }, 2000));
        // Begun again later, no event has the id of an earlier one.
        let later = lines(Settings { start: 1_709_280_000_000_000 + 3_600_000_000, ..settings(events) }, 2000);
        assert!(first.iter().zip(&later).all(|(a, b)| a.1 != b.1));
        assert_eq!(Events::find(&events.name().to_uppercase()), Some(events));
    }
}

#[test]
fn shares_are_kept() {
    for &events in Events::ALL {
        let lines = lines(settings(events), 20_000);
        let different: BTreeSet<&str> = lines.iter().map(|(_, line)| line.as_str()).collect();
        let copies = lines.len() - different.len();
        assert!((320..480).contains(&copies), "{}: {copies} copies", events.name());
    }
    let none = Settings { duplicates: 0.0, out_of_order: 0.0, late: 0.0, ..settings(Events::Clickstream) };
    let stream = Stream::new(none.clone());
    assert!((0..1000).all(|n| stream.event(n).time == stream.sent_at(n)));
    assert_eq!(stream.sent_at(150), none.start + 1_500_000);
    let stream = Stream::new(settings(Events::Clickstream));
    let delays: Vec<u64> = (0..20_000).map(|n| stream.sent_at(n) - stream.event(n).time).collect();
    let count = |range: std::ops::Range<u64>| delays.iter().filter(|d| range.contains(d)).count();
    let (disorder, late) = (count(1..DISORDER), count(DISORDER..LATENESS));
    assert!((1_800..2_200).contains(&disorder) && (150..250).contains(&late), "{disorder}, {late}");
}

#[test]
fn users_have_sessions_and_stay_in_their_shard() {
    let lines = lines(settings(Events::Clickstream), 30_000);
    let mut users: HashMap<&str, (u64, usize)> = HashMap::new();
    for (key, line) in &lines {
        if let Some(user) = after(line, "\"id\":\"") {
            let entry = users.entry(user).or_insert((*key, 0));
            assert_eq!(entry.0, *key);
            entry.1 += 1;
        }
    }
    // Five minutes at 100 events a second: 1500 users with 20 events each.
    assert!((1_400..1_600).contains(&users.len()), "{} users", users.len());
    let shards = users.values().fold([0; 8], |mut shards, (key, _)| {
        shards[shard(*key, 8)] += 1;
        shards
    });
    assert!(shards.iter().all(|n| (120..260).contains(n)), "{shards:?}");
    assert_eq!(shard(42, 1), 0);
}

#[test]
fn every_script_and_both_forms_are_in_the_chat() {
    let lines = lines(settings(Events::Chat), 3000);
    let logfmt = lines.iter().filter(|(_, l)| l.starts_with("ts=")).count();
    assert!((500..700).contains(&logfmt), "{logfmt}");
    assert!(lines.iter().filter(|(_, l)| !l.starts_with("ts=")).all(|(_, l)| l.ends_with("}}\n")));
    for word in ["طلبي", "ההזמנה", "o\u{301}", "नहीं", "🙏🏽", "届きません", "Größe", "\\n", "\\\"size M\\\""]
    {
        assert!(lines.iter().any(|(_, l)| l.contains(word)), "{word}");
    }
}

#[test]
fn some_of_what_partners_send_is_invalid() {
    let lines = lines(settings(Events::Partner), 5000);
    let count = |is: &dyn Fn(&str) -> bool| lines.iter().filter(|(_, l)| is(l.trim_end())).count();
    let broken = count(&|l| !l.ends_with('}'));
    let prices =
        count(&|l| after(l, "\"unit_price\":\"").is_some_and(|p| p.parse::<f64>().is_err() || p.contains('e')));
    let without = count(&|l| l.ends_with('}') && !l.contains("\"gtin\""));
    assert!(
        (5..40).contains(&broken) && (40..150).contains(&prices) && (20..90).contains(&without),
        "{broken} {prices} {without}"
    );
}

/// Another language's JSON reads all lines that are meant to be JSON.
#[test]
fn python_reads_every_line() {
    use std::io::Write;
    let script = "import json, sys\nfor line in sys.stdin.buffer.read().decode().split('\\n')[:-1]: json.loads(line)";
    for &events in Events::ALL {
        let python =
            std::process::Command::new("python3").args(["-c", script]).stdin(std::process::Stdio::piped()).spawn();
        let mut python = python.unwrap();
        let mut input = python.stdin.take().unwrap();
        for (_, line) in lines(settings(events), 2000) {
            if line.ends_with("}\n") {
                input.write_all(line.as_bytes()).unwrap();
            }
        }
        drop(input);
        assert!(python.wait().unwrap().success(), "{}", events.name());
    }
}
