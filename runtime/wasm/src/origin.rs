//! Where a plugin comes from: a file, or a URL with its hash.

use crate::component::LARGEST;
use selvedge_node::{Error, Problem, Result, Span, Spanned};
use sha2::{Digest, Sha256};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// For the whole of a download.
const PATIENCE: Duration = Duration::from_secs(300);

/// The component's place, as the graph names it.
pub struct Origin {
    /// The path as written, or the URL without what may be secret in it: for messages and lock files.
    pub name: String,
    pub span: Span,
    place: Place,
}

enum Place {
    File(PathBuf),
    Url { url: reqwest::Url, sha256: String },
}

impl Origin {
    /// `base`: what a relative path starts from; `node`: where to show what is missing.
    pub fn new(
        path: Option<&Spanned<String>>,
        url: Option<&Spanned<String>>,
        sha256: Option<&Spanned<String>>,
        base: &Path,
        node: Span,
    ) -> std::result::Result<Origin, Problem> {
        match (path, url) {
            (Some(path), None) => {
                let place = Place::File(base.join(path.as_str()));
                Ok(Origin { name: path.value.clone(), span: path.span, place })
            }
            (None, Some(text)) => {
                let url = reqwest::Url::parse(text).map_err(|e| Problem::error(text.span, format!("no URL: {e}")))?;
                if !matches!(url.scheme(), "http" | "https") {
                    let words = format!("expected an http or https URL, found {}", url.scheme());
                    return Err(Problem::error(text.span, words));
                }
                let Some(sha256) = sha256 else {
                    return Err(Problem::error(text.span, "a plugin from a URL needs its `sha256`")
                        .help("`sha256sum FILE` prints it; without, nobody knows what will be run tomorrow"));
                };
                let is_hash = sha256.len() == 64 && sha256.bytes().all(|b| b.is_ascii_hexdigit());
                if !is_hash {
                    return Err(Problem::error(sha256.span, "expected a SHA-256: 64 hexadecimal digits"));
                }
                let name = bare(&url);
                let place = Place::Url { url, sha256: sha256.to_ascii_lowercase() };
                Ok(Origin { name, span: text.span, place })
            }
            (None, None) => Err(Problem::error(node, "where is the plugin? neither `path` nor `url` is set")),
            (Some(_), Some(url)) => Err(Problem::error(url.span, "either `path` or `url`, not both")),
        }
    }

    /// The last part of its name: what messages call it.
    pub fn file(&self) -> String {
        let last = match &self.place {
            Place::File(path) => path.file_name().map(|name| name.to_string_lossy().into_owned()),
            Place::Url { url, .. } => url.path_segments().and_then(|mut s| s.next_back()).map(String::from),
        };
        last.filter(|name| !name.is_empty()).unwrap_or_else(|| "plugin".into())
    }

    /// The bytes of the component, and their hash. A download is kept in `cache`, and taken from there from then on.
    pub fn bytes(&self, cache: Option<&Path>) -> Result<(Vec<u8>, String)> {
        match &self.place {
            Place::File(path) => read(path),
            Place::Url { url, sha256 } => {
                let kept = cache.map(|folder| folder.join(format!("{sha256}.wasm")));
                let known = kept.as_deref().and_then(|path| fs::read(path).ok()).filter(|b| hash(b) == *sha256);
                if let Some(bytes) = known {
                    return Ok((bytes, sha256.clone()));
                }
                let bytes = download(url)?;
                let found = hash(&bytes);
                if found != *sha256 {
                    let words = format!("{} is another file: its SHA-256 is {found}", bare(url));
                    return Err(Error::graph(words)
                        .help("check where the file came from; if it is the right one, write this hash"));
                }
                if let Some(path) = kept
                    && let Err(e) = keep(&path, &bytes)
                {
                    // Without, it is downloaded again.
                    tracing::warn!("the plugin is not kept in {}: {e}", path.display());
                }
                Ok((bytes, found))
            }
        }
    }
}

/// SHA-256 in hex.
fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|b| format!("{b:02x}")).collect()
}

/// Reads a component's file; its bytes and their hash.
pub fn read(path: &Path) -> Result<(Vec<u8>, String)> {
    let failed = |e: std::io::Error| Error::io("reading the plugin", path.display(), &e);
    let found = fs::metadata(path).map_err(failed)?;
    if !found.is_file() || found.len() > LARGEST {
        let what = if found.is_file() { format!("larger than {} MiB", LARGEST >> 20) } else { "not a file".into() };
        return Err(Error::graph(format!("{} is no plugin: it is {what}", path.display())));
    }
    let bytes = fs::read(path).map_err(failed)?;
    let hash = hash(&bytes);
    Ok((bytes, hash))
}

/// Writes a file of the cache: whole or not at all.
pub fn keep(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    use std::io::Write;
    let folder = path.parent().unwrap_or(Path::new("."));
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt;
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    let aside = path.with_extension(format!("{}.new", std::process::id()));
    let mut file = fs::File::create(&aside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&aside, path)
}

fn bare(url: &reqwest::Url) -> String {
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}://{}{port}{}", url.scheme(), url.host_str().unwrap_or_default(), url.path())
}

/// Downloads on a thread of its own: planning may stand on a thread that drives asynchronous work.
fn download(url: &reqwest::Url) -> Result<Vec<u8>> {
    let fetch = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.map_err(|e| Error::world(format!("cannot start a download: {e}")))?.block_on(body(url))
    };
    let done = std::thread::scope(|scope| scope.spawn(fetch).join());
    done.unwrap_or_else(|_| Err(Error::bug("the download panicked")))
}

async fn body(url: &reqwest::Url) -> Result<Vec<u8>> {
    let failed = |e: reqwest::Error| {
        // Its own words name the URL, with all that is in it.
        let e = e.without_url();
        let chain = std::iter::successors(Some(&e as &dyn std::error::Error), |e| e.source());
        let words = chain.map(ToString::to_string).collect::<Vec<_>>().join(": ");
        Error::world(format!("cannot download {}: {words}", bare(url)))
    };
    let client = reqwest::Client::builder().timeout(PATIENCE).connect_timeout(Duration::from_secs(10)).build();
    let answer = client.map_err(failed)?.get(url.clone()).send().await.map_err(failed)?;
    let mut answer = answer.error_for_status().map_err(failed)?;
    let mut bytes = vec![];
    while let Some(part) = answer.chunk().await.map_err(failed)? {
        bytes.extend_from_slice(&part);
        if bytes.len() as u64 > LARGEST {
            return Err(Error::graph(format!("{} is no plugin: it is larger than {} MiB", bare(url), LARGEST >> 20)));
        }
    }
    Ok(bytes)
}
