//! Times of the columns as days, hours and text.

use selvedge_guest::{Type, Unit};

/// Ticks a second of a column's unit.
#[derive(Clone, Copy)]
pub struct Ticks(i64);

impl Ticks {
    /// Of a timestamp; a second for any other type.
    pub fn of(ty: &Type) -> Ticks {
        Ticks(match ty {
            Type::Timestamp(Unit::Milli, _) => 1_000,
            Type::Timestamp(Unit::Micro, _) => 1_000_000,
            Type::Timestamp(Unit::Nano, _) => 1_000_000_000,
            _ => 1,
        })
    }
    /// Minutes as ticks.
    pub fn minutes(self, minutes: u32) -> i64 {
        self.0.saturating_mul(60 * i64::from(minutes))
    }
    /// Milliseconds as ticks, rounded down.
    pub fn milliseconds(self, time: i64) -> i64 {
        match self.0 {
            1 => time.div_euclid(1000),
            ticks => time.saturating_mul(ticks / 1000),
        }
    }
    /// Whole seconds, rounded down.
    pub fn seconds(self, time: i64) -> i64 {
        time.div_euclid(self.0)
    }
    /// 0 to 23.
    pub fn hour(self, time: i64) -> i32 {
        (self.seconds(time).rem_euclid(86_400) / 3600) as i32
    }
    /// Monday is 1, Sunday is 7.
    pub fn weekday(self, time: i64) -> i32 {
        // 1970 began on a Thursday.
        ((self.seconds(time).div_euclid(86_400) + 3).rem_euclid(7) + 1) as i32
    }
    /// `20240214T012215`, to the second.
    pub fn text(self, time: i64) -> String {
        let seconds = self.seconds(time);
        let (year, month, day) = civil(seconds.div_euclid(86_400));
        let of_day = seconds.rem_euclid(86_400);
        let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
        format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}")
    }
}

/// Days since 1970 as a date (Howard Hinnant, "chrono-compatible low-level date algorithms": years begin in March).
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_dates() {
        for (seconds, text, hour, weekday) in [
            (0, "19700101T000000", 0, 4),
            (1_709_251_199, "20240229T235959", 23, 4),
            (1_709_251_200, "20240301T000000", 0, 5),
            (-1, "19691231T235959", 23, 3),
            (951_782_400, "20000229T000000", 0, 2),
        ] {
            for unit in [Unit::Second, Unit::Milli, Unit::Micro, Unit::Nano] {
                let ticks = Ticks::of(&Type::Timestamp(unit, None));
                let time = seconds * ticks.0;
                assert_eq!((ticks.text(time).as_str(), ticks.hour(time), ticks.weekday(time)), (text, hour, weekday));
            }
        }
        let micro = Ticks::of(&Type::Timestamp(Unit::Micro, None));
        assert_eq!((micro.minutes(30), micro.milliseconds(5)), (1_800_000_000, 5000));
        assert_eq!(Ticks::of(&Type::Timestamp(Unit::Second, None)).milliseconds(-1), -1);
        // The ends of what a column can hold do not overflow.
        for time in [i64::MIN, i64::MAX] {
            assert!(!Ticks::of(&Type::Timestamp(Unit::Second, None)).text(time).is_empty());
        }
    }
}
