//! Which files a source reads and how they are now, so that a run that was cut short is gone on from only where they are the same.

use crate::lake::{At, Found};
use selvedge_node::{Error, Positions, Result, Source, Split};
use std::time::UNIX_EPOCH;
use twox_hash::XxHash64;

/// Bytes of a file, and when it was changed, in nanoseconds since 1970; of an object a hash of its version instead.
pub fn stamp(file: &Found) -> Result<(u64, u64)> {
    let failed = |e: std::io::Error| Error::io("reading", &file.name, &e);
    let path = match &file.at {
        At::Path(path) => path,
        At::Object(stored) => {
            return Ok((stored.object.bytes, XxHash64::oneshot(0, stored.object.version.as_bytes())));
        }
    };
    let found = std::fs::metadata(path).map_err(failed)?;
    let modified = found.modified().map_err(failed)?.duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok((found.len(), modified.as_nanos() as u64))
}

/// A bounded source of files.
pub struct Versioned {
    pub source: Box<dyn Source>,
    pub files: Vec<Found>,
}

impl Source for Versioned {
    fn splits(&self, from: &Positions) -> Result<Vec<Box<dyn Split>>> {
        self.source.splits(from)
    }
    fn version(&self) -> Result<String> {
        let told = |file: &Found| {
            let (bytes, modified) = stamp(file)?;
            Ok(format!("{} of {bytes} bytes at {modified}", file.name))
        };
        Ok(self.files.iter().map(told).collect::<Result<Vec<_>>>()?.join(", "))
    }
}
