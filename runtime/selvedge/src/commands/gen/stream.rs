//! Plays a stream of events into the shard files of a folder, in real time or as fast as they can be written.

use super::super::{FAILED, WRONG};
use crate::cli::{GenEvents, Speed};
use crate::screen;
use crate::signals::Signals;
use selvedge_generate::stream::{Events, Settings, Stream, shard};
use std::fs::File;
use std::io::Write;
use std::ops::Range;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

/// Between two appends in real time: 40 a second.
const TICK: Duration = Duration::from_millis(25);
/// The most events in one append to all shards.
const CHUNK: u64 = 10_000;

pub fn generate(name: &str, seed: u64, args: &GenEvents, folder: &Path) -> u8 {
    let Some(events) = Events::find(name) else {
        let near = selvedge_ron::nearest(name, Events::ALL.iter().map(|e| e.name()));
        let help = near.map(|n| format!("; did you mean {n}?")).unwrap_or_default();
        let known =
            Events::ALL.iter().map(|e| format!("  {:<12} {}", e.name(), e.about())).collect::<Vec<_>>().join("\n");
        screen::error(&format!("error: no stream of events named `{name}`{help}\n{known}"));
        return WRONG;
    };
    if args.speed == Speed::Max && args.time.is_none() {
        screen::error("error: --speed max would fill the disk; say with --for how much time the events are to cover");
        return WRONG;
    }
    let now = SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_micros() as u64);
    let settings = Settings {
        events,
        seed,
        start: args.start.unwrap_or(now),
        rate: args.rate,
        duplicates: args.duplicates,
        out_of_order: args.out_of_order,
        late: args.late,
    };
    let signals = Signals::listen();
    let total = args.time.map_or(u64::MAX, |time| (time.as_secs_f64() * args.rate) as u64);
    let play = || {
        let mut shards = Shards::open(folder, usize::from(args.shards))?;
        play(&Stream::new(settings), total, args.rate, args.speed, &mut |stream, events| {
            shards.append(stream, events)?;
            Ok(!signals.heard())
        })
    };
    match play() {
        Ok(events) => {
            screen::print(&format!("{} events in {}", screen::thousands(events), folder.display()));
            0
        }
        Err(e) => {
            screen::error(&format!("error: writing to {}: {e}", folder.display()));
            FAILED
        }
    }
}

/// Has events written as they are due; `write` answers whether to go on. Tells how many there were.
fn play(
    stream: &Stream,
    total: u64,
    rate: f64,
    speed: Speed,
    write: &mut dyn FnMut(&Stream, Range<u64>) -> std::io::Result<bool>,
) -> std::io::Result<u64> {
    let begin = Instant::now();
    let mut next = 0;
    while next < total {
        let due = match speed {
            Speed::Max => total,
            Speed::Real => (begin.elapsed().as_secs_f64() * rate) as u64 + 1,
        };
        let end = due.min(total).min(next + CHUNK);
        let go_on = write(stream, next..end.max(next))?;
        next = end.max(next);
        if !go_on {
            break;
        }
        if speed == Speed::Real && next >= due {
            std::thread::sleep(TICK);
        }
    }
    Ok(next)
}

/// The shard files, and what is to be appended to each.
struct Shards(Vec<(File, Vec<u8>)>);

impl Shards {
    fn open(folder: &Path, count: usize) -> std::io::Result<Shards> {
        std::fs::create_dir_all(folder)?;
        let open =
            |shard| File::options().create(true).append(true).open(folder.join(format!("shard-{shard:04}.ndjson")));
        (0..count).map(|shard| Ok((open(shard)?, vec![]))).collect::<std::io::Result<_>>().map(Shards)
    }

    /// Appends the lines of these events, whole ones, to each shard at once.
    fn append(&mut self, stream: &Stream, events: Range<u64>) -> std::io::Result<()> {
        let mut line = vec![];
        for event in events {
            line.clear();
            let key = stream.write(event, &mut line);
            let at = shard(key, self.0.len());
            self.0[at].1.extend_from_slice(&line);
        }
        for (file, lines) in self.0.iter_mut().filter(|(_, lines)| !lines.is_empty()) {
            file.write_all(lines)?;
            lines.clear();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(start: u64, rate: f64) -> Settings {
        let events = Events::Clickstream;
        Settings { events, seed: 1, start, rate, duplicates: 0.01, out_of_order: 0.0, late: 0.0 }
    }

    fn lines(folder: &Path) -> Vec<String> {
        let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|f| f.unwrap().path()).collect();
        files.sort();
        files
            .iter()
            .flat_map(|f| std::fs::read_to_string(f).unwrap().lines().map(String::from).collect::<Vec<_>>())
            .collect()
    }

    #[test]
    fn as_fast_as_can_be_it_is_the_same_every_time_and_is_appended() {
        let dir = tempfile::tempdir().unwrap();
        let stream = Stream::new(settings(1_709_280_000_000_000, 1000.0));
        let once = || {
            let mut shards = Shards::open(dir.path(), 3).unwrap();
            let mut write = |stream: &Stream, events| shards.append(stream, events).map(|()| true);
            assert_eq!(play(&stream, 25_000, 1000.0, Speed::Max, &mut write).unwrap(), 25_000);
            lines(dir.path())
        };
        let first = once();
        assert_eq!(first.len(), 25_000);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 3);
        let both = once();
        let mut twice = [&first[..], &first[..]].concat();
        twice.sort();
        let mut both_sorted = both.clone();
        both_sorted.sort();
        assert!(both_sorted == twice);
    }

    #[test]
    fn in_real_time_lines_come_whole_and_one_after_the_other() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().to_path_buf();
        let now = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_micros() as u64;
        let (told, hears) = std::sync::mpsc::channel();
        let begin = Instant::now();
        let player = std::thread::spawn(move || {
            let mut shards = Shards::open(&folder, 2).unwrap();
            play(&Stream::new(settings(now, 1000.0)), 300, 1000.0, Speed::Real, &mut |stream, events| {
                shards.append(stream, events.clone())?;
                Ok(told.send(events.end).is_ok())
            })
        });
        let mut appends = 0;
        // Ends when the player has dropped its side.
        for end in hears {
            let text: Vec<String> = (0..2)
                .map(|shard| std::fs::read_to_string(dir.path().join(format!("shard-{shard:04}.ndjson"))).unwrap())
                .collect();
            let written: usize = text.iter().map(|t| t.lines().count()).sum();
            assert!(written as u64 >= end, "{written} of {end} events");
            assert!(end <= begin.elapsed().as_micros() as u64 / 1000 + 1, "{end} events are early");
            appends += 1;
        }
        assert_eq!(player.join().unwrap().unwrap(), 300);
        assert!(appends > 1 && begin.elapsed() >= Duration::from_millis(299), "{appends} appends");
        let lines = lines(dir.path());
        assert!(lines.len() == 300 && lines.iter().all(|l| l.starts_with("{\"event_id\":") && l.ends_with('}')));
    }

    #[test]
    fn it_stops_when_it_is_told_to() {
        let stream = Stream::new(settings(0, 1e6));
        let mut calls = 0;
        let written = play(&stream, u64::MAX, 1e6, Speed::Max, &mut |_, _| {
            calls += 1;
            Ok(calls < 3)
        });
        assert_eq!((written.unwrap(), calls), (3 * CHUNK, 3));
    }
}
