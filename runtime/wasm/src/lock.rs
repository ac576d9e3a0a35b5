//! `plugins.lock`: the plugins of the graphs in a folder, by hash, as `sha256sum` writes it and `sha256sum -c` checks it.

use std::collections::BTreeMap;
use std::path::Path;

/// Its name, beside the graphs.
pub const LOCK_FILE: &str = "plugins.lock";

/// What is pinned: path or URL, as the graph names it → SHA-256 in hex.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lock(pub BTreeMap<String, String>);

impl Lock {
    /// That of a folder; none if there is no file.
    pub fn read(folder: &Path) -> Result<Option<Lock>, String> {
        let path = folder.join(LOCK_FILE);
        match std::fs::read_to_string(&path) {
            Ok(text) => Lock::parse(&text)
                .map(Some)
                .map_err(|e| format!("{}: {e}; remove it and lock the graph again", path.display())),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(format!("cannot read {}: {e}", path.display())),
        }
    }

    fn parse(text: &str) -> Result<Lock, String> {
        let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        let entries = lines.map(|(i, line)| {
            let entry = line
                .split_once("  ")
                .filter(|(hash, _)| hash.len() == 64 && hash.bytes().all(|b| b.is_ascii_hexdigit()));
            let (hash, name) = entry.ok_or_else(|| format!("line {}: expected a SHA-256 and a name", i + 1))?;
            Ok((name.to_string(), hash.to_ascii_lowercase()))
        });
        entries.collect::<Result<_, String>>().map(Lock)
    }

    /// As the file has it.
    pub fn text(&self) -> String {
        self.0.iter().map(|(name, hash)| format!("{hash}  {name}\n")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_read_as_it_was_written() {
        let hash = "ab".repeat(32);
        let lock = Lock([("plugins/a b.wasm".to_string(), hash.clone())].into());
        assert_eq!(Lock::parse(&lock.text()), Ok(lock));
        assert_eq!(Lock::parse("abc  x"), Err("line 1: expected a SHA-256 and a name".into()));
        assert_eq!(Lock::parse(&format!("\n{hash} x")), Err("line 2: expected a SHA-256 and a name".into()));
    }
}
