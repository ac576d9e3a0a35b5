//! Reading a size, and the tables between systems.
//!
//! **No standard binds sizes.** The tables are the offsets that retailers' conversion charts commonly print; charts of single brands differ by
//! a size here and there, which is why the size as it came is kept in its column.

/// Where the numbers of a size come from, or go to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum System {
    Us,
    Uk,
    Eu,
    Fr,
    De,
    It,
    Jp,
    /// Length of the foot, for shoes.
    Cm,
}

impl System {
    pub const ALL: [(&'static str, System); 8] = [
        ("US", System::Us),
        ("UK", System::Uk),
        ("EU", System::Eu),
        ("FR", System::Fr),
        ("DE", System::De),
        ("IT", System::It),
        ("JP", System::Jp),
        ("CM", System::Cm),
    ];
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, s)| *s == self).map_or("", |(name, _)| name)
    }
}

/// Whose clothes, or shoes, a size is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Department {
    Men,
    Women,
    Kids,
    MenShoes,
    WomenShoes,
}

impl Department {
    pub const ALL: [(&'static str, Department); 5] = [
        ("men", Department::Men),
        ("women", Department::Women),
        ("kids", Department::Kids),
        ("men_shoes", Department::MenShoes),
        ("women_shoes", Department::WomenShoes),
    ];

    /// From words such as `Women's Shoes`. Shoes that do not say whose are men's.
    pub fn read(text: &str) -> Option<Department> {
        let text = text.to_ascii_lowercase();
        let has = |words: &[&str]| words.iter().any(|w| text.contains(w));
        let shoes = has(&["shoe", "footwear", "sneaker", "boot", "sandal"]);
        let women = has(&["women", "woman", "ladies", "female", "girl", "misses"]);
        let kids = has(&["kid", "child", "boy", "girl", "baby", "infant", "toddler", "junior"]);
        let men = has(&["men", "man", "male"]);
        match (shoes, kids, women, men) {
            // Sizes of children's shoes start anew twice; no one table holds them.
            (true, true, ..) => None,
            (true, _, true, _) => Some(Department::WomenShoes),
            (true, ..) => Some(Department::MenShoes),
            (_, true, ..) => Some(Department::Kids),
            (_, _, true, _) => Some(Department::Women),
            (.., true) => Some(Department::Men),
            _ => None,
        }
    }
}

/// A size that was understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Size {
    /// `letter`, `one size`, `waist`, `age`, `women EU`, `men_shoes US`, …
    pub system: String,
    pub normal: String,
    /// Sorts sizes of one system; systems follow each other.
    pub order: i32,
}

fn size(system: impl Into<String>, normal: impl Into<String>, order: i32) -> Size {
    Size { system: system.into(), normal: normal.into(), order }
}

/// Reads a size; none where it cannot be understood.
pub fn read(text: &str, department: Option<Department>, to: System) -> Option<Size> {
    let text = text.trim().to_ascii_uppercase();
    let bare: String = text.chars().filter(|c| !matches!(c, ' ' | '-' | '.' | '_')).collect();
    one_size(&bare).or_else(|| letter(&bare)).or_else(|| age(&text)).or_else(|| waist(&text)).or_else(|| {
        let (from, number) = number(&text)?;
        match department {
            Some(Department::Women) => women(from.unwrap_or(System::Us), number, to),
            Some(Department::MenShoes) => shoes(from.unwrap_or(System::Us), number, to, false),
            Some(Department::WomenShoes) => shoes(from.unwrap_or(System::Us), number, to, true),
            // Men's trousers by their waist in inches; suits are told in inches or in the system's own numbers.
            Some(Department::Men) if from.is_none() && (52..=120).contains(&number) && number % 2 == 0 => {
                Some(size("waist", format!("W{}", number / 2), 30_000 + number / 2 * 100))
            }
            // US sizes of children are years.
            Some(Department::Kids) if from.is_none_or(|f| f == System::Us) && number % 2 == 0 && number <= 40 => {
                Some(years(number / 2))
            }
            _ => None,
        }
    })
}

