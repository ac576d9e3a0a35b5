//! Random numbers by index instead of by history, so that row 7,000,000 costs no more than row 0.

/// 2^64 divided by the golden ratio, made odd: SplitMix64's step.
const STEP: u64 = 0x9E37_79B9_7F4A_7C15;

/// SplitMix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014), its output function.
fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// One sequence of draws, for one use: SplitMix64 whose state is jumped to instead of walked to.
#[derive(Debug, Clone, Copy)]
pub struct Draws(u64);

impl Draws {
    /// The sequence of this seed and this name (`inventory.qty`); other names give unrelated sequences.
    pub fn new(seed: u64, name: &str) -> Draws {
        Draws(
            name.bytes().fold(mix(seed.wrapping_add(STEP)), |key, byte| mix(key ^ u64::from(byte)).wrapping_add(STEP)),
        )
    }

    /// The draw of a row.
    pub fn at(self, row: u64) -> Draw {
        Draw(mix(self.0.wrapping_add(row.wrapping_mul(STEP))))
    }
}

/// 64 random bits, spent piece by piece: each [`below`](Draw::below) takes about log2(n) of them.
#[derive(Debug, Clone, Copy)]
pub struct Draw(u64);

impl Draw {
    /// A number in `0..n`, and 0 for `n` = 0. By multiplication (Lemire 2019): what the product leaves below the point is
    /// the randomness that is left for the next call.
    pub fn below(&mut self, n: u64) -> u64 {
        let wide = u128::from(self.0) * u128::from(n);
        self.0 = wide as u64;
        (wide >> 64) as u64
    }

    /// True in `permille` of a thousand cases.
    pub fn chance(&mut self, permille: u64) -> bool {
        self.below(1000) < permille
    }

    /// One of the values. There must be one.
    pub fn pick<T: Copy>(&mut self, values: &[T]) -> T {
        values[self.below(values.len() as u64) as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_are_even_and_unrelated() {
        let (a, b) = (Draws::new(1, "a"), Draws::new(1, "b"));
        let mut counts = [0u32; 10];
        let mut same = 0;
        for row in 0..100_000 {
            let mut draw = a.at(row);
            counts[draw.below(10) as usize] += 1;
            // The second draw of a row must not lean on the first.
            same += u32::from(draw.below(10) == b.at(row).below(10));
        }
        assert!(counts.iter().all(|&n| (9_600..10_400).contains(&n)), "{counts:?}");
        assert!((9_600..10_400).contains(&same), "{same}");
    }

    #[test]
    fn nothing_to_choose_from_is_zero() {
        assert_eq!(Draws::new(1, "x").at(3).below(0), 0);
    }
}
