//! Keys known by their 128-bit hash, numbered from 0 in order of appearance.
//!
//! Open addressing with linear probing from a home of `low half · slots / 2⁶⁴`: any number of slots will do, so growth can be
//! gentle. Blocks of keys are touched before they are compared, as in [`KeySet`](crate::KeySet).

use crate::key_set::BLOCK;
use selvedge_node::{Error, Result};

/// Home slot of a key among `slots`.
#[inline(always)]
fn home(low: u64, slots: usize) -> usize {
    ((u128::from(low) * slots as u128) >> 64) as usize
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
    use std::collections::HashMap;

    /// Keys that clump: few different homes, high halves that tell them apart.
    fn clumped() -> impl Strategy<Value = Vec<u128>> {
        prop::collection::vec((0u128..40, 0u128..40).prop_map(|(a, b)| a << 60 | b << 96), 0..600)
    }

    proptest! {
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
}
