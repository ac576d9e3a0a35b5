//! Places in the United States as people write them, taken apart from the end: country, postal code, state, city.

use arrow::array::{ArrayRef, StringArray, StringBuilder};
use std::sync::Arc;

/// City, state and zip code, each null where it is missing.
pub(super) fn places(text: &StringArray) -> [ArrayRef; 3] {
    let mut columns = [StringBuilder::new(), StringBuilder::new(), StringBuilder::new()];
    for value in text {
        let (city, state, zip) = value.map(place).unwrap_or_default();
        for (column, part) in columns.iter_mut().zip([city, state, zip]) {
            column.append_option(part);
        }
    }
    columns.map(|mut c| Arc::new(c.finish()) as ArrayRef)
}

type Place<'a> = (Option<&'a str>, Option<&'static str>, Option<&'a str>);

fn place(text: &str) -> Place<'_> {
    let mut parts: Vec<&str> = text.split(',').map(str::trim).filter(|p| !p.is_empty()).collect();
    if parts.len() > 1 && parts.last().is_some_and(|p| is_country(p)) {
        parts.pop();
    }
    let Some(mut last) = parts.pop() else { return (None, None, None) };
    let mut zip = None;
    let (before, word) = split_last_word(last);
    if is_zip(word) {
        zip = Some(word);
        last = before;
    }
    if last.is_empty() {
        match parts.pop() {
            Some(part) => last = part,
            None => return (None, None, zip),
        }
    }
    let (city, state) = match state(last) {
        Some(code) => (parts.pop(), Some(code)),
        None => {
            // `Austin TX`, `Austin New York`: the longest tail that is a state, but never all of it.
            let tails = last.match_indices(' ').map(|(at, _)| (last[..at].trim(), last[at..].trim()));
            match tails.into_iter().find_map(|(city, tail)| state(tail).map(|code| (city, code))) {
                Some((city, code)) => (Some(city), Some(code)),
                None => (Some(last), None),
            }
        }
    };
    (city, state, zip)
}

fn split_last_word(text: &str) -> (&str, &str) {
    match text.rsplit_once(char::is_whitespace) {
        Some((before, word)) => (before.trim_end(), word),
        None => ("", text),
    }
}

fn is_zip(word: &str) -> bool {
    let digits = |t: &str, n| t.len() == n && t.bytes().all(|b| b.is_ascii_digit());
    match word.split_once('-') {
        Some((five, four)) => digits(five, 5) && digits(four, 4),
        None => digits(word, 5) || digits(word, 9),
    }
}

fn is_country(part: &str) -> bool {
    ["usa", "us", "u.s.a.", "u.s.", "united states", "united states of america"]
        .iter()
        .any(|c| part.eq_ignore_ascii_case(c))
}

fn state(text: &str) -> Option<&'static str> {
    let text = text.trim_end_matches('.');
    STATES
        .iter()
        .find(|(code, name)| text.eq_ignore_ascii_case(code) || text.eq_ignore_ascii_case(name))
        .map(|(code, _)| *code)
}

const STATES: [(&str, &str); 56] = [
    ("AL", "Alabama"),
    ("AK", "Alaska"),
    ("AZ", "Arizona"),
    ("AR", "Arkansas"),
    ("CA", "California"),
    ("CO", "Colorado"),
    ("CT", "Connecticut"),
    ("DE", "Delaware"),
    ("DC", "District of Columbia"),
    ("FL", "Florida"),
    ("GA", "Georgia"),
    ("HI", "Hawaii"),
    ("ID", "Idaho"),
    ("IL", "Illinois"),
    ("IN", "Indiana"),
    ("IA", "Iowa"),
    ("KS", "Kansas"),
    ("KY", "Kentucky"),
    ("LA", "Louisiana"),
    ("ME", "Maine"),
    ("MD", "Maryland"),
    ("MA", "Massachusetts"),
    ("MI", "Michigan"),
    ("MN", "Minnesota"),
    ("MS", "Mississippi"),
    ("MO", "Missouri"),
    ("MT", "Montana"),
    ("NE", "Nebraska"),
    ("NV", "Nevada"),
    ("NH", "New Hampshire"),
    ("NJ", "New Jersey"),
    ("NM", "New Mexico"),
    ("NY", "New York"),
    ("NC", "North Carolina"),
    ("ND", "North Dakota"),
    ("OH", "Ohio"),
    ("OK", "Oklahoma"),
    ("OR", "Oregon"),
    ("PA", "Pennsylvania"),
    ("RI", "Rhode Island"),
    ("SC", "South Carolina"),
    ("SD", "South Dakota"),
    ("TN", "Tennessee"),
    ("TX", "Texas"),
    ("UT", "Utah"),
    ("VT", "Vermont"),
    ("VA", "Virginia"),
    ("WA", "Washington"),
    ("WV", "West Virginia"),
    ("WI", "Wisconsin"),
    ("WY", "Wyoming"),
    ("PR", "Puerto Rico"),
    ("VI", "Virgin Islands"),
    ("GU", "Guam"),
    ("AS", "American Samoa"),
    ("MP", "Northern Mariana Islands"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn parts_of_places() {
        for (text, expected) in [
            ("Austin, TX 78701", (Some("Austin"), Some("TX"), Some("78701"))),
            ("Austin, tx", (Some("Austin"), Some("TX"), None)),
            ("Austin, Texas, 78701-1234, USA", (Some("Austin"), Some("TX"), Some("78701-1234"))),
            ("12 Elm St, Austin, TX 78701", (Some("Austin"), Some("TX"), Some("78701"))),
            ("Austin TX 78701", (Some("Austin"), Some("TX"), Some("78701"))),
            ("New York, NY", (Some("New York"), Some("NY"), None)),
            ("San Juan Puerto Rico", (Some("San Juan"), Some("PR"), None)),
            ("Charleston West Virginia", (Some("Charleston"), Some("WV"), None)),
            ("São Paulo", (Some("São Paulo"), None, None)),
            ("78701", (None, None, Some("78701"))),
            ("TX 78701", (None, Some("TX"), Some("78701"))),
            ("Springfield, 7870", (Some("7870"), None, None)),
            (" , ", (None, None, None)),
            ("", (None, None, None)),
        ] {
            assert_eq!(place(text), expected, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(text in "[a-zA-Z0-9, é.-]{0,30}") {
            place(&text);
        }
    }
}