fn one_size(bare: &str) -> Option<Size> {
    let words =
        ["OS", "O/S", "ONESIZE", "1SIZE", "OSFA", "OSFM", "ONESIZEFITSALL", "ONESIZEFITSMOST", "FREESIZE", "TU"];
    words.contains(&bare).then(|| size("one size", "OS", 0))
}

/// `XS`, `X-SMALL`, `EXTRA SMALL`, `XXL`, `2XL`, `3X`, …
fn letter(bare: &str) -> Option<Size> {
    let mut word = bare.to_string();
    for (long, short) in [
        ("DOUBLE", "2"),
        ("TRIPLE", "3"),
        ("EXTRA", "X"),
        ("SMALL", "S"),
        ("SML", "S"),
        ("SM", "S"),
        ("MEDIUM", "M"),
        ("MED", "M"),
        ("MD", "M"),
        ("LARGE", "L"),
        ("LGE", "L"),
        ("LRG", "L"),
        ("LG", "L"),
    ] {
        word = word.replace(long, short);
    }
    let (digit, rest) = match word.as_bytes().first() {
        Some(d @ b'1'..=b'9') => (Some(i32::from(d - b'0')), word.get(1..)?),
        _ => (None, word.as_str()),
    };
    let base = rest.trim_start_matches('X');
    let xs = (rest.len() - base.len()) as i32;
    let xs = match (digit, xs) {
        (Some(digit), 1) => digit,
        (Some(_), _) => return None,
        (None, xs) => xs,
    };
    let (base, step) = match base {
        "S" => ("S", -1 - xs),
        "M" if xs == 0 => ("M", 0),
        "L" => ("L", 1 + xs),
        // `3X` is `3XL`.
        "" if digit.is_some() => ("L", 1 + xs),
        _ => return None,
    };
    let normal = match xs {
        0 => base.to_string(),
        1 => format!("X{base}"),
        2 => format!("XX{base}"),
        more => format!("{more}X{base}"),
    };
    (xs <= 9).then(|| size("letter", normal, 20_000 + step))
}

/// `NB`, `6-9M`, `12 months`, `4T`, `10Y`.
fn age(text: &str) -> Option<Size> {
    let bare: String = text.chars().filter(|c| *c != ' ').collect();
    if ["NB", "NEWBORN", "PREEMIE"].contains(&bare.as_str()) {
        return Some(size("age", "0M", 10_000));
    }
    let digits = bare.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = &bare[digits.len()..];
    let (from, to) = match digits.split_once(['-', '/']) {
        Some((from, to)) => (from.trim_end_matches(|c: char| c.is_ascii_alphabetic()).parse().ok()?, to.parse().ok()?),
        None => (digits.parse().ok()?, digits.parse::<i32>().ok()?),
    };
    let range = |unit: &str| if from == to { format!("{to}{unit}") } else { format!("{from}-{to}{unit}") };
    match unit {
        "M" | "MO" | "MOS" | "MTHS" | "MONTHS" | "MONTH" if (0..=36).contains(&to) && (0..=to).contains(&from) => {
            Some(size("age", range("M"), 10_000 + to))
        }
        // A toddler's size of two years comes after 24 months.
        "T" if (1..=7).contains(&to) && from == to => Some(size("age", range("T"), 10_001 + to * 12)),
        "Y" | "YR" | "YRS" | "YEARS" if (1..=18).contains(&to) && (1..=to).contains(&from) => {
            Some(size("age", range("Y"), 10_002 + to * 12))
        }
        _ => None,
    }
}

fn years(years: i32) -> Size {
    size("age", format!("{years}Y"), 10_002 + years * 12)
}

/// `32x34`, `32/34`, `W32 L34`, `32W 34L`: waist and inseam in inches; `W32`.
fn waist(text: &str) -> Option<Size> {
    let mut numbers = vec![];
    let mut separated = false;
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        if digits > 0 {
            numbers.push(rest[..digits].parse::<i32>().ok()?);
            rest = &rest[digits..];
            continue;
        }
        separated |= matches!(c, 'X' | '/' | 'W' | '×');
        if !matches!(c, 'X' | '/' | 'W' | 'L' | ' ' | '×' | '"') {
            return None;
        }
        rest = &rest[c.len_utf8()..];
    }
    match numbers[..] {
        [waist @ 22..=60, inseam @ 24..=40] if separated => {
            Some(size("waist", format!("W{waist} L{inseam}"), 30_000 + waist * 100 + inseam))
        }
        [waist @ 22..=60] if text.contains('W') => Some(size("waist", format!("W{waist}"), 30_000 + waist * 100)),
        _ => None,
    }
}

