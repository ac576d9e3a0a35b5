//! Which files a source reads and how they are now, so that a run that was cut short is gone on from only where they are the same.

use crate::paths::Found;
use selvedge_node::{Error, Positions, Result, Source, Split};
use std::time::UNIX_EPOCH;

/// Bytes of a file, and when it was changed, in nanoseconds since 1970.
pub fn stamp(file: &Found) -> Result<(u64, u64)> {
    let failed = |e: std::io::Error| Error::io("reading", &file.name, &e);
    let found = std::fs::metadata(&file.path).map_err(failed)?;
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
