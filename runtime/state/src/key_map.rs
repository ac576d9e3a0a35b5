//! A number for each key known by its 128-bit hash, in memory.
//!
//! Open addressing with linear probing in 256 pieces, which grow by a third: growing takes spare memory for one piece, never for
//! the whole map, and a piece is small enough to be gone through between two batches. The pieces are in the order of
//! [`run_order`](crate::run_order), so that the map is sorted by sorting each of them.

use crate::key_set::BLOCK;
use crate::run_order;

/// 24 bytes a slot, nothing else; between nine sixteenths and three quarters of the slots are taken. The key 0 cannot be in it.
#[derive(Debug, Clone)]
pub struct KeyMap {
    pieces: Vec<Piece>,
    len: usize,
    slots: usize,
}

#[derive(Debug, Clone, Default)]
struct Piece {
    slots: Vec<Slot>,
    len: usize,
}

/// Both halves 0: empty.
#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    low: u64,
    high: u64,
    value: i64,
}

impl Slot {
    fn key(&self) -> u128 {
        u128::from(self.high) << 64 | u128::from(self.low)
    }
    #[inline(always)]
    fn is_empty(&self) -> bool {
        self.low | self.high == 0
    }
}

impl Default for KeyMap {
    fn default() -> KeyMap {
        KeyMap { pieces: vec![Piece::default(); Self::PIECES], len: 0, slots: 0 }
    }
}

impl KeyMap {
    pub const PIECES: usize = 256;
    /// Keys that are worth [touching](KeyMap::touch) together.
    pub const TOGETHER: usize = BLOCK;

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn bytes(&self) -> u64 {
        (self.slots * std::mem::size_of::<Slot>()) as u64
    }

    /// Loads the places of a few keys that are looked up next: the memory system fetches many at once.
    #[inline(always)]
    pub fn touch(&self, keys: &[u128]) {
        let mut sum = 0u64;
        for &key in keys {
            let slots = &self.pieces[piece(key)].slots;
            let slot = slots.get(home(key, slots.len())).map_or(0, |slot| slot.low);
            sum = sum.wrapping_add(slot);
        }
        std::hint::black_box(sum);
    }

    #[inline(always)]
    pub fn get(&self, key: u128) -> Option<i64> {
        let piece = &self.pieces[piece(key)];
        piece.find(key).filter(|&at| !piece.slots[at].is_empty()).map(|at| piece.slots[at].value)
    }

    #[inline(always)]
    pub fn set(&mut self, key: u128, value: i64) {
        self.set_where(key, value, |_| true);
    }

    /// Sets the number of a key unless it has a larger one.
    #[inline(always)]
    pub fn raise(&mut self, key: u128, value: i64) {
        self.set_where(key, value, |known| known < value);
    }

    #[inline(always)]
    fn set_where(&mut self, key: u128, value: i64, may_replace: impl Fn(i64) -> bool) {
        debug_assert_ne!(key, 0);
        let piece = &mut self.pieces[piece(key)];
        let mut found = piece.find(key);
        let is_new = found.is_none_or(|at| piece.slots[at].is_empty());
        if !is_new && found.is_some_and(|at| !may_replace(piece.slots[at].value)) {
            return;
        }
        if is_new {
            if (piece.len + 1) * 4 > piece.slots.len() * 3 {
                self.slots += piece.resize((piece.slots.len() + piece.slots.len() / 3).max(4), |_| true);
                found = piece.find(key);
            }
            piece.len += 1;
            self.len += 1;
        }
        if let Some(at) = found {
            piece.slots[at] = Slot { low: key as u64, high: (key >> 64) as u64, value };
        }
    }

    /// Keeps only those entries of a piece whose numbers are at least `least`.
    pub fn forget(&mut self, piece: usize, least: i64) {
        let piece = &mut self.pieces[piece];
        let stay = piece.slots.iter().filter(|slot| !slot.is_empty() && slot.value >= least).count();
        if stay == piece.len {
            return;
        }
        self.len -= piece.len - stay;
        piece.len = stay;
        // Small enough for what is there, with room to grow.
        let fit = stay * 3 / 2 + stay.min(1);
        let before = piece.slots.len();
        let slots = if fit * 4 < before * 3 || stay == 0 { fit } else { before };
        piece.resize(slots, |slot| slot.value >= least);
        self.slots = self.slots - before + slots;
    }

