//! Problems for people: where, what, the text with the place marked, and the way out.

use crate::Sources;
use miette::{
    Diagnostic, GraphicalReportHandler, GraphicalTheme, LabeledSpan, MietteError, MietteSpanContents, SourceCode,
    SourceSpan, SpanContents,
};
use selvedge_ron::{Problem, Severity, Span};
use std::fmt::{Display, Formatter};

/// The longest piece of a line that is shown, in characters.
const WIDTH: usize = 120;
/// How much of it stands before the marked place.
const LEAD: usize = 40;

/// All problems, by file and place, each with an excerpt of the text.
pub fn render(problems: &[Problem], sources: &Sources, colour: bool) -> String {
    let theme = if colour { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
    let handler = GraphicalReportHandler::new_themed(theme)
        .with_links(false)
        .with_wrap_lines(false)
        .with_context_lines(1)
        .without_primary_span_start();
    let mut out = String::new();
    for problem in ordered(problems) {
        let placed = problem.span.and_then(|span| Excerpt::of(span, sources));
        let shown = Shown { problem, excerpt: placed };
        if !out.is_empty() {
            out.push('\n');
        }
        let start = out.len();
        if shown.excerpt.is_none() || handler.render_report(&mut out, &shown).is_err() {
            out.truncate(start);
            out.push_str(&format!("{}: {}\n", severity(problem), tame(&problem.message)));
            if let Some(help) = &problem.help {
                out.push_str(&format!("  help: {}\n", tame(help)));
            }
        }
    }
    out
}

/// One line for each problem: `file:line:column: error: message (help)`.
pub fn render_short(problems: &[Problem], sources: &Sources) -> String {
    ordered(problems)
        .into_iter()
        .map(|p| {
            let place = p.span.map(|span| format!("{}: ", place(span, sources))).unwrap_or_default();
            format!("{place}{}: {}\n", severity(p), tame(&p.to_string()))
        })
        .collect()
}

fn ordered(problems: &[Problem]) -> Vec<&Problem> {
    let mut ordered: Vec<&Problem> = problems.iter().collect();
    ordered.sort_by(|a, b| (a.span, &a.message).cmp(&(b.span, &b.message)));
    ordered.dedup();
    ordered
}

fn severity(problem: &Problem) -> &'static str {
    match problem.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    }
}

fn place(span: Span, sources: &Sources) -> String {
    let (line, column) = sources.line_col(span);
    format!("{}:{line}:{column}", sources.path(span.file).display())
}

/// The text without what would move the cursor or recolour a terminal.
fn tame(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// A few lines around a place, with long ones cut: what miette gets to see instead of the file.
#[derive(Debug)]
struct Excerpt {
    /// `file:line:column`
    place: String,
    text: String,
    /// Number of the first line, from 0.
    first: usize,
    /// The marked bytes of `text`.
    marked: (usize, usize),
}

impl Excerpt {
    fn of(span: Span, sources: &Sources) -> Option<Excerpt> {
        let (line, column) = sources.line_col(span);
        let own = sources.line(span.file, line)?;
        let mut text = String::new();
        let before = line.checked_sub(1).and_then(|n| sources.line(span.file, n));
        if let Some(before) = before {
            text.push_str(&cut(before, 0).0);
            text.push('\n');
        }
        let (shown, skipped) = cut(own, column - 1);
        // Characters from the start of the shown piece to the place and to its end, on this line.
        let lead = column - 1 - skipped + usize::from(skipped > 0);
        let length = sources.slice(span).lines().next().unwrap_or("").chars().count().max(1);
        let offset = |chars: usize| shown.char_indices().nth(chars).map_or(shown.len(), |(i, _)| i);
        let start = text.len() + offset(lead);
        let end = text.len() + offset(lead.saturating_add(length));
        text.push_str(&shown);
        text.push('\n');
        let after = sources.line(span.file, line + 1);
        let last = sources.line(span.file, line + 2).is_none();
        // What follows the last line end is no line.
        if let Some(after) = after.filter(|text| !(last && text.is_empty())) {
            text.push_str(&cut(after, 0).0);
            text.push('\n');
        }
        let first = line - 1 - usize::from(before.is_some());
        Some(Excerpt { place: place(span, sources), text, first, marked: (start, end - start) })
    }
}

/// At most [`WIDTH`] characters of the line with the one at `column` (from 0) among them, and how many are left out in front.
fn cut(line: &str, column: usize) -> (String, usize) {
    let skipped = if column < WIDTH - LEAD { 0 } else { column - LEAD };
    let mut shown = String::new();
    if skipped > 0 {
        shown.push('…');
    }
    let mut rest = line.chars().skip(skipped);
    shown.extend(rest.by_ref().take(WIDTH).map(|c| if c.is_control() && c != '\t' { '\u{fffd}' } else { c }));
    if rest.next().is_some() {
        shown.push('…');
    }
    (shown, skipped)
}

impl SourceCode for Excerpt {
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        before: usize,
        after: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        let inner = self.text.read_span(span, before, after)?;
        Ok(Box::new(MietteSpanContents::new_named(
            self.place.clone(),
            inner.data(),
            *inner.span(),
            inner.line() + self.first,
            inner.column(),
            inner.line_count(),
        )))
    }
}

#[derive(Debug)]
struct Shown<'a> {
    problem: &'a Problem,
    excerpt: Option<Excerpt>,
}

impl Display for Shown<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        f.write_str(&tame(&self.problem.message))
    }
}

impl std::error::Error for Shown<'_> {}

impl Diagnostic for Shown<'_> {
    fn severity(&self) -> Option<miette::Severity> {
        Some(match self.problem.severity {
            Severity::Error => miette::Severity::Error,
            Severity::Warning => miette::Severity::Warning,
        })
    }

    fn help<'a>(&'a self) -> Option<Box<dyn Display + 'a>> {
        self.problem.help.as_ref().map(|h| Box::new(tame(h)) as Box<dyn Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.excerpt.as_ref().map(|e| e as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let (offset, length) = self.excerpt.as_ref()?.marked;
        Some(Box::new(std::iter::once(LabeledSpan::new(None, offset, length))))
    }
}