/// `EU 38`, `38 EU`, `9.5`, `9½`, `9 1/2`: the system, and twice the number.
fn number(text: &str) -> Option<(Option<System>, i32)> {
    let named = |text: &str| -> Option<(System, String)> {
        System::ALL.iter().find_map(|(name, system)| {
            let rest = text.strip_prefix(name).or_else(|| text.strip_suffix(name))?;
            Some((*system, rest.trim().to_string()))
        })
    };
    let (system, rest) = match named(text) {
        Some((system, rest)) => (Some(system), rest),
        None => (None, text.to_string()),
    };
    let rest = rest.replace(',', ".");
    let halves = [".5", "½", " 1/2"].iter().find_map(|half| rest.strip_suffix(half));
    let (whole, half) = match halves {
        Some(whole) => (whole.trim(), 1),
        None => (rest.strip_suffix(".0").unwrap_or(&rest), 0),
    };
    // `00` is a size below 0 in the US; three digits are none.
    let small = !whole.is_empty() && whole.len() <= 2 && whole.bytes().all(|b| b.is_ascii_digit());
    match whole {
        "00" => Some((system, -4)),
        whole if small => Some((system, whole.parse::<i32>().ok()? * 2 + half)),
        _ => None,
    }
}

/// Added to a US size of women's clothes: US 4 is UK 8, EU and FR 36, DE 34, IT 40 and JP 7.
fn women_offset(system: System) -> Option<i32> {
    Some(match system {
        System::Us => 0,
        System::Uk => 4,
        System::Eu | System::Fr => 32,
        System::De => 30,
        System::It => 36,
        System::Jp => 3,
        System::Cm => return None,
    })
}

fn women(from: System, twice: i32, to: System) -> Option<Size> {
    let us = twice / 2 - women_offset(from)?;
    if twice % 2 != 0 || !(-2..=30).contains(&us) {
        return None;
    }
    let normal = match us + women_offset(to)? {
        ..0 => "00".to_string(),
        number => number.to_string(),
    };
    Some(size(format!("women {}", to.name()), normal, 40_000 + us))
}

/// EU sizes in halves for US men's sizes from 3.5 in steps of a half. EU sizes are two thirds of a centimetre, others a third of
/// an inch: no offset fits.
const EU_SHOES: [i32; 24] =
    [71, 72, 73, 75, 76, 77, 78, 80, 81, 82, 84, 85, 86, 88, 89, 90, 91, 92, 94, 95, 96, 97, 99, 100];

