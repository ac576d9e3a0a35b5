//! The first records of a file: its header, and rows to guess types from. Read at plan time.

use super::columns::unquote;
use super::dialect::is_blank;
use super::splitter::Splitter;
use super::{BOM, Options};
use crate::compression::Input;
use crate::paths::Found;
use crate::request::Request;
use selvedge_node::{Error, Problem, Problems, Result};

/// The first `most` records of a file, unquoted; comments and blank lines are none.
pub fn records(request: &Request, file: &Found, options: &Options, most: usize) -> Result<Vec<Vec<Vec<u8>>>> {
    const BLOCK: usize = 64 << 10;
    let mut input = Input::whole(&file.path, &file.name, request.compression)?;
    let mut splitter = Splitter::new(options.dialect);
    let mut window: Vec<u8> = vec![];
    let mut ended = false;
    // A header may be as long as any record; rows for guessing need not be many.
    let mut room = options.max_record.saturating_add(BLOCK);
    while !ended && splitter.records() < most && room > 0 {
        let filled = window.len();
        window.resize(filled + BLOCK, 0);
        let mut read = 0;
        while read < BLOCK && !ended {
            match input.read(&mut window[filled + read..]) {
                Ok(0) => ended = true,
                Ok(n) => read += n,
                // What came before the damage may be enough to plan with; the run will meet it again.
                Err(e) if filled + read == 0 => return Err(e),
                Err(_) => ended = true,
            }
        }
        window.truncate(filled + read);
        room = room.saturating_sub(read);
        if filled == 0 {
            if window.starts_with(b"\xff\xfe") || window.starts_with(b"\xfe\xff") {
                return Err(Error::data(format!("{} is UTF-16 text, where UTF-8 is expected", file.name))
                    .help("convert it: iconv -f UTF-16 -t UTF-8"));
            }
            if window.starts_with(BOM) {
                window.drain(..BOM.len());
            }
        }
        if ended { splitter.finish(&window) } else { splitter.scan(&window) }
    }
    if splitter.records() == 0 && !ended {
        return Err(Error::data(format!(
            "{}: the first record is longer than {} bytes",
            file.name, options.max_record
        ))
        .help("check the delimiter and the quote, or raise max_record"));
    }
    let records = (0..splitter.records()).map(|r| fields(&splitter, r, &window, options));
    Ok(records.flatten().take(most).collect())
}

/// The fields of a record; `None`: it is a comment or blank.
fn fields(splitter: &Splitter, r: usize, window: &[u8], options: &Options) -> Option<Vec<Vec<u8>>> {
    let places = splitter.first_field(r)..=splitter.first_field(r + 1);
    let starts = splitter.starts().get(places)?;
    let mut fields = vec![];
    for (i, ends) in starts.windows(2).enumerate() {
        let mut field = window.get(ends[0] as usize..ends[1] as usize - 1)?;
        if i + 2 == starts.len() {
            field = field.strip_suffix(b"\r").unwrap_or(field);
        }
        if i == 0 && field.first().is_some_and(|b| Some(*b) == options.dialect.comment) {
            return None;
        }
        if options.dialect.trim {
            while let Some((_, rest)) = field.split_last().filter(|(b, _)| is_blank(**b)) {
                field = rest;
            }
            while let Some((_, rest)) = field.split_first().filter(|(b, _)| is_blank(**b)) {
                field = rest;
            }
        }
        let mut text = field.to_vec();
        if field.first().is_some_and(|b| Some(*b) == options.dialect.quote) {
            let len = unquote(&options.dialect, field, &mut text);
            text.truncate(len);
        }
        fields.push(text);
    }
    let blank = fields.len() == 1 && fields[0].is_empty() && starts[1] - starts[0] <= 2;
    (!blank).then_some(fields)
}

/// The names of a file's columns: those of its header, or `column_1`, `column_2`, … for as many as its first record has
/// fields. `None`: the file is empty. An empty name becomes `column_N`, a name that was there before gets `_2`.
pub fn names(request: &Request, file: &Found, options: &Options) -> std::result::Result<Option<Vec<String>>, Problems> {
    let first = records(request, file, options, 1).map_err(|e| request.problem(e))?;
    let Some(first) = first.into_iter().next() else { return Ok(None) };
    let mut names: Vec<String> = vec![];
    for (i, field) in first.into_iter().enumerate() {
        let numbered = format!("column_{}", i + 1);
        if !options.header {
            names.push(numbered);
            continue;
        }
        let name = String::from_utf8(field).map_err(|e| {
            request.problem(
                Error::data(format!(
                    "the header of {} is not UTF-8: `{}`",
                    file.name,
                    String::from_utf8_lossy(e.as_bytes())
                ))
                .help("convert the file: iconv -f LATIN1 -t UTF-8"),
            )
        })?;
        let name = if name.is_empty() { numbered } else { name };
        let mut unique = name.clone();
        let mut count = 1;
        while names.contains(&unique) {
            count += 1;
            unique = format!("{name}_{count}");
        }
        names.push(unique);
    }
    Ok(Some(names))
}

/// Names that the header itself does not have.
pub fn doubtful(request: &Request, file: &Found, options: &Options) -> Vec<Problem> {
    let Ok(first) = records(request, file, options, 1) else { return vec![] };
    let Some(first) = first.into_iter().next() else { return vec![] };
    let warning = |what: String| Problem::warning(request.path_at, what).help("give the column a name in the file");
    let mut warnings = vec![];
    for (i, name) in first.iter().enumerate() {
        let shown = String::from_utf8_lossy(name);
        if name.is_empty() {
            warnings.push(warning(format!(
                "field {} of the header of {} has no name: `column_{}`",
                i + 1,
                file.name,
                i + 1
            )));
        } else if first[..i].contains(name) {
            warnings
                .push(warning(format!("the header of {} has `{shown}` twice: the second is `{shown}_2`", file.name)));
        }
    }
    warnings
}
