//! Uploads in parts. An upload's id and its parts' ids are all that it takes to complete it, by whomever.

use crate::bucket::Both;
use crate::error::error;
use bytes::Bytes;
use object_store::multipart::PartId;
use object_store::path::Path;
use selvedge_connect::store::Upload;
use selvedge_connect::{spawn, wait};
use selvedge_node::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::sync::Arc;
use tokio::task::JoinHandle;

/// Parts on their way at a time.
const IN_FLIGHT: usize = 2;

/// An upload that waits to be completed.
#[derive(Serialize, Deserialize)]
pub struct Uploaded {
    pub id: String,
    pub parts: Vec<String>,
}

impl Uploaded {
    pub fn read(text: &str) -> Result<Uploaded> {
        serde_json::from_str(text).map_err(|e| Error::bug(format!("an upload cannot be read back: {e}")))
    }
}

type Sent = JoinHandle<object_store::Result<PartId>>;

pub struct Multipart {
    store: Arc<dyn Both>,
    path: Path,
    place: String,
    id: String,
    sent: usize,
    flying: VecDeque<Sent>,
    parts: Vec<String>,
    finished: bool,
}

impl Multipart {
    pub fn begin(store: Arc<dyn Both>, path: Path, place: String) -> Result<Multipart> {
        let id = wait(store.create_multipart(&path))?.map_err(|e| error("writing", &place, &e))?;
        Ok(Multipart { store, path, place, id, sent: 0, flying: VecDeque::new(), parts: vec![], finished: false })
    }

    /// Waits for the oldest part on its way.
    fn land(&mut self) -> Result<()> {
        let Some(oldest) = self.flying.pop_front() else { return Ok(()) };
        let landed = wait(oldest)?.map_err(|e| Error::bug(format!("sending a part of {}: {e}", self.place)))?;
        self.parts.push(landed.map_err(|e| error("writing", &self.place, &e))?.content_id);
        Ok(())
    }
}

impl Upload for Multipart {
    fn part(&mut self, bytes: Bytes) -> Result<()> {
        if self.flying.len() >= IN_FLIGHT {
            self.land()?;
        }
        let (store, path, id, number) = (self.store.clone(), self.path.clone(), self.id.clone(), self.sent);
        let sent = spawn(async move { store.put_part(&path, &id, number, bytes.into()).await })?;
        self.flying.push_back(sent);
        self.sent += 1;
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<String> {
        // An object without a byte has a part, too.
        if self.sent == 0 {
            self.part(Bytes::new())?;
        }
        while !self.flying.is_empty() {
            self.land()?;
        }
        self.finished = true;
        let uploaded = Uploaded { id: self.id.clone(), parts: std::mem::take(&mut self.parts) };
        serde_json::to_string(&uploaded).map_err(|e| Error::bug(format!("noting an upload: {e}")))
    }
}

impl Drop for Multipart {
    /// What was not finished will never be completed. If this fails the bucket's lifecycle rule removes it.
    fn drop(&mut self) {
        if !self.finished {
            let _ = wait(async {
                for part in self.flying.drain(..) {
                    part.abort();
                    let _ = part.await;
                }
                self.store.abort_multipart(&self.path, &self.id).await
            });
        }
    }
}
