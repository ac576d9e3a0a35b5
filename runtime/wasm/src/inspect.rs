//! What a component says of itself, for people, and whether that holds. Nothing of it is run but what planning runs.

use crate::Settings;
use crate::bindings::selvedge::plugin::types::Capability;
use crate::component::{World, load};
use crate::instance::{Instance, Setup, Trouble};
use crate::origin::read;
use selvedge_node::Result;
use std::path::Path;
use std::time::{Duration, Instant};

/// A plugin as `selvedge plugin inspect` shows it.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Inspection {
    pub name: String,
    pub version: String,
    /// `transform`, `source` or `sink`.
    pub role: String,
    pub about: String,
    pub docs: String,
    /// A config as JSON text.
    pub example: String,
    /// The version of the contract that it was built for.
    pub contract: String,
    pub bytes: usize,
    pub sha256: String,
    /// What it would like to be granted.
    pub wishes: Vec<Wish>,
    /// Interfaces that it imports. Those of WASI give it nothing that is not granted.
    pub imports: Vec<String>,
    /// How long it took to load: to compile it, or to take it from the cache.
    pub load: Duration,
    /// How long a new instance takes, once it is loaded.
    pub start: Duration,
    /// What a new instance takes, in bytes.
    pub memory: usize,
    /// What is wrong with it, though it runs.
    pub faults: Vec<String>,
}

#[derive(Debug, Clone, serde::Serialize)]
pub struct Wish {
    /// As in `grant`: `files /models`.
    pub capability: String,
    pub reason: String,
    /// Whether the plugin is useless without.
    pub needed: bool,
}

/// Reads a plugin and asks it what it is.
pub fn inspect(path: &Path, settings: &Settings) -> Result<Inspection> {
    let loading = Instant::now();
    let (bytes, hash) = read(path)?;
    let plugin = load(&bytes, &hash, &path.display().to_string(), settings.cache.as_deref())?;
    let loading = loading.elapsed();
    let bounds = crate::Limits::default().within(&settings.caps).map_err(selvedge_node::Error::graph)?;
    let setup =
        Setup { plugin: plugin.clone(), node: "inspect".into(), granted: Default::default(), bounds, outputs: vec![] };
    let failed = |t: Trouble| t.error.context(path.display());
    let started = Instant::now();
    let mut instance = Instance::new(&setup).map_err(failed)?;
    let start = started.elapsed();
    let info = instance.about().map_err(failed)?;

    let mut faults = vec![];
    if !info.name.starts_with(|c: char| c.is_ascii_uppercase()) || !info.name.chars().all(|c| c.is_ascii_alphanumeric())
    {
        faults.push(format!("its name is `{}`: expected a word like `SizeNormalizer`", info.name));
    }
    if info.about.is_empty() || info.about.contains('\n') {
        faults.push("`about` must say in one line what it does to rows".into());
    }
    if info.docs.trim().is_empty() {
        faults.push("`docs` is empty: which settings, ports and reasons has it?".into());
    }
    let example = match plugin.world {
        World::Transform(_) => {
            instance.transform("describe", None, |g, s| g.call_describe(s, &info.example)).map(|_| ())
        }
        World::Sink(_) => instance.sink("describe", None, |g, s| g.call_describe(s, &info.example)).map(|_| ()),
        // What a source is asked may need the files that it names.
        World::Source(_) => Ok(()),
    };
    if let Err(trouble) = example {
        faults.push(format!("it refuses its own example of `config`: {}", trouble.error.message));
    } else if serde_json::from_str::<serde_json::Value>(&info.example).is_err() {
        faults.push("its example of `config` is no JSON".into());
    }

    let wishes = info.wishes.into_iter().map(|wish| Wish {
        capability: match wish.capability {
            Capability::Files(name) => format!("files {name}"),
            Capability::Network(address) => format!("network {address}"),
            Capability::Environment(name) => format!("environment {name}"),
            Capability::Secret(name) => format!("secret {name}"),
        },
        reason: wish.reason,
        needed: wish.needed,
    });
    Ok(Inspection {
        name: info.name,
        version: info.version,
        role: plugin.role().into(),
        about: info.about,
        docs: info.docs,
        example: info.example,
        contract: plugin.contract.clone(),
        bytes: plugin.bytes,
        sha256: plugin.hash.clone(),
        wishes: wishes.collect(),
        imports: plugin.imports.clone(),
        load: loading,
        start,
        memory: instance.memory(),
        faults,
    })
}
