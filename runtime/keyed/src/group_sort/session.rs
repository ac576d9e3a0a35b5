//! Where sessions begin and end, for rows that come key by key in order of time.

/// What parts one session from the next, in ticks of event time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    /// Rows at most this far apart belong together.
    pub gap: i64,
    /// A row this far from the first one of its session begins another. `i64::MAX`: none does.
    pub max: i64,
}

impl Rules {
    /// Nothing that comes from `now` on can belong to a session whose last row is at `last`.
    pub(crate) fn over(&self, last: i64, now: i64) -> bool {
        now > last.saturating_add(self.gap)
    }
    /// Nothing that comes from `now` on can belong to a session that began at `first`, for it would be too long.
    pub(crate) fn full(&self, first: i64, now: i64) -> bool {
        self.max != i64::MAX && now >= first.saturating_add(self.max)
    }
    /// The first moment at which one of both is so.
    pub(crate) fn due(&self, first: i64, last: i64) -> i64 {
        let over = last.saturating_add(self.gap).saturating_add(1);
        if self.max == i64::MAX { over } else { over.min(first.saturating_add(self.max)) }
    }
}

/// The session of the row that was taken last.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cut {
    key: Option<u128>,
    pub first: i64,
    last: i64,
    /// The row's place in it, from 1.
    pub position: i64,
}

impl Cut {
    pub(crate) fn take(&mut self, rules: &Rules, key: u128, time: i64) {
        if self.key != Some(key) || rules.over(self.last, time) || rules.full(self.first, time) {
            *self = Cut { key: Some(key), first: time, last: time, position: 0 };
        }
        self.last = time;
        self.position += 1;
    }

    /// What tells the session from all others, whenever and wherever it is computed.
    pub(crate) fn id(&self) -> u128 {
        let halves = [mixed(self.first as u64), mixed(!self.first as u64)];
        let first = u128::from(halves[0]) << 64 | u128::from(halves[1]);
        self.key.unwrap_or_default() ^ first
    }
}

/// The finaliser of SplitMix64 (Steele, Lea, Flood 2014): different numbers stay different.
fn mixed(number: u64) -> u64 {
    let z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
