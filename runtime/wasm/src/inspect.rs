//! What a component says of itself, for people: nothing of it is run but `about`.

use crate::Settings;
use crate::bindings::selvedge::plugin::types::Capability;
use crate::component::load;
use crate::instance::{Instance, Setup};
use selvedge_node::Result;
use std::path::Path;

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
    /// The version of the contract that it speaks.
    pub contract: String,
    pub bytes: usize,
    pub sha256: String,
    /// What it would like to be granted.
    pub wishes: Vec<Wish>,
    /// Interfaces of WASI that it imports. They give it nothing that is not granted.
    pub wasi: Vec<String>,
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
    let plugin = load(path, settings.cache.as_deref())?;
    let bounds = crate::Limits::default().within(&settings.caps).map_err(selvedge_node::Error::graph)?;
    let setup =
        Setup { plugin: plugin.clone(), node: "inspect".into(), granted: Default::default(), bounds, outputs: vec![] };
    let info = Instance::new(&setup).and_then(|mut i| i.about());
    let info = info.map_err(|t| t.error.context(path.display()))?;
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
        contract: crate::component::CONTRACT.into(),
        bytes: plugin.bytes,
        sha256: plugin.hash.clone(),
        wishes: wishes.collect(),
        wasi: plugin.wasi.clone(),
    })
}
