//! `selvedge doctor`: what graphs connect to is tried before a run is.

use super::WRONG;
use crate::cli::Check;
use crate::connectors::{All, Known};
use crate::{graphs, screen};
use selvedge_connect::Connectors;
use selvedge_connect::store::{Over, Store};
use selvedge_node::{Connection, Connections, Error, Result};
use selvedge_ron::ValueKind;
use selvedge_spec::{NodeSpec, Os};
use std::collections::BTreeMap;
use std::path::Path;

/// What a graph does with a connection.
#[derive(Debug, Clone, Copy, Default)]
struct Use {
    reads: bool,
    writes: bool,
}

pub fn doctor(args: &Check) -> u8 {
    let paths = match graphs::find(&args.graphs) {
        Ok(paths) => paths,
        Err(e) => {
            screen::error(&format!("error: {e}"));
            return WRONG;
        }
    };
    let mut code = 0;
    for path in paths {
        screen::print(&format!("{}: profile {}", path.display(), args.source.options().profile));
        if !connections(&path, args) {
            code = WRONG;
        }
        match graphs::check(&path, &args.source).or_print(args.short) {
            Some(plan) => screen::print(&format!("  ok      every schema of `{}` fits", plan.name)),
            None => code = WRONG,
        }
    }
    code
}

/// Whether all connections that the graph uses are as they should be.
fn connections(path: &Path, args: &Check) -> bool {
    let loaded = selvedge_spec::load_partly(&Os, path, &args.source.options());
    // What is wrong with the text is told by the check that follows; a connection that lacks a value would be blamed for something else.
    let Some(spec) = loaded.spec.filter(|_| loaded.errors.0.is_empty()) else { return false };
    let mut used: BTreeMap<String, Use> = BTreeMap::new();
    for node in &spec.nodes {
        let Some(name) = connection(node) else { continue };
        let its = used.entry(name).or_default();
        its.reads |= node.inputs.is_empty();
        its.writes |= !node.inputs.is_empty();
    }
    let known = Known(spec.connections);
    let mut sound = true;
    for (name, its) in used {
        let Some(connection) = known.find(&name) else { continue };
        let kind = &connection.kind;
        match try_it(&connection, its) {
            Ok(found) => screen::print(&format!("  ok      {name}: {kind}, {found}")),
            Err(e) => {
                sound = false;
                screen::print(&format!("  FAILED  {name}: {kind}, {}", e.message));
                e.help.iter().for_each(|help| screen::print(&format!("          {help}")));
            }
        }
    }
    sound
}

/// The connection that a node names.
fn connection(node: &NodeSpec) -> Option<String> {
    let ValueKind::Struct { fields, .. } = &node.body.kind else { return None };
    let field = fields.iter().find(|f| f.name == "connection")?;
    match &field.value.kind {
        ValueKind::Str(name) => Some(name.clone()),
        _ => None,
    }
}

fn try_it(connection: &Connection, its: Use) -> Result<String> {
    if let Some(store) = All::store(connection) {
        return try_store(&*store.map_err(|p| Error::graph(p.message))?, its);
    }
    if let Some(found) = selvedge_tables::probe::<All>(connection, its.reads) {
        return found;
    }
    if let Some(engine) = All::search(connection) {
        let engine = engine.map_err(|p| Error::graph(p.message))?;
        return Ok(format!("version {} answers at {}", engine.reach()?, engine.place()));
    }
    if connection.kind == "Folder" {
        return try_folder(connection, its);
    }
    Ok("not tried".into())
}

/// A bucket, by an object of our own that nobody else would have.
fn try_store(store: &dyn Store, its: Use) -> Result<String> {
    let time = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let name = format!("_selvedge-doctor-{}-{}", std::process::id(), time.as_nanos());
    // A listing of nothing: it says whether there is such a bucket, and costs one request.
    store.list(&name)?;
    if !its.writes {
        return Ok(format!("answers at {}", store.place("")));
    }
    let text = "selvedge doctor was here, and was stopped before it removed this";
    let written = store.put(&name, text.into(), &Over::Nothing)?;
    let refused = store.put(&name, "another text".into(), &Over::Nothing);
    let read = store.get(&name);
    store.remove(&[name])?;
    match (written, refused?, read?) {
        (Some(_), None, Some((read, _))) if read == text => {
            Ok(format!("objects were written, read and removed at {}", store.place("")))
        }
        (_, Some(_), _) => Err(Error::world("it writes over objects that must not be written over")
            .help("it lacks conditional writes (If-None-Match), which publishing needs: use another server")),
        _ => Err(Error::world("what was written could not be read back")),
    }
}

fn try_folder(connection: &Connection, its: Use) -> Result<String> {
    #[derive(serde::Deserialize)]
    struct Folder {
        path: String,
    }
    let folder: Folder = connection.config().map_err(|p| Error::graph(p.message))?;
    let path = connection.base.join(folder.path);
    let failed = |doing: &str, e: &std::io::Error| Error::io(doing, path.display(), e);
    if its.reads && !path.is_dir() {
        return Err(
            Error::world(format!("there is no folder {}", path.display())).help("check the path of the connection")
        );
    }
    if !its.writes {
        return Ok(format!("folder {}", path.display()));
    }
    // What is written makes its folder.
    let there = path.ancestors().find(|a| a.is_dir()).unwrap_or(Path::new("."));
    tempfile::Builder::new().prefix(".selvedge-doctor-").tempfile_in(there).map_err(|e| failed("writing to", &e))?;
    Ok(format!("may be written to: {}", path.display()))
}
