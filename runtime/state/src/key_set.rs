//! A set of keys known by their 128-bit hash.
//!
//! Whole batches at a time: the homes of a block of keys are touched first and compared afterwards, so that the memory
//! system fetches many of them at once instead of one after the other.

/// Keys looked up together: more than the memory system has outstanding misses for, few enough to stay in the L1 cache.
pub(crate) const BLOCK: usize = 32;

/// A set of keys: 16 bytes a slot, nothing else, half to three quarters of the slots taken.
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
/// or, if that is full, in the first that is not of those 1, 3, 6, 10, … lines behind it.
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

    /// All keys, in no order; the key 0 as 1.
    pub fn keys(&self) -> impl Iterator<Item = u128> + '_ {
        self.segments.iter().flat_map(Segment::keys)
    }

    #[inline(always)]
    fn segment_of(&self, key: u128) -> usize {
        self.directory[prefix(key, self.depth)] as usize
    }

    /// Loads the home lines of all keys and those behind, where the next step would lead; the sum only keeps the compiler
    /// from leaving that out.
    #[inline(always)]
    fn touch(&self, keys: &[u128]) {
        let mut sum = 0u64;
        for &key in keys {
            let lines = &self.segments[self.segment_of(key)].lines;
            let home = Segment::home(key, lines.len());
            let load = |at: usize| lines.get(at).map_or(0, |l| l.0[0] as u64);
            sum = sum.wrapping_add(load(home)).wrapping_add(load(home + 1));
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
        let of = |keys: usize| if keys * 4 <= SEGMENT * 3 { SEGMENT } else { slots };
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

    /// Full at three quarters: a key that is not there is then looked for in two lines.
    #[inline(always)]
    fn has_room(&self) -> bool {
        self.len < self.lines.len() * 3
    }

    /// Nothing if the key is there; the line where it would stand if not.
    #[inline(always)]
    fn find(&self, key: u128) -> std::result::Result<(), usize> {
        let mut at = Segment::home(key, self.lines.len());
        let mut steps = 0;
        // An empty segment has no line to look at.
        while let Some(Line(line)) = self.lines.get(at) {
            // All four at once: which one it is cannot be guessed, and a wrong guess costs more than the comparisons.
            if (line[0] == key) | (line[1] == key) | (line[2] == key) | (line[3] == key) {
                return Ok(());
            }
            if line[3] == 0 {
                return Err(at);
            }
            // Growing steps leave clumps behind. After so many, which random keys never need, single ones find any room.
            steps += 1;
            at += if steps < 24 { steps } else { 1 };
            while at >= self.lines.len() {
                at -= self.lines.len();
            }
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

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
