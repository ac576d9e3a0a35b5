//! Files on their way to an object store: written to the run's scratch folder, sent in parts when they are whole, and seen by nobody
//! before the commit completes them.

use super::publish::Manifest;
use super::scatter::escape;
use super::target::{Prefix, Target};
use selvedge_connect::store::PART;
use selvedge_node::{Error, Reservation, Result, Task};
use std::fs::File;
use std::io::{Read, Seek};
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

/// One writer's uploads.
pub struct Uploads {
    prefix: Prefix,
    scratch: PathBuf,
    /// `RUN-TIME-INSTANCE`: no two writers ever want the same names.
    own: String,
    created: usize,
    sent: usize,
    /// Uploads that no flush has made safe yet, with their names: given up when this is dropped.
    unflushed: Vec<(String, String)>,
    memory: Reservation,
}

impl Uploads {
    /// Refuses a data set that `replace` could not replace.
    pub fn open(prefix: &Prefix, task: &Task, replace: bool) -> Result<Uploads> {
        let target = Target::Store(prefix.clone());
        let manifest = Manifest::read(&target)?.unwrap_or_default();
        if replace {
            manifest.refuse_foreign(&target)?;
        }
        // A run that is gone on from has other writers, whose names must be others.
        let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        Ok(Uploads {
            prefix: prefix.clone(),
            scratch: task.scratch.join(format!("upload-{}-{}", escape(&task.node), task.instance)),
            own: format!("{}-{time:x}-{}", escape(&task.run), task.instance),
            created: 0,
            sent: 0,
            unflushed: vec![],
            memory: task.memory.reserve(),
        })
    }

    /// A new file, and its name in the scratch folder.
    pub fn create(&mut self) -> Result<(File, String)> {
        let failed = |e| Error::io("making", self.scratch.display(), &e);
        std::fs::create_dir_all(&self.scratch).map_err(failed)?;
        let name = self.created.to_string();
        self.created += 1;
        let file = File::options().read(true).write(true).create_new(true).open(self.scratch.join(&name));
        Ok((file.map_err(failed)?, name))
    }

    /// Sends a file that is whole. Answers its final name and its upload.
    pub fn send(
        &mut self,
        mut file: File,
        local: &str,
        folder: &str,
        prefix: &str,
        extension: &str,
    ) -> Result<(String, String)> {
        let name = format!("{prefix}-{}-{}.{extension}", self.own, self.sent);
        let name = if folder.is_empty() { name } else { format!("{folder}/{name}") };
        self.sent += 1;
        let path = self.scratch.join(local);
        let failed = |e| Error::io("reading", path.display(), &e);
        // One part is filled while two are on their way.
        self.memory.resize(3 * PART as u64);
        let mut upload = self.prefix.store.upload(&self.prefix.name(&name))?;
        file.rewind().map_err(failed)?;
        loop {
            let mut part = Vec::with_capacity(PART);
            let n = (&mut file).take(PART as u64).read_to_end(&mut part).map_err(failed)?;
            if n == 0 {
                break;
            }
            upload.part(part.into())?;
        }
        let uploaded = upload.finish()?;
        self.memory.resize(0);
        // What stays goes with the scratch folder.
        _ = std::fs::remove_file(&path);
        self.unflushed.push((name.clone(), uploaded.clone()));
        Ok((name, uploaded))
    }

    /// From now on the uploads wait for a commit, whatever becomes of this process.
    pub fn flushed(&mut self) {
        self.unflushed.clear();
    }
}

impl Drop for Uploads {
    fn drop(&mut self) {
        for (name, uploaded) in &self.unflushed {
            self.prefix.store.forget(&self.prefix.name(name), uploaded);
        }
    }
}
