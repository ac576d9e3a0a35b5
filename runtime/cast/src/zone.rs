//! Wall clocks and instants: what a column's time zone, or the zone in a text, does to a time.

use arrow::array::timezone::Tz;
use arrow::datatypes::TimeUnit;
use chrono::{DateTime, Days, LocalResult, Offset, TimeZone};

/// The zone of a timestamp column.
#[derive(Clone, Copy)]
pub(crate) enum Zone {
    /// UTC, or no zone at all: wall clock and instant are one number.
    Utc,
    Other(Tz),
}

impl Zone {
    /// `None` if nobody knows that zone.
    pub fn of(name: Option<&str>) -> Option<Zone> {
        match name {
            None | Some("UTC" | "Z" | "+00:00" | "Etc/UTC" | "GMT") => Some(Zone::Utc),
            Some(name) => name.parse().ok().map(Zone::Other),
        }
    }

    /// The instant at which clocks of the zone show `wall`, both in seconds since 1970. Where they show it twice, the first
    /// time; where they skip it, as if they had not been moved yet (as Java).
    pub fn instant(self, wall: i64) -> Option<i64> {
        let Zone::Other(zone) = self else { return Some(wall) };
        let naive = DateTime::from_timestamp(wall, 0)?.naive_utc();
        let offset = match zone.offset_from_local_datetime(&naive) {
            LocalResult::Single(o) | LocalResult::Ambiguous(o, _) => o,
            LocalResult::None => zone.offset_from_local_datetime(&naive.checked_sub_days(Days::new(1))?).earliest()?,
        };
        wall.checked_sub(i64::from(offset.fix().local_minus_utc()))
    }

    /// What clocks of the zone show at an instant, both in seconds since 1970.
    pub fn wall(self, instant: i64) -> Option<i64> {
        let Zone::Other(zone) = self else { return Some(instant) };
        let naive = DateTime::from_timestamp(instant, 0)?.naive_utc();
        instant.checked_add(i64::from(zone.offset_from_utc_datetime(&naive).fix().local_minus_utc()))
    }
}

/// Units of a timestamp in a second.
pub(crate) fn per_second(unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => 1_000_000_000,
    }
}
