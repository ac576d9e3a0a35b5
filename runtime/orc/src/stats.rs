//! What a file says of a column's values: for each group of rows, each stripe and the whole file, so that readers skip.

use orc_rust::proto;

/// Longer texts are no bounds themselves: they are cut.
const LONGEST: usize = 1024;

#[derive(Debug, Clone, Default)]
pub struct Stats {
    /// Values that are not null.
    pub count: u64,
    pub nulls: bool,
    /// Bytes of the column's streams.
    pub bytes: u64,
    pub values: Values,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub enum Values {
    #[default]
    None,
    Bools {
        set: u64,
    },
    Ints(Range<i64>, Sum<i64>),
    Floats {
        range: Range<f64>,
        sum: f64,
        nan: bool,
    },
    Texts {
        range: Range<Vec<u8>>,
        bytes: i64,
    },
    Binary {
        bytes: i64,
    },
    Dates(Range<i32>),
    /// Nanoseconds since 1970, UTC.
    Times(Range<i128>),
    Decimals {
        range: Range<i128>,
        sum: Sum<i128>,
        scale: u8,
    },
    /// How many children each list or map has.
    Children(Range<i64>, Sum<i64>),
}

/// The least and the greatest value, where there is any.
pub type Range<T> = Option<(T, T)>;
/// None where it does not fit.
pub type Sum<T> = Option<T>;

pub fn widen<T: PartialOrd + Copy>(range: &mut Range<T>, least: T, most: T) {
    *range = Some(match *range {
        None => (least, most),
        Some((a, b)) => (if least < a { least } else { a }, if most > b { most } else { b }),
    });
}

pub fn widen_bytes(range: &mut Range<Vec<u8>>, value: &[u8]) {
    match range {
        None => *range = Some((value.to_vec(), value.to_vec())),
        Some((least, most)) => {
            if value < least.as_slice() {
                least.clear();
                least.extend_from_slice(value);
            } else if value > most.as_slice() {
                most.clear();
                most.extend_from_slice(value);
            }
        }
    }
}

/// Adds without overflow: once it does not fit, there is no sum.
pub fn add<T>(sum: &mut Sum<T>, value: Option<T>, add: fn(T, T) -> Option<T>) {
    *sum = sum.take().zip(value).and_then(|(a, b)| add(a, b));
}

impl Values {
    /// The same kind, of no values.
    pub fn fresh(&self) -> Values {
        match self {
            Values::None => Values::None,
            Values::Bools { .. } => Values::Bools { set: 0 },
            Values::Ints(..) => Values::Ints(None, Some(0)),
            Values::Floats { .. } => Values::Floats { range: None, sum: 0.0, nan: false },
            Values::Texts { .. } => Values::Texts { range: None, bytes: 0 },
            Values::Binary { .. } => Values::Binary { bytes: 0 },
            Values::Dates(_) => Values::Dates(None),
            Values::Times(_) => Values::Times(None),
            Values::Decimals { scale, .. } => Values::Decimals { range: None, sum: Some(0), scale: *scale },
            Values::Children(..) => Values::Children(None, Some(0)),
        }
    }

    fn merge(&mut self, other: &Values) {
        match (self, other) {
            (Values::Bools { set }, Values::Bools { set: more }) => *set += more,
            (Values::Ints(range, sum), Values::Ints(more, value))
            | (Values::Children(range, sum), Values::Children(more, value)) => {
                more.iter().for_each(|(a, b)| widen(range, *a, *b));
                add(sum, *value, i64::checked_add);
            }
            (Values::Floats { range, sum, nan }, Values::Floats { range: more, sum: value, nan: other }) => {
                more.iter().for_each(|(a, b)| widen(range, *a, *b));
                *sum += value;
                *nan |= other;
            }
            (Values::Texts { range, bytes }, Values::Texts { range: more, bytes: length }) => {
                if let Some((least, most)) = more {
                    widen_bytes(range, least);
                    widen_bytes(range, most);
                }
                *bytes += length;
            }
            (Values::Binary { bytes }, Values::Binary { bytes: more }) => *bytes += more,
            (Values::Dates(range), Values::Dates(more)) => more.iter().for_each(|(a, b)| widen(range, *a, *b)),
            (Values::Times(range), Values::Times(more)) => more.iter().for_each(|(a, b)| widen(range, *a, *b)),
            (Values::Decimals { range, sum, .. }, Values::Decimals { range: more, sum: value, .. }) => {
                more.iter().for_each(|(a, b)| widen(range, *a, *b));
                add(sum, *value, i128::checked_add);
            }
            _ => {}
        }
    }
}

impl Stats {
    pub fn of(values: Values) -> Stats {
        Stats { values, ..Stats::default() }
    }

    /// What was counted, and from now on nothing.
    pub fn take(&mut self) -> Stats {
        let fresh = Stats::of(self.values.fresh());
        std::mem::replace(self, fresh)
    }

    pub fn merge(&mut self, other: &Stats) {
        self.count += other.count;
        self.nulls |= other.nulls;
        self.bytes += other.bytes;
        self.values.merge(&other.values);
    }

