//! How long things took: counts in buckets that grow by a fixed factor, so that any span of time fits into little room.

use std::time::Duration;

/// Each bucket ends this many times later than the one before: what is read from it is at most 10 % too long.
const GROWTH: f64 = 1.1;
/// The first bucket ends here, in milliseconds; the last one after some two months.
const FIRST: f64 = 0.1;
const BUCKETS: usize = 256;

#[derive(Debug, Clone)]
pub(crate) struct Histogram {
    counts: Vec<u64>,
    total: u64,
    longest: Duration,
}

impl Default for Histogram {
    fn default() -> Histogram {
        Histogram { counts: vec![0; BUCKETS], total: 0, longest: Duration::ZERO }
    }
}

impl Histogram {
    pub fn add(&mut self, time: Duration, count: u64) {
        let steps = (time.as_secs_f64() * 1000.0 / FIRST).max(1.0).ln() / GROWTH.ln();
        self.counts[(steps.ceil() as usize).min(BUCKETS - 1)] += count;
        self.total += count;
        self.longest = self.longest.max(time);
    }

    pub fn total(&self) -> u64 {
        self.total
    }

    /// In milliseconds.
    pub fn longest(&self) -> f64 {
        self.longest.as_secs_f64() * 1000.0
    }

    /// The time, in milliseconds, that this share of all took at most; 0 of none.
    pub fn quantile(&self, share: f64) -> f64 {
        let wanted = (self.total as f64 * share).ceil() as u64;
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += count;
            if *count > 0 && seen >= wanted {
                return (FIRST * GROWTH.powi(bucket as i32)).min(self.longest());
            }
        }
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_at_most_a_bucket_too_long() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.quantile(0.99), 0.0);
        (1..=1000).for_each(|ms| histogram.add(Duration::from_millis(ms), 1));
        for (share, true_value) in [(0.5, 500.0), (0.9, 900.0), (0.99, 990.0), (1.0, 1000.0)] {
            let found = histogram.quantile(share);
            assert!((true_value..=true_value * GROWTH).contains(&found), "{share}: {found}");
        }
        histogram.add(Duration::from_secs(1 << 40), 1);
        histogram.add(Duration::ZERO, 1);
        assert_eq!(histogram.total(), 1002);
    }
}