    /// Everything, in no order.
    pub fn each<E>(&self, mut then: impl FnMut(u128, i64) -> Result<(), E>) -> Result<(), E> {
        let mut slots = self.pieces.iter().flat_map(|piece| &piece.slots).filter(|slot| !slot.is_empty());
        slots.try_for_each(|slot| then(slot.key(), slot.value))
    }

    /// Takes everything out, in [`run_order`].
    pub fn drain<E>(&mut self, mut then: impl FnMut(u128, i64) -> Result<(), E>) -> Result<(), E> {
        for piece in &mut self.pieces {
            let mut slots = std::mem::take(piece).slots;
            self.slots -= slots.len();
            slots.retain(|slot| !slot.is_empty());
            self.len -= slots.len();
            slots.sort_unstable_by_key(|slot| run_order(slot.key()));
            slots.iter().try_for_each(|slot| then(slot.key(), slot.value))?;
        }
        Ok(())
    }
}

impl Piece {
    /// The slot of a key, or the empty one where it would stand. `None`: there are no slots.
    #[inline(always)]
    fn find(&self, key: u128) -> Option<usize> {
        let mut at = home(key, self.slots.len());
        loop {
            let slot = self.slots.get(at)?;
            if slot.is_empty() || (slot.low, slot.high) == (key as u64, (key >> 64) as u64) {
                return Some(at);
            }
            at = if at + 1 == self.slots.len() { 0 } else { at + 1 };
        }
    }

    /// Answers how many slots there are more than before.
    #[cold]
    fn resize(&mut self, slots: usize, stays: impl Fn(&Slot) -> bool) -> usize {
        let old = std::mem::replace(&mut self.slots, vec![Slot::default(); slots]);
        for slot in old.iter().filter(|slot| !slot.is_empty() && stays(slot)) {
            if let Some(at) = self.find(slot.key()) {
                self.slots[at] = *slot;
            }
        }
        slots.saturating_sub(old.len())
    }
}

#[inline(always)]
fn piece(key: u128) -> usize {
    (key as u64 >> 56) as usize
}

#[inline(always)]
fn home(key: u128, slots: usize) -> usize {
    ((u128::from((key as u64) << 8) * slots as u128) >> 64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    proptest! {
        #[test]
        fn a_map_is_a_map(
            steps in prop::collection::vec((1u128..80, -9i64..9), 0..600),
            forget in prop::collection::vec((0usize..600, -9i64..9), 0..4),
        ) {
            // Few pieces and few homes; keys that differ in one half only.
            let (mut map, mut model) = (KeyMap::default(), HashMap::new());
            for (i, &(key, value)) in steps.iter().enumerate() {
                let key = ((key % 7) << 55) | (key << 90);
                prop_assert_eq!(map.get(key), model.get(&key).copied());
                map.set(key, value);
                model.insert(key, value);
                for &(_, least) in forget.iter().filter(|f| f.0 == i) {
                    (0..KeyMap::PIECES).for_each(|piece| map.forget(piece, least));
                    model.retain(|_, value| *value >= least);
                }
                prop_assert_eq!(map.len(), model.len());
            }
            let keys: Vec<u128> = model.keys().copied().collect();
            map.touch(&keys);
            prop_assert!(keys.iter().all(|&key| map.get(key) == model.get(&key).copied()));
            prop_assert_eq!(map.bytes() as usize, map.pieces.iter().map(|p| p.slots.len() * 24).sum::<usize>());
            let mut expected: Vec<_> = model.into_iter().collect();
            expected.sort_by_key(|e| run_order(e.0));
            let mut found = vec![];
            map.drain(|key, value| { found.push((key, value)); Ok::<(), ()>(()) }).unwrap();
            prop_assert_eq!(found, expected);
            prop_assert_eq!((map.len(), map.bytes()), (0, 0));
        }
    }

    #[test]
    fn a_key_takes_less_than_45_bytes() {
        let mut map = KeyMap::default();
        let mut most: f64 = 0.0;
        for i in 1..400_000u64 {
            map.set(u128::from(i.wrapping_mul(0x9e37_79b9_7f4a_7c15)) | u128::from(i) << 64, 0);
            if i > 100_000 {
                most = most.max(map.bytes() as f64 / map.len() as f64);
            }
        }
        assert!(most < 45.0, "{most}");
    }
}
