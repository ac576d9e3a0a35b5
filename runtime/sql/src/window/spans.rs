//! Which windows a time belongs to. All times are microseconds since 1970.
//!
//! Rows are gathered in *panes*, spans so short that all rows of a pane share their windows whatever else comes:
//!
//! ```text
//! tumbling   the window itself                 sliding   the greatest common divisor of `size` and `every`
//! session    one gap, aligned to 1970          stagger   one microsecond, until the start of its window is certain
//! ```
//!
//! Panes of sliding windows: Li et al., "No pane, no gain", 2005.

/// Times of rows lie within ± this: what is added to them never overflows.
pub(super) const LIMIT: i64 = i64::MAX / 2;
/// Later than the end of any window.
pub(super) const NEVER: i64 = i64::MAX / 4 * 3;

#[derive(Debug, Clone, Copy)]
pub(super) enum Spans {
    /// Tumbling and sliding: a window starts `every` so often from `offset` on.
    Aligned {
        size: i64,
        every: i64,
        offset: i64,
        pane: i64,
    },
    Session {
        gap: i64,
    },
    Stagger {
        size: i64,
    },
}

impl Spans {
    pub fn aligned(size: i64, every: i64, offset: i64) -> Spans {
        Spans::Aligned { size, every, offset: offset % every, pane: gcd(size, every) }
    }

    /// Whether a pane may be in several windows.
    pub fn overlap(&self) -> bool {
        matches!(*self, Spans::Aligned { size, every, .. } if every < size)
    }

    /// How long an aligned or stagger window is; of a session, its gap.
    pub fn length(&self) -> i64 {
        match *self {
            Spans::Aligned { size, .. } | Spans::Stagger { size } => size,
            Spans::Session { gap } => gap,
        }
    }

    /// The pane of a time.
    pub fn slot(&self, time: i64) -> i64 {
        match *self {
            Spans::Aligned { offset, pane, .. } => floor(time, pane, offset),
            Spans::Session { gap } => floor(time, gap, 0),
            Spans::Stagger { .. } => time,
        }
    }

    /// The pane of partial results over rows from `first` to `last`.
    pub fn slot_of(&self, first: i64, last: i64) -> i64 {
        match self {
            // A session's rows are gathered where its next row may fall.
            Spans::Session { .. } => self.slot(last),
            _ => self.slot(first),
        }
    }

    /// Whether a row comes too late once event time has come to `watermark`.
    pub fn late(&self, time: i64, watermark: i64) -> bool {
        match *self {
            Spans::Aligned { size, every, offset, .. } => floor(time, every, offset) + size <= watermark,
            Spans::Session { gap } => time + gap <= watermark,
            Spans::Stagger { .. } => time < watermark,
        }
    }

    /// When a window of partial results may end, `closed` having been sent: never later than the first one does.
    pub fn due(&self, first: i64, last: i64, closed: i64) -> i64 {
        match *self {
            Spans::Aligned { size, .. } => {
                self.windows(first, closed, NEVER).next().map_or(NEVER, |start| start + size)
            }
            Spans::Session { gap } => last + gap,
            Spans::Stagger { size } => first + size,
        }
    }

    /// Starts of the aligned windows of a pane that end after `after` and not after `until`.
    pub fn windows(&self, slot: i64, after: i64, until: i64) -> impl Iterator<Item = i64> + use<> {
        let (lowest, highest, every) = match *self {
            Spans::Aligned { size, every, offset, .. } => {
                // Windows that end after a time start later than `size` before it.
                let next = |time: i64| floor(time - size, every, offset) + every;
                let highest = floor(slot, every, offset).min(floor(until - size, every, offset));
                (next(slot).max(next(after)), highest, every)
            }
            _ => (0, -1, 1),
        };
        (lowest..=highest).step_by(every as usize)
    }

    /// Whether rows of this aligned pane are needed once all windows that end by `until` are sent.
    pub fn outlives(&self, slot: i64, until: i64) -> bool {
        match *self {
            Spans::Aligned { size, every, offset, .. } => floor(slot, every, offset) + size > until,
            _ => false,
        }
    }
}

/// The last multiple of `step`, counted from `offset`, that is not after `time`; also before 1970.
fn floor(time: i64, step: i64, offset: i64) -> i64 {
    (time - offset).div_euclid(step) * step + offset
}

fn gcd(a: i64, b: i64) -> i64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sliding_windows_of_a_time() {
        let spans = Spans::aligned(10, 4, 1);
        let all = |time: i64| spans.windows(spans.slot(time), -NEVER, NEVER).collect::<Vec<_>>();
        for time in -30..30 {
            let expected: Vec<i64> =
                (-60..60).filter(|s| (s - 1i64).rem_euclid(4) == 0 && *s <= time && time < s + 10).collect();
            assert_eq!(all(time), expected, "{time}");
        }
        assert_eq!(spans.windows(spans.slot(0), 5, 7).collect::<Vec<_>>(), [-3]);
        assert_eq!([-NEVER, 2, 3].map(|closed| spans.due(spans.slot(0), 0, closed)), [3, 3, 7]);
        assert!(spans.late(0, 7) == spans.late(-3, 7) && !spans.late(0, 6));
        assert!(spans.late(0, 7) && !spans.outlives(spans.slot(0), 7) && spans.outlives(spans.slot(0), 6));
    }

    #[test]
    fn the_ends_of_time_do_not_overflow() {
        let size = 36_525 * 86_400_000_000;
        for spans in [Spans::aligned(size, size, size - 1), Spans::Session { gap: size }, Spans::Stagger { size }] {
            for time in [-LIMIT, LIMIT] {
                let due = spans.due(spans.slot(time), time, -NEVER);
                assert!(due > time - size && due <= time + size && due < NEVER, "{spans:?} {time}");
                assert!(!spans.late(time, -NEVER) && spans.late(time, NEVER));
            }
        }
    }
}
