//! What is wrong with a graph, where, and the way out. Problems are collected, never thrown one by one.

use crate::Span;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The graph runs, but probably not as its author meant.
    Warning,
    /// The graph cannot run.
    Error,
}

/// One thing wrong. Messages are lower case without a full stop: what was expected and what was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Problem {
    pub severity: Severity,
    /// `None` where no text is to blame (a missing file, an option on the command line).
    pub span: Option<Span>,
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

impl Problem {
    pub fn error(span: Span, message: impl Into<String>) -> Problem {
        Problem { severity: Severity::Error, span: Some(span), message: message.into(), help: None }
    }

    pub fn warning(span: Span, message: impl Into<String>) -> Problem {
        Problem { severity: Severity::Warning, span: Some(span), message: message.into(), help: None }
    }

    /// An error that no place in the text is to blame for.
    pub fn nowhere(message: impl Into<String>) -> Problem {
        Problem { severity: Severity::Error, span: None, message: message.into(), help: None }
    }

    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Problem {
        self.help = Some(help.into());
        self
    }

    /// `expected` is not among `known`: says so and names the nearest known ones.
    pub fn unknown<'a>(span: Span, what: &str, found: &str, known: impl IntoIterator<Item = &'a str>) -> Problem {
        let known: Vec<&str> = known.into_iter().collect();
        let near = similar(found, known.iter().copied());
        let problem = Problem::error(span, format!("no {what} named `{found}`"));
        if !near.is_empty() {
            problem.help(format!("did you mean {}?", list(&near)))
        } else if known.is_empty() {
            problem
        } else {
            problem.help(format!("there is {}", list(&known)))
        }
    }
}

fn list(names: &[&str]) -> String {
    const SHOWN: usize = 12;
    let mut text = names.iter().take(SHOWN).map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN {
        text.push_str(&format!(" and {} more", names.len() - SHOWN));
    }
    text
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)?;
        if let Some(help) = &self.help {
            write!(f, " ({help})")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problem {}

/// The result of a stage that reports everything at once: one or many problems.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Problems(pub Vec<Problem>);

impl Problems {
    pub fn push(&mut self, problem: Problem) {
        self.0.push(problem);
    }

    /// Keeps the value, or the problem that took its place.
    pub fn take<T>(&mut self, result: Result<T, impl Into<Problems>>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(problems) => {
                self.0.extend(problems.into().0);
                None
            }
        }
    }

    pub fn has_errors(&self) -> bool {
        self.0.iter().any(|p| p.severity == Severity::Error)
    }

    /// `value` if nothing was found wrong.
    pub fn or<T>(self, value: T) -> Result<T, Problems> {
        if self.has_errors() { Err(self) } else { Ok(value) }
    }
}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Problems {
        Problems(vec![problem])
    }
}

impl std::fmt::Display for Problems {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (i, p) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str("; ")?;
            }
            write!(f, "{p}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// The one known name that `found` most probably meant.
pub fn nearest<'a>(found: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    similar(found, known).into_iter().next()
}

/// The known names close to `found`, best first, at most three (Damerau–Levenshtein distance, letter case ignored).
pub fn similar<'a>(found: &str, known: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    /// Nobody mistypes a name of this length, and comparing two takes its square.
    const LONGEST: usize = 300;
    let lower = found.to_lowercase();
    let length = found.chars().count();
    let mut near: Vec<(usize, &str)> = known
        .into_iter()
        .filter_map(|k| {
            let other = k.chars().count();
            let most = 1 + length.max(other) / 4;
            // The distance is at least the difference in length.
            if length.abs_diff(other) > most || length.max(other) > LONGEST {
                return None;
            }
            let distance = strsim::damerau_levenshtein(&lower, &k.to_lowercase());
            (distance <= most).then_some((distance, k))
        })
        .collect();
    near.sort();
    near.into_iter().take(3).map(|(_, k)| k).collect()
}
