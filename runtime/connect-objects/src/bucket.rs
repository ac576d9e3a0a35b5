//! A bucket, or what is below a prefix of it.

use crate::error::error;
use crate::read::{Remote, fetch};
use crate::write::{Multipart, Uploaded};
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutOptions, UpdateVersion};
use selvedge_connect::store::{Object, Over, ReadAt, Store, Upload};
use selvedge_connect::wait;
use selvedge_node::{Error, Result};
use std::ops::Range;
use std::sync::Arc;

/// Small requests on their way at a time.
const TOGETHER: usize = 64;

/// A client that can do multipart uploads by their ids, so that another process may complete them.
pub trait Both: ObjectStore + MultipartStore {}
impl<T: ObjectStore + MultipartStore> Both for T {}

#[derive(Clone)]
pub enum Client {
    Store(Arc<dyn Both>),
    ReadOnly(Arc<dyn ObjectStore>),
}

impl Client {
    pub fn read(&self) -> &dyn ObjectStore {
        match self {
            Client::Store(store) => &**store,
            Client::ReadOnly(store) => &**store,
        }
    }
}

#[derive(Clone)]
pub struct Bucket {
    pub client: Client,
    /// `s3://bucket`
    root: String,
    /// Without a `/` at its end.
    prefix: String,
}

impl Bucket {
    pub fn new(client: Client, root: &str, prefix: &str) -> Result<Bucket> {
        let prefix = prefix.trim_matches('/').to_string();
        parse(&prefix)?;
        Ok(Bucket { client, root: root.to_string(), prefix })
    }

    pub fn path(&self, name: &str) -> Result<Path> {
        let name = name.trim_matches('/');
        match (self.prefix.is_empty(), name.is_empty()) {
            (true, _) => parse(name),
            (_, true) => parse(&self.prefix),
            _ => parse(&format!("{}/{name}", self.prefix)),
        }
    }

    fn object(&self, meta: &ObjectMeta) -> Option<Object> {
        let whole = meta.location.as_ref();
        let name = match self.prefix.is_empty() {
            true => whole,
            false => whole.strip_prefix(&self.prefix)?.strip_prefix('/')?,
        };
        let version = meta.e_tag.clone().unwrap_or_else(|| meta.last_modified.to_rfc3339());
        Some(Object { name: name.to_string(), bytes: meta.size, version })
    }

    fn failed(&self, doing: &str, name: &str) -> impl Fn(object_store::Error) -> Error {
        let (doing, place) = (doing.to_string(), self.place(name));
        move |e| error(&doing, &place, &e)
    }

    fn uploads(&self) -> Result<&Arc<dyn Both>> {
        match &self.client {
            Client::Store(store) => Ok(store),
            Client::ReadOnly(_) => Err(Error::graph(format!("nothing can be written to {}", self.root))
                .help("write to s3://, gs:// or az://, or to a Folder")),
        }
    }
}

fn parse(name: &str) -> Result<Path> {
    Path::parse(name).map_err(|e| Error::graph(format!("`{name}` cannot be the name of an object: {e}")))
}

impl Store for Bucket {
    fn place(&self, name: &str) -> String {
        let parts = [self.root.as_str(), &self.prefix, name.trim_matches('/')];
        parts.iter().filter(|p| !p.is_empty()).copied().collect::<Vec<_>>().join("/")
    }

    fn list(&self, folder: &str) -> Result<Vec<Object>> {
        let path = self.path(folder)?;
        let prefix = (!path.as_ref().is_empty()).then_some(&path);
        let all =
            wait(self.client.read().list(prefix).try_collect::<Vec<_>>())?.map_err(self.failed("listing", folder))?;
        let mut objects: Vec<Object> = all.iter().filter_map(|meta| self.object(meta)).collect();
        // A folder that some tools mark with an empty object of its name.
        objects.retain(|o| !o.name.is_empty() && !o.name.ends_with('/'));
        objects.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        Ok(objects)
    }

    fn find(&self, name: &str) -> Result<Option<Object>> {
        match wait(self.client.read().head(&self.path(name)?))? {
            Ok(meta) => Ok(self.object(&meta)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(e) => Err(self.failed("asking for", name)(e)),
        }
    }

    fn ranges(&self, of: &[(Object, Range<u64>)]) -> Result<Vec<Bytes>> {
        let each = of.iter().map(|(object, range)| fetch(self.clone(), object.clone(), range.clone()));
        wait(futures::stream::iter(each).buffered(TOGETHER).try_collect())?
    }

    fn open(&self, object: &Object) -> Arc<dyn ReadAt> {
        Arc::new(Remote::new(self.clone(), object.clone()))
    }

    fn get(&self, name: &str) -> Result<Option<(Bytes, String)>> {
        let path = self.path(name)?;
        let got = wait(async {
            let got = self.client.read().get(&path).await?;
            let version = got.meta.e_tag.clone().unwrap_or_default();
            Ok((got.bytes().await?, version))
        })?;
        match got {
            Ok(got) => Ok(Some(got)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(e) => Err(self.failed("reading", name)(e)),
        }
    }

    fn put(&self, name: &str, bytes: Bytes, over: &Over) -> Result<Option<String>> {
        let mode = match over {
            Over::Nothing => PutMode::Create,
            Over::Version(version) => PutMode::Update(UpdateVersion { e_tag: Some(version.clone()), version: None }),
        };
        let path = self.path(name)?;
        let options = PutOptions { mode, ..Default::default() };
        match wait(self.client.read().put_opts(&path, bytes.clone().into(), options))? {
            Ok(put) => Ok(Some(put.e_tag.unwrap_or_default())),
            // A try whose answer was lost has done it.
            Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => {
                let there = self.get(name)?;
                Ok(there.filter(|(there, _)| *there == bytes).map(|(_, version)| version))
            }
            Err(e) => Err(self.failed("writing", name)(e)),
        }
    }

    fn upload(&self, name: &str) -> Result<Box<dyn Upload>> {
        Ok(Box::new(Multipart::begin(self.uploads()?.clone(), self.path(name)?, self.place(name))?))
    }

    fn complete(&self, name: &str, uploaded: &str, bytes: u64) -> Result<()> {
        let Uploaded { id, parts } = Uploaded::read(uploaded)?;
        let parts = parts.into_iter().map(|content_id| PartId { content_id }).collect();
        let done = wait(self.uploads()?.complete_multipart(&self.path(name)?, &id, parts))?;
        let Err(e) = done else { return Ok(()) };
        // An earlier try has completed it: then the upload is gone, and the object there.
        match self.find(name) {
            Ok(Some(there)) if there.bytes == bytes => Ok(()),
            _ => Err(self.failed("completing", name)(e)),
        }
    }

    fn forget(&self, name: &str, uploaded: &str) {
        let (Ok(Uploaded { id, .. }), Ok(store), Ok(path)) =
            (Uploaded::read(uploaded), self.uploads(), self.path(name))
        else {
            return;
        };
        // If it fails the bucket's lifecycle rule removes it.
        let _ = wait(store.abort_multipart(&path, &id));
    }

    fn remove(&self, names: &[String]) -> Result<()> {
        let paths = names.iter().map(|name| self.path(name)).collect::<Result<Vec<_>>>()?;
        let paths = futures::stream::iter(paths.into_iter().map(Ok));
        let removed = self.client.read().delete_stream(Box::pin(paths));
        let done = wait(removed.try_for_each(|_| async { Ok(()) }))?;
        match done {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(e) => Err(self.failed("removing", names.first().map_or("", String::as_str))(e)),
        }
    }
}