/// Over the US men's size: UK is one less, women's one and a half more, the foot's length in centimetres 18 more.
fn shoes(from: System, twice: i32, to: System, women: bool) -> Option<Size> {
    let shift = if women { 3 } else { 0 };
    let men = match from {
        System::Us => twice - shift,
        System::Uk => twice + 2,
        System::Cm | System::Jp => twice - 36,
        System::Eu | System::Fr | System::De | System::It => {
            // Between two of the table the smaller one.
            let at = EU_SHOES.iter().rposition(|eu| *eu <= twice).filter(|_| twice <= 100)?;
            at as i32 + 7
        }
    };
    let eu = *EU_SHOES.get(usize::try_from(men - 7).ok()?)?;
    let twice = match to {
        System::Us => men + shift,
        System::Uk => men - 2,
        System::Cm | System::Jp => men + 36,
        System::Eu | System::Fr | System::De | System::It => eu,
    };
    let normal = if twice % 2 == 0 { format!("{}", twice / 2) } else { format!("{}.5", twice / 2) };
    let who = if women { "women_shoes" } else { "men_shoes" };
    Some(size(format!("{who} {}", to.name()), normal, 50_000 + men))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str, department: Option<Department>, to: System) -> String {
        read(text, department, to).map_or("unknown".into(), |s| format!("{}: {}", s.system, s.normal))
    }

    #[test]
    fn letters_in_all_spellings() {
        for (normal, spellings) in [
            ("XS", "xs|x-small|Extra Small|X Small|1XS"),
            ("S", "S|small|Sm"),
            ("M", "m|Med|MEDIUM"),
            ("XL", "XL|x-large|extra large|1X|1XL"),
            ("XXL", "XXL|2XL|2x|XX-Large|double XL"),
            ("3XL", "XXXL|3XL|3X|Triple XL"),
            ("OS", "OS|one size|One-Size|O/S|OSFA"),
            ("unknown", "XM|2XXL|X||Q|10XL|é"),
        ] {
            for text in spellings.split('|') {
                let found = read(text, None, System::Us).map_or("unknown".into(), |s| s.normal);
                assert_eq!(found, normal, "{text}");
            }
        }
    }

    #[test]
    fn numbers_by_department() {
        use Department::{Kids, Men, MenShoes, Women, WomenShoes};
        for (text, department, to, expected) in [
            ("8", Some(Women), System::Eu, "women EU: 40"),
            ("EU 38", Some(Women), System::Us, "women US: 6"),
            ("42 IT", Some(Women), System::Uk, "women UK: 10"),
            ("00", Some(Women), System::Us, "women US: 00"),
            ("00", Some(Women), System::Uk, "women UK: 2"),
            ("7.5", Some(Women), System::Us, "unknown"),
            ("9", Some(MenShoes), System::Eu, "men_shoes EU: 42.5"),
            ("9½", Some(MenShoes), System::Uk, "men_shoes UK: 8.5"),
            ("9 1/2", Some(MenShoes), System::Cm, "men_shoes CM: 27.5"),
            ("EU 42,5", Some(MenShoes), System::Us, "men_shoes US: 9"),
            ("27.0 cm", Some(WomenShoes), System::Us, "women_shoes US: 10.5"),
            ("60", Some(MenShoes), System::Us, "unknown"),
            ("32", Some(Men), System::Us, "waist: W32"),
            ("10", Some(Kids), System::Us, "age: 10Y"),
            ("EU 42", None, System::Us, "unknown"),
            ("32x34", None, System::Us, "waist: W32 L34"),
            ("32/34", None, System::Us, "waist: W32 L34"),
            ("W32 L34", Some(Women), System::Us, "waist: W32 L34"),
            ("32W 34L", None, System::Us, "waist: W32 L34"),
            ("4T", None, System::Us, "age: 4T"),
            ("6-9M", None, System::Us, "age: 6-9M"),
            ("12 Months", None, System::Us, "age: 12M"),
            ("10Y", None, System::Us, "age: 10Y"),
            ("99999999999M", None, System::Us, "unknown"),
        ] {
            assert_eq!(told(text, department, to), expected, "{text}");
        }
    }

    #[test]
    fn sizes_sort() {
        let order = |text: &str, department| read(text, department, System::Us).unwrap().order;
        for (sizes, department) in [
            ("XXS|XS|S|M|L|XL|2XL|3XL", None),
            ("NB|0-3M|6M|24M|2T|4T|5Y|10Y", None),
            ("28x30|32x30|32x34|34x30", None),
            ("00|0|2|10", Some(Department::Women)),
            ("8|8.5|9|10", Some(Department::MenShoes)),
        ] {
            let orders: Vec<i32> = sizes.split('|').map(|s| order(s, department)).collect();
            assert!(orders.is_sorted_by(|a, b| a < b), "{sizes}: {orders:?}");
        }
    }

    #[test]
    fn departments_in_words() {
        for (text, expected) in [
            ("Women's Shoes", Some(Department::WomenShoes)),
            ("Mens", Some(Department::Men)),
            ("LADIES", Some(Department::Women)),
            ("Girls", Some(Department::Kids)),
            ("Kids' boots", None),
            ("Home", None),
        ] {
            assert_eq!(Department::read(text), expected, "{text}");
        }
    }
}
