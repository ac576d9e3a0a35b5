//! The kinds that a graph may name.

use selvedge_node::{ErasedKind, Problem, Role, Span};

/// All known kinds. A name may stand twice: as a source and as a sink.
pub struct Catalogue(Vec<Box<dyn ErasedKind>>);

impl Catalogue {
    pub fn new(mut kinds: Vec<Box<dyn ErasedKind>>) -> Catalogue {
        kinds.sort_by(|a, b| (a.name(), a.role()).cmp(&(b.name(), b.role())));
        Catalogue(kinds)
    }

    pub fn kinds(&self) -> impl Iterator<Item = &dyn ErasedKind> {
        self.0.iter().map(|k| &**k)
    }

    /// The entry that a node of this kind means, and whether it stands where it can: whether the node has inputs tells a
    /// source from a sink of the same name.
    pub fn find(&self, name: &str, has_input: bool) -> Option<(&dyn ErasedKind, bool)> {
        let from = self.0.partition_point(|k| k.name() < name);
        let same = self.0[from..].iter().map(|k| &**k).take_while(|k| k.name() == name);
        let fits = |k: &dyn ErasedKind| (k.role() != Role::Source) == has_input;
        same.map(|k| (k, fits(k))).max_by_key(|(_, fits)| *fits)
    }

    /// That no kind has this name, and those that have a similar one.
    pub(crate) fn unknown(&self, name: &str, span: Span) -> Problem {
        let mut known: Vec<&str> = self.kinds().map(|k| k.name()).collect();
        known.dedup();
        let near = selvedge_ron::similar(name, known.iter().copied());
        let problem = Problem::unknown(span, "kind of node", name, near);
        match problem.help {
            Some(_) => problem,
            None => problem.help("`selvedge nodes` lists all kinds"),
        }
    }
}
