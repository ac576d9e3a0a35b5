//! What a graph lets a plugin reach. Nothing, unless it is named here.

use crate::stdio::Tail;
use schemars::JsonSchema;
use selvedge_node::{Error, Result};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use wasmtime_wasi::{FsPerms, WasiCtx, WasiCtxBuilder};

/// Access to the world outside of the plugin.
// No Debug: secrets are in it.
#[derive(Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Grant {
    /// Folders, by the names under which the plugin sees them.
    #[serde(default)]
    pub files: BTreeMap<String, Folder>,
    /// Environment variables.
    #[serde(default)]
    pub environment: BTreeMap<String, String>,
    /// Secrets that the plugin may ask for: `{"API_KEY": "${secret:crm_key}"}`.
    #[serde(default)]
    pub secrets: BTreeMap<String, String>,
    /// Addresses that it may connect to by TCP: `10.0.0.7:6379`. Names are looked up when the run starts.
    #[serde(default)]
    pub network: Vec<String>,
}

/// A folder of this machine, relative to the graph.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub enum Folder {
    /// Its files may be read.
    Read(String),
    /// Its files may be read, written, made and removed.
    Write(String),
}

/// A grant, ready for instances.
#[derive(Clone, Default)]
pub struct Granted {
    files: Vec<(PathBuf, String, bool)>,
    environment: Vec<(String, String)>,
    network: Vec<String>,
    /// Of `network`, looked up by the first instance.
    addresses: Arc<OnceLock<Vec<SocketAddr>>>,
    pub secrets: Arc<BTreeMap<String, String>>,
}

impl Grant {
    /// What is granted, in words.
    pub fn names(&self) -> Vec<String> {
        let files = self.files.iter().map(|(name, folder)| match folder {
            Folder::Read(path) => format!("files {name} (reads {path})"),
            Folder::Write(path) => format!("files {name} (writes {path})"),
        });
        let environment = self.environment.keys().map(|name| format!("environment {name}"));
        let secrets = self.secrets.keys().map(|name| format!("secret {name}"));
        let network = self.network.iter().map(|address| format!("network {address}"));
        files.chain(environment).chain(secrets).chain(network).collect()
    }

    pub fn granted(&self, base: &Path) -> Granted {
        let files = self.files.iter().map(|(name, folder)| match folder {
            Folder::Read(path) => (base.join(path), name.clone(), false),
            Folder::Write(path) => (base.join(path), name.clone(), true),
        });
        Granted {
            files: files.collect(),
            environment: self.environment.clone().into_iter().collect(),
            network: self.network.clone(),
            addresses: Arc::default(),
            secrets: Arc::new(self.secrets.clone()),
        }
    }
}

impl Granted {
    /// Not while planning, which must not reach the world.
    fn looked_up(&self) -> Result<Vec<SocketAddr>> {
        let mut addresses = vec![];
        for address in &self.network {
            let found = address.to_socket_addrs().map_err(|e| {
                Error::world(format!("looking up {address}, which the plugin may connect to: {e}"))
                    .help("write `host:port`")
            })?;
            addresses.extend(found);
        }
        Ok(addresses)
    }

    /// What the plugin sees of the system: empty but for what is granted.
    pub fn wasi(&self, stderr: &Tail) -> Result<WasiCtx> {
        let mut wasi = WasiCtxBuilder::new();
        wasi.stdout(stderr.clone()).stderr(stderr.clone()).envs(&self.environment);
        wasi.allow_udp(false).allow_tcp(!self.network.is_empty());
        if self.addresses.get().is_none() {
            let found = self.looked_up()?;
            self.addresses.get_or_init(|| found);
        }
        let addresses = self.addresses.clone();
        wasi.socket_addr_check(move |address, _| {
            let known = addresses.get().is_some_and(|known| known.contains(&address));
            Box::pin(async move { known })
        });
        for (path, name, write) in &self.files {
            let permissions = if *write { FsPerms::ReadWrite } else { FsPerms::ReadOnly };
            wasi.preopened_dir(path, name, permissions)
                .map_err(|e| Error::world(format!("opening {} for the plugin: {e:#}", path.display())))?;
        }
        Ok(wasi.build())
    }
}
