//! Tables of keys known by their 128-bit hash: a set, and an index that numbers keys from 0 in order of appearance.
//!
//! Both probe linearly from a home of `bits · slots / 2ⁿ` (any number of slots will do, so growth can be gentle) and take
//! whole batches: the slots of a block of keys are touched first and compared afterwards, so that the memory system fetches many
//! of them at a time instead of one after the other.

use selvedge_node::{Error, Result};

/// Keys looked up together: more than the memory system has outstanding misses for, few enough to stay in the L1 cache.
const BLOCK: usize = 32;

/// Home slot of a key among `slots`.
#[inline(always)]
fn home(low: u64, slots: usize) -> usize {
    ((u128::from(low) * slots as u128) >> 64) as usize
}

/// A set of keys: 16 bytes a slot, nothing else, 9/16 to 13/16 of the slots taken.
///
/// Extendible hashing (Fagin et al., 1979): a directory, indexed by the top bits of the keys' low halves, of segments that
/// grow once by half and then split in two. Growing takes spare memory for one segment, never for the set, and no memory is
/// given back to be asked for again, which costs more than all the hashing.
#[derive(Debug, Clone)]
pub struct KeySet {
    /// Segment of each of the `2^depth` prefixes.
    directory: Vec<u32>,
    depth: u32,
    segments: Vec<Segment>,
    len: usize,
    slots: usize,
}

#[derive(Debug, Clone, Default)]
struct Segment {
    lines: Vec<Line>,
    len: usize,
    /// Bits of prefix that all its keys share.
    depth: u32,
}

/// A cache line of slots, taken from the first on. 0 is an empty slot; the key 0 is kept as 1. A key stands in its home line
/// or, if that and others behind it are full, in the next one that is not.
#[derive(Debug, Clone, Copy, Default)]
#[repr(align(64))]
struct Line([u128; 4]);

/// Slots of a segment that was just split.
const SEGMENT: usize = 4096;
/// Prefixes of keys that are random differ long before: keys that still do not are left in one segment.
const MAX_DEPTH: u32 = 22;

/// What became of a key that was to be inserted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inserted {
    New,
    Seen,
    /// New, but the set may not grow: it was not inserted.
    Refused,
}

impl Default for KeySet {
    fn default() -> KeySet {
        KeySet { directory: vec![0], depth: 0, segments: vec![Segment::default()], len: 0, slots: 0 }
    }
}

impl KeySet {
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn bytes(&self) -> u64 {
        self.slots as u64 * 16 + self.directory.len() as u64 * 4
    }

    /// Inserts keys in order and hands what became of each to `then`. Before the set grows, `may_grow` is asked with the
    /// bytes that it would take at the most while growing. A key refused is refused again, as long as `may_grow` says so.
    pub fn insert_all(
        &mut self,
        hashes: &[u128],
        mut may_grow: impl FnMut(u64) -> bool,
        mut then: impl FnMut(usize, Inserted),
    ) {
        for (block, keys) in hashes.chunks(BLOCK).enumerate() {
            self.touch(keys);
            for (i, &key) in keys.iter().enumerate() {
                then(block * BLOCK + i, self.insert(key.max(1), &mut may_grow));
            }
        }
    }

    #[inline(always)]
    fn insert(&mut self, key: u128, may_grow: &mut impl FnMut(u64) -> bool) -> Inserted {
        loop {
            let segment = self.segment_of(key);
            let segment = &mut self.segments[segment];
            match segment.find(key) {
                Ok(_) => return Inserted::Seen,
                Err(at) if segment.has_room() => {
                    segment.take(at, key);
                    self.len += 1;
                    return Inserted::New;
                }
                Err(_) => {}
            }
            if !self.grow(key, may_grow) {
                return Inserted::Refused;
            }
        }
    }

    /// Hands to `then`, for each key, whether it is in the set.
    pub fn contains_all(&self, hashes: &[u128], mut then: impl FnMut(usize, bool)) {
        for (block, keys) in hashes.chunks(BLOCK).enumerate() {
            self.touch(keys);
            for (i, &key) in keys.iter().enumerate() {
                let key = key.max(1);
                then(block * BLOCK + i, self.segments[self.segment_of(key)].find(key).is_ok());
            }
        }
    }

    #[inline(always)]
    fn segment_of(&self, key: u128) -> usize {
        self.directory[prefix(key, self.depth)] as usize
    }

    /// Loads the home slots of all keys; the sum only keeps the compiler from leaving that out.
    #[inline(always)]
    fn touch(&self, keys: &[u128]) {
        let mut sum = 0u64;
        for &key in keys {
            let lines = &self.segments[self.segment_of(key)].lines;
            sum = sum.wrapping_add(lines.get(Segment::home(key, lines.len())).map_or(0, |l| l.0[0] as u64));
        }
        std::hint::black_box(sum);
    }

