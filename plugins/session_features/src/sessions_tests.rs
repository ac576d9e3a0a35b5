//! Tests of sessions: against a definition that knows all events at once, in any order within the lateness, cut anywhere.

use super::*;

const GAP: i64 = 10;

fn sessions(lateness: i64) -> Sessions {
    Sessions::new(Clock { gap: GAP, lateness, watermark: i64::MIN }, 2)
}

fn room() -> Closed {
    Closed::new(usize::MAX, usize::MAX)
}

/// As it is told by a test: `start-end events counts items`.
fn told(closed: &Closed) -> Vec<String> {
    let told = |(user, s): &(Box<str>, Session)| {
        format!("{user} {}-{} {} {:?} {}", s.start, s.end, s.events, s.counts, s.last_items(3).join(","))
    };
    closed.rows.iter().map(told).collect()
}

fn all(mut sessions: Sessions, mut closed: Closed) -> Vec<String> {
    assert!(!sessions.finish(&mut closed));
    told(&closed)
}

fn at(time: i64) -> Event<'static> {
    Event { time, counts: &[], item: None }
}

/// Numbers that look random, the same in every run.
fn random(seed: &mut u64) -> u64 {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *seed >> 33
}

#[test]
fn a_gap_ends_a_session_and_a_late_row_may_join_two() {
    let (mut open, mut closed) = (sessions(100), room());
    for (time, item) in [(0, "a"), (10, "b"), (30, "c"), (21, "a"), (20, "d")] {
        open.add("u", Event { time, counts: &[1], item: Some(item) }, &mut closed).unwrap();
    }
    assert_eq!(told(&closed), [""; 0]);
    assert_eq!(all(open, closed), ["u 0-30 5 [0, 5] d,a,c"]);
}

#[test]
fn what_is_older_than_the_lateness_is_late() {
    let (mut open, mut closed) = (sessions(20), room());
    open.add("u", at(0), &mut closed).unwrap();
    // 0 is closed where no row from 15 on can touch it.
    open.add("u", at(35), &mut closed).unwrap();
    assert_eq!(told(&closed), ["u 0-0 1 [0, 0] "]);
    assert_eq!(open.add("u", at(14), &mut closed), Err(15));
    assert_eq!(open.add("u", at(15), &mut closed), Ok(()));
    // Another user has a clock of its own.
    assert_eq!(open.add("v", at(-1000), &mut closed), Ok(()));
    assert_eq!(all(open, closed)[1..], ["u 15-15 1 [0, 0] ", "u 35-35 1 [0, 0] ", "v -1000--1000 1 [0, 0] "]);
}

#[test]
fn a_watermark_closes_and_forgets() {
    let (mut open, mut closed) = (sessions(1000), room());
    for user in ["u", "v"] {
        open.add(user, at(0), &mut closed).unwrap();
    }
    open.add("v", at(40), &mut closed).unwrap();
    open.watermark(10, &mut closed);
    assert!(closed.rows.is_empty());
    open.watermark(11, &mut closed);
    assert_eq!(told(&closed), ["u 0-0 1 [0, 0] ", "v 0-0 1 [0, 0] "]);
    assert_eq!(open.users.len(), 1);
    // It never goes back.
    open.watermark(5, &mut closed);
    assert_eq!(open.add("u", at(10), &mut closed), Err(11));
    assert_eq!(open.add("w", at(10), &mut closed), Err(11));
    assert_eq!(open.add("v", at(11), &mut closed), Ok(()));
    assert_eq!(all(open, closed)[2..], ["v 11-11 1 [0, 0] ", "v 40-40 1 [0, 0] "]);
}

#[test]
fn what_there_is_no_room_for_waits() {
    let (mut open, mut never) = (sessions(1000), room());
    for (user, time) in [("u", 0), ("u", 20), ("u", 40), ("v", 0), ("w", 0)] {
        open.add(user, at(time), &mut never).unwrap();
    }
    let mut some = Closed::new(1, usize::MAX);
    open.watermark(500, &mut some);
    assert_eq!(told(&some), ["u 0-0 1 [0, 0] "]);
    let mut parts = vec![];
    loop {
        let mut some = Closed::new(2, usize::MAX);
        let more = open.finish(&mut some);
        parts.push(told(&some).len());
        if !more {
            break;
        }
    }
    assert_eq!(parts, [2, 2]);
    // By bytes: a session is always taken.
    let mut open = sessions(0);
    let mut closed = Closed::new(usize::MAX, 1);
    open.add("u", at(0), &mut closed).unwrap();
    open.add("v", at(0), &mut closed).unwrap();
    assert!(open.finish(&mut closed) && closed.rows.len() == 1);
}

