//! A plugin's file: read, checked, compiled once and kept.

use crate::bindings::exports::selvedge::plugin::{about, sink_node, source_node, transform_node};
use crate::engine::Plugins;
use crate::host::Host;
use crate::origin::keep;
use selvedge_node::{Error, Result};
use std::borrow::Cow;
use std::collections::HashMap;
use std::fs;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use wasmtime::StoreContextMut;
use wasmtime::component::{Component, HasSelf, InstancePre, Linker};
use wasmtime_wasi::clocks::WasiClocksView;
use wasmtime_wasi::p2::bindings::clocks::monotonic_clock::Host as _;

/// The contract that this host speaks.
pub const CONTRACT: &str = "0.1.1";
/// It runs plugins built for any version of it: within one, versions only add.
const TRACK: &str = "0.1.";
/// Files above this are no plugins, in bytes.
pub const LARGEST: u64 = 256 << 20;
/// In front of the names of a plugin's interfaces.
const OURS: &str = "selvedge:plugin/";

/// What a plugin is.
pub enum World {
    Transform(transform_node::GuestIndices),
    Source(source_node::GuestIndices),
    Sink(sink_node::GuestIndices),
}

/// A plugin, ready to be instantiated.
pub struct Loaded {
    /// SHA-256 of the file, in hex.
    pub hash: String,
    pub bytes: usize,
    /// The version of the contract that it was built for.
    pub contract: String,
    pub world: World,
    pub about: about::GuestIndices,
    pub pre: InstancePre<Host>,
    /// The interfaces that it imports.
    pub imports: Vec<String>,
}

impl Loaded {
    pub fn role(&self) -> &'static str {
        match self.world {
            World::Transform(_) => "transform",
            World::Source(_) => "source",
            World::Sink(_) => "sink",
        }
    }
}

/// Makes a component of bytes; `hash` is their SHA-256 and `shown` their name in messages. The same bytes are compiled once: in this process, and in
/// `cache` for the next.
pub fn load(bytes: &[u8], hash: &str, shown: &str, cache: Option<&Path>) -> Result<Arc<Loaded>> {
    static KNOWN: LazyLock<Mutex<HashMap<String, Arc<Loaded>>>> = LazyLock::new(Mutex::default);
    // Held while one is compiled: a graph that names a plugin twice does not compile it twice.
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(loaded) = known.get(hash) {
        return Ok(loaded.clone());
    }
    let loaded = compile(bytes, hash, cache).and_then(|component| check(component, hash, bytes.len()));
    let loaded = Arc::new(loaded.map_err(|e| e.context(shown))?);
    known.insert(hash.to_string(), loaded.clone());
    Ok(loaded)
}

fn compile(bytes: &[u8], hash: &str, cache: Option<&Path>) -> Result<Component> {
    let engine = &Plugins::get()?.engine;
    let cached = cache.map(|folder| folder.join(format!("{hash}-{:016x}.cwasm", settings(engine))));
    if let Some(component) = cached.as_deref().and_then(|path| from_cache(engine, path)) {
        return Ok(component);
    }
    let component = Component::from_binary(engine, &component(bytes)?);
    let component = component.map_err(|e| {
        Error::graph(format!("this is not a sound WebAssembly component: {e:#}"))
            .help("build it again with `selvedge plugin build`; was the file cut off?")
    })?;
    if let Some(path) = cached {
        // Best effort: without a cache, it is compiled again.
        if let Err(e) = to_cache(&component, &path) {
            tracing::warn!("the compiled plugin is not kept in {}: {e}", path.display());
        }
    }
    Ok(component)
}

/// A component's bytes as they are; a module of WebAssembly, as plain linkers make it, becomes a component.
pub fn component(bytes: &[u8]) -> Result<Cow<'_, [u8]>> {
    match bytes {
        [b'\0', b'a', b's', b'm', 0x0d, ..] => Ok(Cow::Borrowed(bytes)),
        [b'\0', b'a', b's', b'm', 0x01, ..] => {
            let encoded = wit_component::ComponentEncoder::default().validate(true).module(bytes);
            let encoded = encoded.and_then(|mut e| e.encode()).map_err(|e| {
                Error::graph(format!("this WebAssembly module cannot be made a component: {e:#}"))
                    .help("build it with `selvedge plugin build`")
            })?;
            Ok(Cow::Owned(encoded))
        }
        _ => Err(Error::graph("this is not WebAssembly")
            .help("a plugin is a component, as `selvedge plugin build` makes it; was the file cut off or mixed up?")),
    }
}

/// What compiled code depends on besides the plugin: engine version, processor, settings.
fn settings(engine: &wasmtime::Engine) -> u64 {
    let mut hasher = std::hash::DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    hasher.finish()
}

/// Compiled code is as good as our own: it is taken only from a folder that nobody but this user can write to.
fn from_cache(engine: &wasmtime::Engine, path: &Path) -> Option<Component> {
    if !path.exists() || !path.parent().is_some_and(private) {
        return None;
    }
    // SAFETY: written by `to_cache` into a folder that no other user can change; what was cut off by a crash was never renamed.
    let component = unsafe { Component::deserialize_file(engine, path) };
    component.map_err(|e| tracing::warn!("{} is compiled again: {e:#}", path.display())).ok()
}

#[cfg(unix)]
fn private(folder: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    // SAFETY: `geteuid` has no preconditions.
    let me = unsafe { libc::geteuid() };
    fs::metadata(folder).is_ok_and(|m| m.uid() == me && m.mode() & 0o022 == 0)
}