    /// Makes room for one more key in the segment of `key`, if it may.
    #[cold]
    fn grow(&mut self, key: u128, may_grow: &mut impl FnMut(u64) -> bool) -> bool {
        let s = self.segment_of(key);
        let (slots, depth) = (self.segments[s].slots(), self.segments[s].depth);
        let splits = slots > SEGMENT && depth < MAX_DEPTH;
        // Asked for before anything is looked at: a full set is refused for every new key.
        let directory = if splits && depth == self.depth { self.directory.len() * 4 } else { 0 };
        let new = match slots {
            _ if splits => SEGMENT + slots,
            // Small sets double; then once by half.
            0..SEGMENT => (2 * slots).max(64),
            _ => slots + slots / 2,
        };
        if !may_grow(self.bytes() + new as u64 * 16 + directory as u64) {
            return false;
        }
        if !splits {
            let old = std::mem::replace(&mut self.segments[s], Segment::new(new, depth));
            old.keys().for_each(|key| self.segments[s].put(key));
            self.slots += new - slots;
            return true;
        }
        // Halves are alike unless keys come in an order that is not random: then one of them may need all the room.
        let ones = self.segments[s].keys().filter(|&k| prefix(k, depth + 1) & 1 == 1).count();
        let of = |keys: usize| if keys * 16 <= SEGMENT * 13 { SEGMENT } else { slots };
        let (lower, upper) = (of(self.segments[s].len - ones), of(ones));
        self.slots = self.slots - slots + lower + upper;
        if depth == self.depth {
            // Each prefix becomes two with the segment of the one.
            self.directory = self.directory.iter().flat_map(|&s| [s, s]).collect();
            self.depth += 1;
        }
        let old = std::mem::replace(&mut self.segments[s], Segment::new(lower, depth + 1));
        let mut upper = Segment::new(upper, depth + 1);
        for key in old.keys() {
            let half = if prefix(key, depth + 1) & 1 == 1 { &mut upper } else { &mut self.segments[s] };
            half.put(key);
        }
        // The prefixes that begin as this one does are neighbours, those with a 1 next after those with a 0.
        let prefixes = 1usize << (self.depth - depth);
        let first = prefix(key, depth) * prefixes;
        self.directory[first + prefixes / 2..first + prefixes].fill(self.segments.len() as u32);
        self.segments.push(upper);
        true
    }
}

/// The top `depth` bits of the key's low half.
#[inline(always)]
fn prefix(key: u128, depth: u32) -> usize {
    // In two steps: by all 64 bits at once, for a depth of 0, a number cannot be shifted.
    ((key as u64 >> 1) >> (63 - depth)) as usize
}

impl Segment {
    fn new(slots: usize, depth: u32) -> Segment {
        Segment { lines: vec![Line::default(); slots / 4], len: 0, depth }
    }

    fn slots(&self) -> usize {
        self.lines.len() * 4
    }

    /// The line where a key stands first, by the bits below the prefix.
    #[inline(always)]
    fn home(key: u128, lines: usize) -> usize {
        ((u64::from(key as u32) * lines as u64) >> 32) as usize
    }

    /// Full at 13/16: a key that is not there is then looked for in fewer than two lines.
    #[inline(always)]
    fn has_room(&self) -> bool {
        (self.len + 1) * 16 <= self.lines.len() * 4 * 13
    }

    /// Nothing if the key is there; the line where it would stand if not.
    #[inline(always)]
    fn find(&self, key: u128) -> std::result::Result<(), usize> {
        let mut at = Segment::home(key, self.lines.len());
        // An empty segment has no line to look at.
        while let Some(Line(line)) = self.lines.get(at) {
            // All four at once: which one it is cannot be guessed, and a wrong guess costs more than the comparisons.
            if (line[0] == key) | (line[1] == key) | (line[2] == key) | (line[3] == key) {
                return Ok(());
            }
            if line[3] == 0 {
                return Err(at);
            }
            at = if at + 1 == self.lines.len() { 0 } else { at + 1 };
        }
        Err(0)
    }

    /// Puts a key into a line that has room.
    #[inline(always)]
    fn take(&mut self, at: usize, key: u128) {
        let Line(line) = &mut self.lines[at];
        let taken = line.iter().map(|&k| usize::from(k != 0)).sum::<usize>();
        line[taken & 3] = key;
        self.len += 1;
    }

    fn keys(&self) -> impl Iterator<Item = u128> + '_ {
        self.lines.iter().flat_map(|l| l.0).filter(|&k| k != 0)
    }

    /// Puts a key that is not there where there is room.
    fn put(&mut self, key: u128) {
        if let Err(at) = self.find(key) {
            self.take(at, key);
        }
    }
}