    pub fn proto(&self) -> proto::ColumnStatistics {
        let mut all = proto::ColumnStatistics {
            number_of_values: Some(self.count),
            has_null: Some(self.nulls),
            bytes_on_disk: (self.bytes > 0).then_some(self.bytes),
            ..Default::default()
        };
        match &self.values {
            Values::None => {}
            Values::Bools { set } => all.bucket_statistics = Some(proto::BucketStatistics { count: vec![*set] }),
            Values::Ints(range, sum) => {
                all.int_statistics = Some(proto::IntegerStatistics {
                    minimum: range.map(|r| r.0),
                    maximum: range.map(|r| r.1),
                    sum: *sum,
                });
            }
            Values::Floats { range, sum, nan } => {
                // NaN is beyond every bound: without bounds, and with a sum that is NaN, nobody skips its rows.
                let range = range.filter(|_| !nan);
                all.double_statistics = Some(proto::DoubleStatistics {
                    minimum: range.map(|r| r.0),
                    maximum: range.map(|r| r.1),
                    sum: Some(*sum),
                });
            }
            Values::Texts { range, bytes } => all.string_statistics = Some(text_bounds(range, *bytes)),
            Values::Binary { bytes } => all.binary_statistics = Some(proto::BinaryStatistics { sum: Some(*bytes) }),
            Values::Dates(range) => {
                all.date_statistics =
                    Some(proto::DateStatistics { minimum: range.map(|r| r.0), maximum: range.map(|r| r.1) });
            }
            Values::Times(range) => {
                // Milliseconds, and one more than the nanoseconds beyond them, where these are not the widest there are.
                let part = |nanos: i128| (nanos.div_euclid(1_000_000) as i64, nanos.rem_euclid(1_000_000) as i32);
                let (least, most) = (range.map(|r| part(r.0)), range.map(|r| part(r.1)));
                all.timestamp_statistics = Some(proto::TimestampStatistics {
                    minimum_utc: least.map(|p| p.0),
                    maximum_utc: most.map(|p| p.0),
                    minimum_nanos: least.map(|p| p.1 + 1).filter(|n| *n != 1),
                    maximum_nanos: most.map(|p| p.1 + 1).filter(|n| *n != 1_000_000),
                    ..Default::default()
                });
            }
            Values::Decimals { range, sum, scale } => {
                let text = |value: i128| decimal(value, *scale);
                all.decimal_statistics = Some(proto::DecimalStatistics {
                    minimum: range.map(|r| text(r.0)),
                    maximum: range.map(|r| text(r.1)),
                    // A sum of more digits than a decimal has is none.
                    sum: sum.filter(|s| s.unsigned_abs() < 10u128.pow(38)).map(text),
                });
            }
            Values::Children(range, sum) => {
                all.collection_statistics = Some(proto::CollectionStatistics {
                    min_children: range.map(|r| r.0 as u64),
                    max_children: range.map(|r| r.1 as u64),
                    total_children: sum.map(|s| s as u64),
                });
            }
        }
        all
    }
}

/// `-12.50`
fn decimal(value: i128, scale: u8) -> String {
    let digits = format!("{:0>1$}", value.unsigned_abs(), scale as usize + 1);
    let (whole, part) = digits.split_at(digits.len() - scale as usize);
    let sign = if value < 0 { "-" } else { "" };
    if part.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{part}") }
}

fn text_bounds(range: &Range<Vec<u8>>, bytes: i64) -> proto::StringStatistics {
    let mut stats = proto::StringStatistics { sum: Some(bytes), ..Default::default() };
    let Some((least, most)) = range else { return stats };
    let (least, most) = (String::from_utf8_lossy(least), String::from_utf8_lossy(most));
    if least.len() <= LONGEST {
        stats.minimum = Some(least.into_owned());
    } else {
        stats.lower_bound = Some(least[..least.floor_char_boundary(LONGEST)].to_string());
    }
    if most.len() <= LONGEST {
        stats.maximum = Some(most.into_owned());
    } else {
        stats.upper_bound = above(&most[..most.floor_char_boundary(LONGEST)]);
    }
    stats
}

/// A text that is greater than all that begin with `start`.
fn above(start: &str) -> Option<String> {
    let mut chars: Vec<char> = start.chars().collect();
    while let Some(last) = chars.pop() {
        if let Some(next) = (last as u32 + 1..=char::MAX as u32).find_map(char::from_u32) {
            chars.push(next);
            return Some(chars.into_iter().collect());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_written_out() {
        assert_eq!(decimal(-1250, 2), "-12.50");
        assert_eq!(decimal(7, 3), "0.007");
        assert_eq!(decimal(42, 0), "42");
        assert_eq!(decimal(i128::MIN, 0), i128::MIN.to_string());
    }

    #[test]
    fn long_texts_are_bounds_when_cut() {
        let long = "é".repeat(600);
        let stats = text_bounds(&Some((long.clone().into_bytes(), long.clone().into_bytes())), 1200);
        assert_eq!((stats.minimum, stats.maximum), (None, None));
        let (lower, upper) = (stats.lower_bound.unwrap(), stats.upper_bound.unwrap());
        assert!(lower < long && long < upper && lower.len() == 1024, "{lower} {upper}");
        assert_eq!(above("a\u{d7ff}").as_deref(), Some("a\u{e000}"));
        assert_eq!(above("b\u{10ffff}").as_deref(), Some("c"));
        assert_eq!(above("\u{10ffff}"), None);
    }

    #[test]
    fn what_does_not_fit_is_left_out() {
        let mut stats = Stats::of(Values::Ints(None, Some(0)));
        for value in [i64::MAX, 1] {
            let one = Stats { count: 1, values: Values::Ints(Some((value, value)), Some(value)), ..Stats::default() };
            stats.merge(&one);
        }
        let ints = stats.proto().int_statistics.unwrap();
        assert_eq!((ints.minimum, ints.maximum, ints.sum), (Some(1), Some(i64::MAX), None));
    }

    #[test]
    fn not_a_number_leaves_no_bounds() {
        let values = Values::Floats { range: Some((1.0, 2.0)), sum: f64::NAN, nan: true };
        let floats = Stats::of(values).proto().double_statistics.unwrap();
        assert_eq!((floats.minimum, floats.maximum), (None, None));
        assert!(floats.sum.unwrap().is_nan());
    }
}
