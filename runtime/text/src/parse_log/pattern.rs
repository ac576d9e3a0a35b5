//! Regular expressions: named groups are columns. The engine never goes back over a line: the time is at most the length of the
//! line times the size of the pattern, and no line can make it explode.

use super::cell::{Bad, Cell};
use super::grok::Grok;
use arrow::datatypes::DataType;
use regex::{CaptureLocations, Regex, RegexBuilder};
use selvedge_node::{Problem, Problems, Spanned};

/// How large a compiled pattern may be, in bytes.
const LARGEST: usize = 10 << 20;

/// A column that a pattern offers.
#[derive(Debug)]
pub(super) struct Part {
    pub name: String,
    /// As the pattern says, if it does.
    pub ty: Option<DataType>,
    /// The groups of this name; the first that took part in the match has the value.
    groups: Vec<usize>,
}

#[derive(Debug)]
pub(super) struct Compiled {
    regex: Regex,
    pub parts: Vec<Part>,
}

/// Compiles a regular expression, or the one that a grok pattern has become.
pub(super) fn compile(pattern: &Spanned<String>, grok: Option<Grok>) -> Result<Compiled, Problems> {
    let text = grok.as_ref().map_or(pattern.as_str(), |grok| &grok.text);
    let regex = RegexBuilder::new(text).size_limit(LARGEST).build().map_err(|e| match e {
        regex::Error::CompiledTooBig(_) => {
            Problem::error(pattern.span, format!("the pattern takes more than {} MiB when compiled", LARGEST >> 20))
                .help("repeat smaller parts, or fewer times: `{1,1000}` of `\\w` is large, of `[a-z]` it is not")
        }
        e => {
            // The first lines draw the expression, which is not what the graph says where grok patterns were put in.
            let said = e.to_string();
            let last = said.lines().last().unwrap_or_default().trim_start_matches("error: ");
            Problem::error(pattern.span, format!("this is no regular expression: {last}"))
                .help("the syntax is that of Rust's `regex`, which looks neither ahead nor behind")
        }
    })?;
    let mut parts: Vec<Part> = vec![];
    let mut problems = Problems::default();
    for (group, name) in regex.capture_names().enumerate() {
        let Some(name) = name else { continue };
        let (name, ty) = match grok.as_ref().and_then(|grok| grok.field(name)) {
            Some((field, ty)) => (field.as_str(), ty.clone()),
            None => (name, None),
        };
        if name.is_empty() {
            problems.push(Problem::error(pattern.span, "a part of the pattern has an empty name"));
        }
        let Some(part) = parts.iter_mut().find(|part| part.name == name) else {
            parts.push(Part { name: name.to_string(), ty, groups: vec![group] });
            continue;
        };
        part.groups.push(group);
        match (&part.ty, ty) {
            (Some(a), Some(b)) if *a != b => {
                problems.push(Problem::error(pattern.span, format!("`{name}` is {a} in one place and {b} in another")));
            }
            (None, ty) => part.ty = ty,
            _ => {}
        }
    }
    if parts.is_empty() {
        let way = if grok.is_some() { "name what is wanted: %{IP:client}" } else { "name a group: (?P<level>[A-Z]+)" };
        problems.push(Problem::error(pattern.span, "no column would come of this pattern").help(way));
    }
    problems.or(Compiled { regex, parts })
}

/// A pattern at work, for the columns that are wanted of it.
#[derive(Debug)]
pub(super) struct Pattern {
    regex: Regex,
    /// For each column.
    groups: Vec<Vec<usize>>,
}

impl Pattern {
    pub fn new(compiled: &Compiled, columns: &[usize]) -> Pattern {
        let groups = columns.iter().map(|column| compiled.parts[*column].groups.clone()).collect();
        Pattern { regex: compiled.regex.clone(), groups }
    }

    /// Room for the places of groups, to be used for many lines.
    pub fn places(&self) -> CaptureLocations {
        self.regex.capture_locations()
    }

    pub fn read<'a>(&self, line: &'a str, places: &mut CaptureLocations, cells: &mut [Cell<'a>]) -> Result<(), Bad> {
        if self.regex.captures_read(places, line).is_none() {
            return Err(Bad { code: "log.no_match", what: "the line does not match the pattern".into() });
        }
        for (cell, groups) in cells.iter_mut().zip(&self.groups) {
            if let Some((from, to)) = groups.iter().find_map(|group| places.get(*group)) {
                *cell = Cell::Text(&line[from..to]);
            }
        }
        Ok(())
    }
}