/// Numbers keys from 0 in order of appearance. 16 bytes a key and 8 bytes a slot, at most 11/16 of them taken.
#[derive(Debug, Clone, Default)]
pub struct KeyIndex {
    keys: Vec<u128>,
    /// Top 32 bits of the key above its number plus 1; 0 is empty.
    slots: Vec<u64>,
}

impl KeyIndex {
    /// What [`find_all`](KeyIndex::find_all) says of a key that is not there.
    pub const NONE: u32 = u32::MAX;

    /// An index that takes so many keys without growing.
    pub fn with_capacity(keys: usize) -> KeyIndex {
        KeyIndex { keys: Vec::with_capacity(keys), slots: vec![0; slots_for(keys, 0)] }
    }

    pub fn len(&self) -> usize {
        self.keys.len()
    }

    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The keys by number.
    pub fn keys(&self) -> &[u128] {
        &self.keys
    }

    pub fn bytes(&self) -> u64 {
        self.keys.capacity() as u64 * 16 + self.slots.len() as u64 * 8
    }

    /// Bytes that the index may take once `more` new keys are in it.
    pub fn bytes_with(&self, more: usize) -> u64 {
        let keys = self.keys.len() + more;
        let capacity = if keys > self.keys.capacity() { keys + keys / 2 } else { self.keys.capacity() };
        capacity as u64 * 16 + slots_for(keys, self.slots.len()) as u64 * 8
    }

    pub fn clear(&mut self) {
        *self = KeyIndex::default();
    }

    /// Appends the number of each key to `numbers`, numbering those not seen before: their numbers go up from the old
    /// [`len`](KeyIndex::len) in order of appearance. An error beyond 2³² - 2 keys.
    pub fn number_all(&mut self, hashes: &[u128], numbers: &mut Vec<u32>) -> Result<()> {
        let keys = self.keys.len() + hashes.len();
        if keys >= u32::MAX as usize {
            return Err(Error::world("more than 4 billion different keys in one piece of state")
                .help("run with more --threads, or spread the keys over several graphs"));
        }
        numbers.reserve(hashes.len());
        for keys in hashes.chunks(BLOCK) {
            self.make_room(keys.len());
            self.touch(keys);
            for &key in keys {
                let number = match self.find(key) {
                    Ok(number) => number,
                    Err(at) => {
                        let number = self.keys.len() as u32;
                        self.slots[at] = slot(key, number);
                        self.keys.push(key);
                        number
                    }
                };
                numbers.push(number);
            }
        }
        Ok(())
    }

    /// Appends the number of each key to `numbers`, [`NONE`](KeyIndex::NONE) for one that is not there.
    pub fn find_all(&self, hashes: &[u128], numbers: &mut Vec<u32>) {
        numbers.reserve(hashes.len());
        if self.slots.is_empty() {
            numbers.resize(numbers.len() + hashes.len(), Self::NONE);
            return;
        }
        for keys in hashes.chunks(BLOCK) {
            self.touch(keys);
            numbers.extend(keys.iter().map(|&key| self.find(key).unwrap_or(Self::NONE)));
        }
    }

    fn make_room(&mut self, more: usize) {
        let keys = self.keys.len() + more;
        if keys > self.keys.capacity() {
            self.keys.reserve_exact(keys + keys / 2 - self.keys.len());
        }
        let slots = slots_for(keys, self.slots.len());
        if slots > self.slots.len() {
            // The keys are all here: the old slots may go before the new ones come.
            self.slots = vec![];
            self.slots = vec![0; slots];
            for (number, &key) in self.keys.iter().enumerate() {
                let mut at = home(key as u64, slots);
                while self.slots[at] != 0 {
                    at = if at + 1 == slots { 0 } else { at + 1 };
                }
                self.slots[at] = slot(key, number as u32);
            }
        }
    }

    /// The number of the key, or the empty slot where it would stand. There must be slots.
    #[inline(always)]
    fn find(&self, key: u128) -> std::result::Result<u32, usize> {
        let tag = (key >> 96) as u64;
        let mut at = home(key as u64, self.slots.len());
        loop {
            let found = self.slots[at];
            if found == 0 {
                return Err(at);
            }
            let number = (found as u32).wrapping_sub(1);
            if found >> 32 == tag && self.keys[number as usize] == key {
                return Ok(number);
            }
            at = if at + 1 == self.slots.len() { 0 } else { at + 1 };
        }
    }

    #[inline(always)]
    fn touch(&self, keys: &[u128]) {
        let slots = self.slots.len();
        let sum = keys.iter().fold(0u64, |sum, &key| sum.wrapping_add(self.slots[home(key as u64, slots)]));
        std::hint::black_box(sum);
    }
}

