//! The work itself, which a plugin and a native node share.

/// Which ids are even, and a number for each of those rows.
pub fn filter(ids: &[i64], vals: &[f64]) -> (Vec<bool>, Vec<f64>) {
    let keep: Vec<bool> = ids.iter().map(|id| id & 1 == 0).collect();
    let kept = ids.iter().zip(vals).filter(|(id, _)| *id & 1 == 0);
    (keep, kept.map(|(id, val)| val * 1.1 + *id as f64).collect())
}

/// Each text in lower case, and the number of its words.
pub fn tokens<'a>(texts: impl Iterator<Item = &'a str>) -> (Vec<String>, Vec<i64>) {
    texts
        .map(|text| {
            (text.to_lowercase(), text.split(|c: char| !c.is_alphanumeric()).filter(|w| !w.is_empty()).count() as i64)
        })
        .unzip()
}