#[cfg(not(unix))]
fn private(_: &Path) -> bool {
    false
}

fn to_cache(component: &Component, path: &Path) -> std::io::Result<()> {
    let code = component.serialize().map_err(|e| std::io::Error::other(format!("{e:#}")))?;
    keep(path, &code)
}

/// Where compiled plugins are kept: `$XDG_CACHE_HOME/selvedge/plugins`, `~/.cache/selvedge/plugins`.
pub fn default_cache() -> Option<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    let folder = set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache")))?;
    Some(folder.join("selvedge").join("plugins"))
}

/// That the component speaks the contract and asks for nothing else.
fn check(component: Component, hash: &str, bytes: usize) -> Result<Loaded> {
    let engine = &Plugins::get()?.engine;
    let ty = component.component_type();
    let exported: Vec<String> = ty.exports(engine).map(|(name, _)| name.to_string()).collect();
    let imported: Vec<String> = ty.imports(engine).map(|(name, _)| name.to_string()).collect();
    let version = |name: &String| Some(name.strip_prefix(OURS)?.split_once('@')?.1.to_string());
    let mut spoken = exported.iter().chain(&imported).filter_map(version);
    let contract = spoken.next();
    if let Some(other) = contract.iter().cloned().chain(spoken).find(|v| !v.starts_with(TRACK)) {
        return Err(Error::graph(format!(
            "this plugin speaks version {other} of the contract, this Selvedge {CONTRACT}"
        ))
        .help("build the plugin again with the SDK of this version, or use the Selvedge that it was built for"));
    }
    let known = |name: &str| name.starts_with(OURS) || name.starts_with("wasi:");
    if let Some(foreign) = imported.iter().find(|name| !known(name)) {
        return Err(Error::graph(format!("this plugin needs `{foreign}`, which Selvedge does not offer"))
            .help("a plugin may use the interfaces of the contract and of WASI 0.2"));
    }
    let has = |name: &str| exported.iter().any(|e| e.starts_with(&format!("{OURS}{name}@")));
    let worlds: Vec<&str> = ["transform-node", "source-node", "sink-node"].into_iter().filter(|w| has(w)).collect();

    // The same for all plugins.
    static LINKER: LazyLock<Result<Linker<Host>>> = LazyLock::new(|| {
        let failed = |e| Error::bug(format!("the plugin engine does not start: {e:#}"));
        linker(&Plugins::get()?.engine).map_err(failed)
    });
    let linker = LINKER.as_ref().map_err(Clone::clone)?;
    let misfit = |e: wasmtime::Error| {
        let built_for = contract.as_deref().unwrap_or("none");
        Error::graph(format!("this plugin, built for contract {built_for}, does not fit {CONTRACT}: {e:#}"))
            .help("build it again with the SDK of this version")
    };
    let pre = linker.instantiate_pre(&component).map_err(misfit)?;
    let world = match worlds.as_slice() {
        ["transform-node"] => World::Transform(transform_node::GuestIndices::new(&pre).map_err(misfit)?),
        ["source-node"] => World::Source(source_node::GuestIndices::new(&pre).map_err(misfit)?),
        ["sink-node"] => World::Sink(sink_node::GuestIndices::new(&pre).map_err(misfit)?),
        [] => {
            let found = match exported.is_empty() {
                true => "nothing".to_string(),
                false => exported.iter().map(|e| format!("`{e}`")).collect::<Vec<_>>().join(", "),
            };
            return Err(Error::graph(format!("this component is no plugin: it exports {found}"))
                .help("a plugin exports `transform-node`, `source-node` or `sink-node` of `selvedge:plugin`"));
        }
        several => {
            return Err(Error::graph(format!("this component is {} at once", several.join(", ")))
                .help("a plugin is one of them: build a component for each"));
        }
    };
    let about = about::GuestIndices::new(&pre).map_err(misfit)?;
    let contract = contract.unwrap_or_default();
    Ok(Loaded { hash: hash.to_string(), bytes, contract, world, about, pre, imports: imported })
}

fn linker(engine: &wasmtime::Engine) -> wasmtime::Result<Linker<Host>> {
    let mut linker = Linker::<Host>::new(engine);
    wasmtime_wasi::p2::add_to_linker_sync(&mut linker)?;
    bound_waits(&mut linker)?;
    crate::bindings::Host_::add_to_linker::<_, HasSelf<Host>>(&mut linker, |host| host)?;
    Ok(linker)
}

/// A plugin that waits runs no code that the engine could interrupt. So it never waits longer than a call may take.
fn bound_waits(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    let mut clock = linker.instance("wasi:clocks/monotonic-clock@0.2.12")?;
    clock.func_wrap("subscribe-duration", |mut store: StoreContextMut<'_, Host>, (wait,): (u64,)| {
        let host = store.data_mut();
        let wait = wait.min(host.longest_wait);
        Ok((host.clocks().subscribe_duration(wait)?,))
    })?;
    clock.func_wrap("subscribe-instant", |mut store: StoreContextMut<'_, Host>, (until,): (u64,)| {
        let host = store.data_mut();
        let wait = until.saturating_sub(host.clocks().now()?).min(host.longest_wait);
        Ok((host.clocks().subscribe_duration(wait)?,))
    })?;
    linker.allow_shadowing(false);
    Ok(())
}
