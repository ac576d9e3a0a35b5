//! Text as words that can be compared: without case, accents and punctuation, a space before and behind each word.

/// Latin letters without their accents, by code point; `-` where there is no one letter for it.
const LATIN: [(u32, &str); 2] = [(0xC0, LETTERS[0]), (0x1E00, LETTERS[1])];
const LETTERS: [&str; 2] = [
    "aaaaaa-ceeeeiiiidnooooo-ouuuuy--aaaaaa-ceeeeiiiidnooooo-ouuuuy-yaaaaaaccccccccddddeeeeeeeeeegggggggghhhhiiiiii\
     iiii--jjkk-llllll--llnnnnnn-nnoooooo--rrrrrrssssssssttttttuuuuuuuuuuuuwwyyyzzzzzzs----------------------------\
     ----oo-------------uu----------------------------aaiioouuuuuuuuuu-aaaa----ggkkoooo--j---gg--nnaa--ooaaaaeeeeii\
     iioooorrrruuuusstt--hh------aaeeooooooooyy----------------------------",
    "aabbbbbbccddddddddddeeeeeeeeeeffgghhhhhhhhhhiiiikkkkkkllllllllmmmmmmnnnnnnnnoooooooopppprrrrrrrrsssssssssstttt\
     ttttuuuuuuuuuuvvvvwwwwwwwwwwxxxxyyzzzzzzhtwy------aaaaaaaaaaaaaaaaaaaaaaaaeeeeeeeeeeeeeeeeiiiioooooooooooooooo\
     oooooooouuuuuuuuuuuuuuyyyyyyyy------",
];

/// What a character is for words.
enum Part {
    /// Of a word, as one letter.
    Letter(char),
    /// Of a word, as several.
    Letters(&'static str),
    /// A word of its own: an emoji, or of a script that writes no spaces.
    Word,
    /// Nothing: an accent, or an apostrophe.
    Nothing,
    /// Between words.
    Between,
}

fn part(c: char) -> Part {
    match c {
        'a'..='z' | '0'..='9' => Part::Letter(c),
        'A'..='Z' => Part::Letter(c.to_ascii_lowercase()),
        // So that `don't`, `don’t` and `dont` are one word.
        '\'' | '’' | '‘' | 'ʼ' | '\u{ad}' | '\u{200c}' | '\u{200d}' => Part::Nothing,
        '\0'..='\u{7f}' => Part::Between,
        'ß' | 'ẞ' => Part::Letters("ss"),
        'æ' | 'Æ' => Part::Letters("ae"),
        'œ' | 'Œ' => Part::Letters("oe"),
        'þ' | 'Þ' => Part::Letters("th"),
        // Accents by themselves, variants of emoji, and colours of skin.
        '\u{300}'..='\u{36f}' | '\u{fe00}'..='\u{fe0f}' | '\u{1f3fb}'..='\u{1f3ff}' => Part::Nothing,
        // ASCII in full width.
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(c as u32 - 0xFEE0).map_or(Part::Between, part),
        // Thai to Lao, Myanmar, Khmer; kana and ideographs.
        '\u{e00}'..='\u{eff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}' => Part::Word,
        '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' => Part::Word,
        '\u{ff66}'..='\u{ff9d}' | '\u{20000}'..='\u{3ffff}' => Part::Word,
        '\u{2600}'..='\u{27bf}' | '\u{1f000}'..='\u{1faff}' => Part::Word,
        _ if c.is_alphanumeric() => Part::Letter(latin(c).unwrap_or_else(|| lower(c))),
        _ => Part::Between,
    }
}

fn latin(c: char) -> Option<char> {
    let letter = |(from, letters): (u32, &'static str)| letters.as_bytes().get((c as u32).checked_sub(from)? as usize);
    LATIN.into_iter().find_map(letter).filter(|letter| **letter != b'-').map(|letter| char::from(*letter))
}

/// Other scripts: what follows the first character of a long lower case is an accent.
fn lower(c: char) -> char {
    c.to_lowercase().next().unwrap_or(c)
}

/// Puts the words of `text` into `words`: ` where is my order `; no words, no space. As long as the text, or up to three times.
pub fn fold(text: &str, words: &mut String) {
    words.clear();
    let mut inside = false;
    for c in text.chars() {
        let part = part(c);
        if !inside && matches!(part, Part::Letter(_) | Part::Letters(_)) {
            open(words);
            inside = true;
        }
        match part {
            Part::Letter(letter) => words.push(letter),
            Part::Letters(letters) => words.push_str(letters),
            Part::Nothing => {}
            Part::Between => inside = false,
            Part::Word => {
                open(words);
                words.push(c);
                inside = false;
            }
        }
    }
    if !words.is_empty() {
        words.push(' ');
    }
}

fn open(words: &mut String) {
    words.push(' ');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_compared_without_case_and_accents() {
        for (text, expected) in [
            ("Where's my ORDER?!", " wheres my order "),
            ("Don’t / don't", " dont dont "),
            ("ÉLAN, e\u{301}lan; Größe: Łódź Ørsted", " elan elan grosse lodz orsted "),
            ("İstanbul ệ Œuvre Đặt", " istanbul e oeuvre dat "),
            ("ＯＲＤＥＲ １２", " order 12 "),
            ("返品したい ok", " 返 品 し た い ok "),
            ("ΠΑΡΑΓΓΕΛΊΑ Заказ", " παραγγελία заказ "),
            ("great👍🏽👍 ❤\u{fe0f}", " great 👍 👍 ❤ "),
            ("  \t!!! ", ""),
            ("", ""),
        ] {
            let mut words = "old".to_string();
            fold(text, &mut words);
            assert_eq!(words, expected, "{text}");
        }
    }
}
