//! The first records of a file: its header, and rows to guess types from. Read at plan time.

use super::columns::unquote;
use super::dialect::is_blank;
use super::splitter::Splitter;
use super::{BOM, Options};
use crate::compression::Input;
use crate::lake::Found;
use crate::request::Request;
use crate::typed::shorten;
use selvedge_node::{Error, Fields, Problem, Problems, Result};
use std::collections::{HashMap, HashSet};

/// The first records of a file.
pub struct Records {
    /// Unquoted fields.
    pub fields: Vec<Vec<Vec<u8>>>,
    /// The file ends inside a quote, in the last of these records.
    open: bool,
}

/// The first `most` records of a file; comments and blank lines are none.
pub fn records(request: &Request, file: &Found, options: &Options, most: usize) -> Result<Records> {
    const BLOCK: usize = 64 << 10;
    let mut input = Input::whole(file, request.compression)?;
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
    let all: Vec<_> = (0..splitter.records()).filter_map(|r| fields(&splitter, r, &window, options)).collect();
    let open = splitter.unterminated() && all.len() <= most;
    Ok(Records { fields: all.into_iter().take(most).collect(), open })
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

/// The columns of a file.
#[derive(Debug, Clone, Default)]
pub struct Head {
    /// Those of the header, or `column_1`, `column_2`, … for as many as the first record has fields.
    pub names: Vec<String>,
    /// Fields of the header without a name of their own: an empty one became `column_N`, one that was there before got `_2`.
    renamed: Vec<(usize, Renamed)>,
}

#[derive(Debug, Clone)]
enum Renamed {
    Empty,
    Twice(String),
}

/// The columns of a file. `None`: it is empty.
pub fn head(request: &Request, file: &Found, options: &Options) -> std::result::Result<Option<Head>, Problems> {
    let first = records(request, file, options, 1).map_err(|e| request.problem(e))?;
    let open = first.open;
    let Some(first) = first.fields.into_iter().next() else { return Ok(None) };
    if !options.header {
        let names = (1..=first.len()).map(|n| format!("column_{n}")).collect();
        return Ok(Some(Head { names, renamed: vec![] }));
    }
    let refused = |what: String, help: &str| Problems::from(request.problem(Error::data(what).help(help)));
    if open {
        return Err(refused(
            format!("the header of {} has a quote that is never closed", file.name),
            "close it in the file, or set quote: None if quotes mean nothing in it",
        ));
    }
    let mut names: Vec<String> = vec![];
    for field in first {
        let name = String::from_utf8(field).map_err(|e| {
            let shown = String::from_utf8_lossy(e.as_bytes());
            refused(
                format!("the header of {} is not UTF-8: `{}`", file.name, shorten(&shown, SHOWN)),
                "convert the file: iconv -f LATIN1 -t UTF-8",
            )
        })?;
        // Without these two a whole file passes for its header: no rows, and nobody is told.
        if name.contains('\0') {
            return Err(refused(
                format!("the header of {} holds bytes that are 0: this is no text in UTF-8", file.name),
                "if it is UTF-16, convert it: iconv -f UTF-16 -t UTF-8",
            ));
        }
        if name.split('\r').skip(1).any(|rest| !rest.starts_with('\n')) {
            return Err(refused(
                format!(
                    "the header of {} holds a carriage return without a line feed: lines must end in LF or CRLF",
                    file.name
                ),
                "convert the file: tr '\\r' '\\n'",
            ));
        }
        names.push(name);
    }
    Ok(Some(Head::of(names)))
}

impl Head {
    /// Gives each column a name of its own. A name that the header has is never given to another field than its first.
    fn of(given: Vec<String>) -> Head {
        let mut head = Head::default();
        let real: HashSet<String> = given.iter().cloned().collect();
        let mut taken: HashSet<String> = HashSet::with_capacity(given.len());
        let mut copies: HashMap<String, usize> = HashMap::new();
        for (i, name) in given.into_iter().enumerate() {
            let base = if name.is_empty() { format!("column_{}", i + 1) } else { name.clone() };
            let mut unique = base.clone();
            if taken.contains(&unique) || name.is_empty() && real.contains(&unique) {
                let count = copies.entry(base.clone()).or_insert(1);
                while taken.contains(&unique) || real.contains(&unique) {
                    *count += 1;
                    unique = format!("{base}_{count}");
                }
            }
            if name.is_empty() {
                head.renamed.push((i, Renamed::Empty));
            } else if unique != name {
                head.renamed.push((i, Renamed::Twice(name)));
            }
            taken.insert(unique.clone());
            head.names.push(unique);
        }
        head
    }
}

/// As much of a name as a message shows.
const SHOWN: usize = 100;
/// Warnings of one kind; a file that has more needs no longer list.
const WARNINGS: usize = 5;

/// What is odd about a header. `picked`: the columns that a declared schema takes out of it; without one all are read.
pub fn doubtful(
    request: &Request,
    file: &Found,
    options: &Options,
    head: &Head,
    picked: Option<&Fields>,
) -> Vec<Problem> {
    let warning = |what: String, help: &str| Problem::warning(request.path_at, what).help(help);
    let mut warnings = vec![];
    let name_it = "give the column a name in the file";
    let read = |name: &str| picked.is_none_or(|fields| fields.0.iter().any(|(column, _)| column.value == name));
    let doubts = head.renamed.iter().filter_map(|(i, renamed)| match renamed {
        Renamed::Empty if picked.is_none() => Some(warning(
            format!("field {} of the header of {} has no name: `{}`", i + 1, file.name, head.names[*i]),
            name_it,
        )),
        Renamed::Twice(name) if read(name) => Some(warning(
            format!(
                "the header of {} has `{}` twice: the second is `{}`",
                file.name,
                shorten(name, SHOWN),
                shorten(&head.names[*i], SHOWN)
            ),
            name_it,
        )),
        _ => None,
    });
    warnings.extend(doubts.take(WARNINGS + 1));
    if warnings.len() > WARNINGS {
        warnings.truncate(WARNINGS);
        warnings.push(warning(format!("the header of {} has more such fields", file.name), name_it));
    }
    if let [only] = &head.names[..]
        && let Some(other) = [';', '\t', '|', ','].into_iter().find(|c| only.contains(*c))
        && options.dialect.delimiter != other as u8
    {
        warnings.push(warning(
            format!("the header of {} is one column, `{}`", file.name, shorten(only, SHOWN)),
            &format!("if it should be several, say what parts them: Csv(delimiter: {other:?})"),
        ));
    }
    warnings
}
