//! `connections.ron`: `Connections(profiles: {"local": {"lake": Folder(path: "lake")}})`, found beside the graph or above it.
//! Only the chosen profile is read: nobody needs the secrets of another one.

use crate::ConnectionSpec;
use crate::graph::{body, entries, kind_of, named, names};
use crate::loader::{Loader, folder, join};
use crate::resolve::Scope;
use selvedge_ron::{Problem, Span};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

const FILE: &str = "connections.ron";

/// How many folders above the graph's own are searched.
const LEVELS: usize = 4;

impl Loader<'_> {
    pub fn connections(&mut self, graph: &Path) -> Vec<ConnectionSpec> {
        match self.find_connections(graph) {
            Ok(Some((path, text))) => self.read_connections(path, text).unwrap_or_default(),
            // Many graphs need none, in the default profile.
            Ok(None) if self.options.profile == crate::Options::default().profile => vec![],
            Ok(None) => {
                let problem =
                    Problem::nowhere(format!("no profile named `{}`: no {FILE} is found", self.options.profile));
                self.problems.push(problem.help(format!("put a {FILE} beside the graph or in a folder above it")));
                vec![]
            }
            Err(problem) => {
                self.problems.push(problem);
                vec![]
            }
        }
    }

    fn find_connections(&self, graph: &Path) -> Result<Option<(PathBuf, String)>, Problem> {
        let cannot =
            |path: &Path, error| Problem::nowhere(format!("cannot read the connections {}: {error}", path.display()));
        if let Some(path) = &self.options.connections {
            return self.files.read(path).map(|text| Some((path.clone(), text))).map_err(|e| cannot(path, e));
        }
        let mut at = folder(graph);
        for _ in 0..=LEVELS {
            let path = join(&at, FILE);
            match self.files.read(&path) {
                Ok(text) => return Ok(Some((path, text))),
                Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {}
                Err(error) => return Err(cannot(&path, error)),
            }
            let Some(above) = above(&at) else { break };
            at = above;
        }
        Ok(None)
    }

    fn read_connections(&mut self, path: PathBuf, text: String) -> Option<Vec<ConnectionSpec>> {
        let base = folder(&path);
        let file = self.sources.add(path, text);
        let value = self.parse(file)?;
        let fields = named(&value, "Connections", "Connections(profiles: {\"local\": {…}})", &mut self.problems)?;
        let mut profiles = vec![];
        for field in fields {
            match field.name.as_str() {
                "profiles" => profiles = entries(&field.value, "profile", &mut self.problems),
                name => self.problems.push(Problem::unknown(field.name_span, "field", name, ["profiles"])),
            }
        }
        let Some((_, profile)) = profiles.iter().find(|(name, _)| name.value == self.options.profile) else {
            let span = Span { end: value.span.start + "Connections".len() as u32, ..value.span };
            let known = profiles.iter().map(|(name, _)| name.as_str());
            self.problems.push(Problem::unknown(span, "profile", &self.options.profile, known));
            return None;
        };
        let mut scope = Scope::new(&[]);
        let mut connections = vec![];
        for (name, value) in names(profile, "connection", &mut self.problems) {
            let Some((kind, fields)) = kind_of(&value, "connection", &mut self.problems) else { continue };
            let body = self.resolve(&mut scope, body(&kind, fields, value.span), 0);
            connections.push(ConnectionSpec { name, kind, body, base: base.clone() });
        }
        Some(connections)
    }
}

/// The folder above, for a relative path also beyond the folder that it starts from.
fn above(folder: &Path) -> Option<PathBuf> {
    use std::path::Component::{CurDir, Normal, ParentDir};
    match folder.components().next_back() {
        Some(Normal(_)) => Some(crate::loader::folder(folder)),
        Some(CurDir) => Some(PathBuf::from("..")),
        Some(ParentDir) => Some(folder.join("..")),
        _ => None,
    }
}
