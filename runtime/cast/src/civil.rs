//! The proleptic Gregorian calendar as numbers: days since 1970-01-01 and back.

/// Days since 1970-01-01; `None` if there is no such day. Any year that fits, year 0 included.
#[inline(always)]
pub fn days(year: i64, month: u32, day: u32) -> Option<i64> {
    if !(1..=12).contains(&month) || day == 0 || (day > 28 && day > days_in_month(year, month)) {
        return None;
    }
    // Years start in March, so that the leap day is the last one (Howard Hinnant, `days_from_civil`).
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = i64::from((153 * month + 2) / 5 + day - 1);
    Some(era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468)
}

/// As [`days`], for years 0 to 9999: in 32 bits, without a sign.
#[inline(always)]
pub(crate) fn days_of_common_era(year: u32, month: u32, day: u32) -> Option<i32> {
    if month.wrapping_sub(1) > 11 || day.wrapping_sub(1) > 27 && (day == 0 || day > days_in_month(year.into(), month)) {
        return None;
    }
    // 400 years ahead, so that March of the year before year 0 is a number too.
    let early = u32::from(month <= 2);
    let (year, month) = (year + 400 - early, month + 12 * early - 3);
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1;
    Some(days as i32 - (719_468 + 146_097))
}

/// 28 to 31, for a month of 1 to 12.
#[inline]
pub fn days_in_month(year: i64, month: u32) -> u32 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Year, month and day of a day since 1970-01-01.
#[inline]
pub fn date(days: i64) -> (i64, u32, u32) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * of_year + 2) / 153;
    let day = (of_year - (153 * month + 2) / 5 + 1) as u32;
    let (year, month) = if month < 10 { (0, month as u32 + 3) } else { (1, month as u32 - 9) };
    (year_of_era + era * 400 + year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_short_way_is_the_long_way() {
        for year in (0..9999).step_by(7).chain([0, 1, 4, 100, 400, 1900, 2000, 2024, 9999]) {
            for month in 0..=13 {
                for day in 0..=32 {
                    assert_eq!(days_of_common_era(year, month, day).map(i64::from), days(year.into(), month, day));
                }
            }
        }
    }

    #[test]
    fn every_day_has_its_date() {
        for day in (-800_000..3_000_000).step_by(13) {
            let (year, month, of_month) = date(day);
            assert_eq!(days(year, month, of_month), Some(day));
        }
        assert_eq!(date(0), (1970, 1, 1));
        assert_eq!(date(19_782), (2024, 2, 29));
    }
}
