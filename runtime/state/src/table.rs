//! Tables of keys known by their 128-bit hash: a set, and an index that numbers keys from 0 in order of appearance.
//!
//! Both probe linearly from `hash · slots / 2⁶⁴` (any number of slots will do, so growth can be gentle) and take whole
//! batches: the slots of a block of keys are touched first and compared afterwards, so that the memory system fetches many
//! of them at a time instead of one after the other.

use selvedge_node::{Error, Result};

/// Keys looked up together: more than the memory system has outstanding misses for, few enough to stay in the L1 cache.
const BLOCK: usize = 32;

/// Home slot of a key among `slots`.
#[inline(always)]
fn home(low: u64, slots: usize) -> usize {
    ((u128::from(low) * slots as u128) >> 64) as usize
}

/// A set of keys: 16 bytes a slot, nothing else. Cut into segments that grow one by one, so that growing needs a sixteenth
/// of the set as spare memory and not the whole.
#[derive(Debug, Clone)]
pub struct KeySet {
    segments: Vec<Segment>,
    len: usize,
}

#[derive(Debug, Clone, Default)]
struct Segment {
    /// 0 is an empty slot; the key 0 is kept as 1.
    slots: Vec<u128>,
    len: usize,
}

const SEGMENT_BITS: u32 = 4;

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
        KeySet { segments: vec![Segment::default(); 1 << SEGMENT_BITS], len: 0 }
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
        self.segments.iter().map(|s| s.slots.len() as u64 * 16).sum()
    }

    /// Inserts keys in order and hands what became of each to `then`. Before the set grows, `may_grow` is asked with the
    /// bytes that it would take at the most while growing.
    pub fn insert_all(
        &mut self,
        hashes: &[u128],
        mut may_grow: impl FnMut(u64) -> bool,
        mut then: impl FnMut(usize, Inserted),
    ) {
        for (block, keys) in hashes.chunks(BLOCK).enumerate() {
            self.touch(keys);
            for (i, &key) in keys.iter().enumerate() {
                then(block * BLOCK + i, self.insert(key, &mut may_grow));
            }
        }
    }

    #[inline(always)]
    fn insert(&mut self, key: u128, may_grow: &mut impl FnMut(u64) -> bool) -> Inserted {
        let key = key.max(1);
        let (s, low) = place(key);
        let at = match self.segments[s].find(key, low) {
            Ok(_) => return Inserted::Seen,
            Err(at) => at,
        };
        let segment = &self.segments[s];
        // Full at 13/16: a miss then looks at a dozen neighbouring slots, four to a cache line.
        if (segment.len + 1) * 16 > segment.slots.len() * 13 {
            let grown = (segment.slots.len() + segment.slots.len() / 2).max(64);
            if !may_grow(self.bytes() + grown as u64 * 16) {
                return Inserted::Refused;
            }
            let segment = &mut self.segments[s];
            segment.grow(grown);
            if let Err(at) = segment.find(key, low) {
                segment.put(at, key);
            }
        } else {
            self.segments[s].put(at, key);
        }
        self.len += 1;
        Inserted::New
    }

    /// Hands to `then`, for each key, whether it is in the set.
    pub fn contains_all(&self, hashes: &[u128], mut then: impl FnMut(usize, bool)) {
        for (block, keys) in hashes.chunks(BLOCK).enumerate() {
            self.touch(keys);
            for (i, &key) in keys.iter().enumerate() {
                let key = key.max(1);
                let (s, low) = place(key);
                then(block * BLOCK + i, self.segments[s].find(key, low).is_ok());
            }
        }
    }

    /// Loads the home slots of all keys; the sum only keeps the compiler from leaving that out.
    #[inline(always)]
    fn touch(&self, keys: &[u128]) {
        let mut sum = 0u64;
        for &key in keys {
            let (s, low) = place(key);
            let slots = &self.segments[s].slots;
            sum = sum.wrapping_add(slots.get(home(low, slots.len())).map_or(0, |&v| v as u64));
        }
        std::hint::black_box(sum);
    }
}

/// Segment of a key, and what is left of its low half to find its home there.
#[inline(always)]
fn place(key: u128) -> (usize, u64) {
    let low = key as u64;
    ((low >> (64 - SEGMENT_BITS)) as usize, low << SEGMENT_BITS)
}

impl Segment {
    /// The slot of the key, or the empty one where it would stand.
    #[inline(always)]
    fn find(&self, key: u128, low: u64) -> std::result::Result<usize, usize> {
        let mut at = home(low, self.slots.len());
        // An empty segment has no slot to look at.
        while let Some(&found) = self.slots.get(at) {
            if found == key {
                return Ok(at);
            }
            if found == 0 {
                return Err(at);
            }
            at = if at + 1 == self.slots.len() { 0 } else { at + 1 };
        }
        Err(0)
    }

    #[inline(always)]
    fn put(&mut self, at: usize, key: u128) {
        self.slots[at] = key;
        self.len += 1;
    }

    fn grow(&mut self, slots: usize) {
        let old = std::mem::replace(self, Segment { slots: vec![0; slots], len: 0 });
        // Old order is nearly new order, so this runs through both arrays once.
        for key in old.slots.into_iter().filter(|&k| k != 0) {
            if let Err(at) = self.find(key, place(key).1) {
                self.put(at, key);
            }
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
        let capacity = if keys > self.keys.capacity() { keys + keys / 4 } else { self.keys.capacity() };
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
            self.keys.reserve_exact(keys + keys / 4 - self.keys.len());
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