#[test]
fn times_at_the_ends_do_not_overflow() {
    let (mut open, mut closed) = (sessions(i64::MAX), room());
    for time in [i64::MIN, i64::MIN + 1, 0, i64::MAX, i64::MAX] {
        open.add("u", at(time), &mut closed).unwrap();
    }
    let mut loaded = sessions(i64::MAX);
    assert_eq!(loaded.load(&open.save()), Some(()));
    assert_eq!(loaded.users, open.users);
    assert_eq!(all(open, closed).len(), 3);
}

/// Users with their events, in an order in which none is late by more than `lateness`.
fn events(seed: u64, lateness: i64) -> Vec<(String, i64, Vec<usize>, Option<String>)> {
    let mut seed = seed;
    let mut now = [0i64; 3];
    let mut events = vec![];
    for _ in 0..120 {
        let user = random(&mut seed) as usize % 3;
        now[user] += random(&mut seed) as i64 % 12;
        let back = random(&mut seed) as i64 % (lateness + 1);
        let counts = [vec![], vec![0], vec![0, 1]][random(&mut seed) as usize % 3].clone();
        let item = Some(random(&mut seed) % 6).filter(|item| *item < 5).map(|item| format!("sku{item}"));
        events.push((format!("user {user}"), now[user] - back, counts, item));
    }
    events
}

#[test]
fn any_order_and_any_cut_give_what_all_events_at_once_give() {
    for seed in 0..60 {
        let lateness = [0, 7, 40][seed as usize % 3];
        let events = events(seed, lateness);
        let event = |i: usize| {
            let (user, time, counts, item) = &events[i];
            (user.as_str(), Event { time: *time, counts, item: item.as_deref() })
        };
        // By the definition: sorted, cut where the gap is longer.
        let mut sorted: Vec<usize> = (0..events.len()).collect();
        sorted.sort_by_key(|i| (&events[*i].0, events[*i].1));
        let mut expected = room();
        for i in sorted {
            let (user, event) = event(i);
            match expected.rows.last_mut().filter(|(u, s)| u.as_ref() == user && event.time - s.end <= GAP) {
                Some((_, session)) => session.add(&event),
                None => {
                    let mut session = Session::new(event.time, 2);
                    session.add(&event);
                    expected.rows.push((user.into(), session));
                }
            }
        }
        let mut expected = told(&expected);
        expected.sort();

        // From the start without a cut, and with one before each event.
        let run = |cut: usize| {
            let (mut open, mut closed) = (sessions(lateness), room());
            for i in 0..events.len() {
                if i == cut {
                    let state = open.save();
                    open = sessions(lateness);
                    open.load(&state).unwrap();
                    assert_eq!(open.save(), state);
                }
                let (user, event) = event(i);
                open.add(user, event, &mut closed).unwrap();
            }
            all(open, closed)
        };
        let whole = run(usize::MAX);
        for cut in 0..events.len() {
            assert_eq!(run(cut), whole, "seed {seed}, cut at {cut}");
        }
        let mut whole = whole;
        whole.sort();
        assert_eq!(whole, expected, "seed {seed}");
    }
}

#[test]
fn state_is_small_and_no_other_state_is_taken() {
    let (mut open, mut closed) = (sessions(10), room());
    for user in 0..50 {
        let name = format!("user{user:04}");
        let event = Event { time: 1_700_000_000_000_000 + user, counts: &[0], item: Some("sku-1") };
        open.add(&name, event, &mut closed).unwrap();
    }
    let state = open.save();
    assert!(state.len() < 50 * 32, "{} bytes", state.len());
    for length in 0..state.len() {
        assert_eq!(sessions(10).load(&state[..length]), None, "{length}");
    }
    for (at, byte) in [(0, 9), (1, 1)] {
        let mut other = state.clone();
        other[at] = byte;
        assert_eq!(sessions(10).load(&other), None);
    }
    assert_eq!(sessions(10).load(&[state.as_slice(), &[0]].concat()), None);
    // A count of more than there is ends at once.
    assert_eq!(sessions(10).load(&[1, 2, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]), None);
}
