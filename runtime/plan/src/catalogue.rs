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

    /// The entry that a node of this kind means: whether it has inputs tells a source from a sink of the same name.
    pub fn find(&self, name: &str, span: Span, has_input: bool) -> Result<&dyn ErasedKind, Problem> {
        let same: Vec<&dyn ErasedKind> = self.kinds().filter(|k| k.name() == name).collect();
        if same.is_empty() {
            return Err(Problem::unknown(span, "kind of node", name, self.kinds().map(|k| k.name())));
        }
        same.into_iter().find(|k| (k.role() != Role::Source) == has_input).ok_or_else(|| {
            if has_input {
                Problem::error(span, format!("`{name}` is a source and takes no input")).help("remove `input`")
            } else {
                Problem::error(span, format!("`{name}` needs an input")).help("add `input: \"name of a node\"`")
            }
        })
    }
}
