//! A filter of keys known by their 128-bit hash: says surely that a key is not there, and of one key in a thousand that it may be
//! though it is not.
//!
//! A split block Bloom filter (Putze, Sanders, Singler 2007; Apache Parquet's `BloomFilter.md` has it with half the width): a
//! key has a block of one cache line, and in it a bit of each of eight words.

/// Keys for which a block is made: two bytes a key.
const BLOCK_KEYS: usize = 32;

#[derive(Debug, Clone, Copy, Default)]
#[repr(align(64))]
struct Block([u64; 8]);

#[derive(Debug, Clone)]
pub struct KeyFilter {
    blocks: Vec<Block>,
}

impl KeyFilter {
    /// A filter for so many keys. More may come: it then lets more through.
    pub fn new(keys: usize) -> KeyFilter {
        KeyFilter { blocks: vec![Block::default(); keys.div_ceil(BLOCK_KEYS).max(1)] }
    }

    pub fn bytes(&self) -> u64 {
        self.blocks.len() as u64 * 64
    }

    pub fn insert(&mut self, key: u128) {
        let at = self.block(key);
        let block = &mut self.blocks[at].0;
        block.iter_mut().zip(bits(key)).for_each(|(word, bit)| *word |= bit);
    }

    #[inline(always)]
    pub fn may_contain(&self, key: u128) -> bool {
        let block = &self.blocks[self.block(key)].0;
        block.iter().zip(bits(key)).fold(0, |missing, (word, bit)| missing | (bit & !word)) == 0
    }

    #[inline(always)]
    fn block(&self, key: u128) -> usize {
        ((u128::from(key as u64) * self.blocks.len() as u128) >> 64) as usize
    }
}

/// A bit for each word of a block, six bits of a product each.
#[inline(always)]
fn bits(key: u128) -> [u64; 8] {
    let mixed = ((key >> 64) as u64 ^ (key as u64).rotate_left(32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    std::array::from_fn(|word| 1 << ((mixed >> (16 + 6 * word)) & 63))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_passes_and_little_else() {
        let key = |i: u128| (i + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
        let mut filter = KeyFilter::new(20_000);
        (0..20_000).for_each(|i| filter.insert(key(i)));
        assert!((0..20_000).all(|i| filter.may_contain(key(i))));
        let wrong = (20_000..220_000).filter(|&i| filter.may_contain(key(i))).count();
        assert!(wrong < 500, "{wrong} of 200,000");
        assert_eq!(filter.bytes(), 40_000);
    }
}