#[inline(always)]
fn slot(key: u128, number: u32) -> u64 {
    ((key >> 96) as u64) << 32 | u64::from(number + 1)
}

/// Slots for so many keys, given those that there are.
fn slots_for(keys: usize, slots: usize) -> usize {
    if keys * 16 <= slots * 11 { slots } else { (keys * 2).max(slots + slots / 2).max(64) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::{HashMap, HashSet};

    /// Keys that clump: few different homes, high halves that tell them apart.
    fn clumped() -> impl Strategy<Value = Vec<u128>> {
        prop::collection::vec((0u128..40, 0u128..40).prop_map(|(a, b)| a << 60 | b << 96), 0..600)
    }

    proptest! {
        #[test]
        fn a_set_is_a_set(keys in clumped()) {
            let (mut set, mut model) = (KeySet::default(), HashSet::new());
            let mut found = vec![];
            set.insert_all(&keys, |_| true, |_, what| found.push(what));
            let expected: Vec<Inserted> =
                keys.iter().map(|&k| if model.insert(k.max(1)) { Inserted::New } else { Inserted::Seen }).collect();
            prop_assert_eq!(found, expected);
            prop_assert_eq!(set.len(), model.len());
            set.contains_all(&keys, |_, is| assert!(is));
            set.contains_all(&[u128::MAX, 7], |_, is| assert!(!is));
        }

        #[test]
        fn an_index_numbers_in_order(keys in clumped()) {
            let (mut index, mut model) = (KeyIndex::default(), HashMap::new());
            let mut numbers = vec![];
            for some in keys.chunks(50) {
                let promised = index.bytes_with(some.len());
                index.number_all(some, &mut numbers).unwrap();
                prop_assert!(index.bytes() <= promised.max(16 * 200));
            }
            let expected: Vec<u32> = keys
                .iter()
                .map(|&k| {
                    let next = model.len() as u32;
                    *model.entry(k).or_insert(next)
                })
                .collect();
            prop_assert_eq!(&numbers, &expected);
            let mut found = vec![];
            index.find_all(&keys, &mut found);
            prop_assert_eq!(found, expected);
            prop_assert_eq!(index.keys().len(), model.len());
        }
    }

    #[test]
    fn what_is_not_there_is_not_found() {
        let mut index = KeyIndex::default();
        let mut found = vec![];
        index.find_all(&[1, 2], &mut found);
        index.number_all(&[5], &mut vec![]).unwrap();
        index.find_all(&[5, 6], &mut found);
        assert_eq!(found, [KeyIndex::NONE, KeyIndex::NONE, 0, KeyIndex::NONE]);
    }

    /// Enough for many segments, in an order that splits them unevenly.
    #[test]
    fn a_large_set_splits_its_segments() {
        let key = |i: u64| u128::from(i.wrapping_mul(0x9e37_79b9_7f4a_7c15)) | u128::from(i) << 64;
        let mut keys: Vec<u128> = (1..=300_000).map(key).collect();
        keys.sort_unstable_by_key(|&k| k as u64);
        let mut set = KeySet::default();
        let (mut new, mut most) = (0, 0);
        for keys in keys.chunks(1000) {
            set.insert_all(
                keys,
                |bytes| {
                    most = most.max(bytes);
                    true
                },
                |_, what| new += usize::from(what == Inserted::New),
            );
        }
        assert_eq!((new, set.len()), (300_000, 300_000));
        assert!(
            set.segments.len() > 50 && set.bytes() < 300_000 * 32,
            "{} segments, {}",
            set.segments.len(),
            set.bytes()
        );
        assert!(most < set.bytes() + (256 << 10), "growing took {most} for {}", set.bytes());
        set.contains_all(&keys, |i, is| assert!(is, "{i}"));
        set.insert_all(&keys, |_| false, |_, what| assert_eq!(what, Inserted::Seen));
        set.contains_all(&(300_001..310_000).map(key).collect::<Vec<_>>(), |_, is| assert!(!is));
    }

    #[test]
    fn a_set_that_may_not_grow_refuses_and_stays_right() {
        let mut set = KeySet::default();
        let keys: Vec<u128> =
            (1..5000u128).map(|i| i.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)).collect();
        let mut counts = [0; 3];
        set.insert_all(&keys, |bytes| bytes < 40_000, |_, what| counts[what as usize] += 1);
        assert!(set.bytes() < 40_000 && counts[Inserted::New as usize] == set.len());
        assert!(counts[Inserted::Refused as usize] > 1000, "{counts:?}");
        let mut known = 0;
        set.contains_all(&keys, |_, is| known += usize::from(is));
        assert_eq!(known, set.len());
    }
}
