//! What the benchmarks of plugins share.

use arrow::array::RecordBatch;
use selvedge_node::{Input, Role, Work};
use selvedge_testkit::{NoConnections, site};
use selvedge_wasm::Settings;
use std::path::Path;

/// A component as a node, for rows like these. `config` in RON: `(op: "copy")`.
pub fn work(component: &Path, config: &str, rows: &RecordBatch, settings: &Settings) -> Work {
    let text = format!("Plugin(path: \"{}\", config: {config})", component.display());
    let body = selvedge_ron::parse(selvedge_ron::FileId(0), &text).expect("a node in RON");
    let kinds = selvedge_wasm::kinds(settings.clone());
    let kind = kinds.iter().find(|k| k.role() == Role::Transform).expect("the plugin kind");
    let connections = NoConnections::default();
    let input = Input { port: "in".into(), schema: rows.schema(), span: Default::default(), unbounded: false };
    let config = kind.parse(&body).unwrap_or_else(|p| panic!("{p}"));
    config.build(&site(Path::new("."), &connections), &[input]).unwrap_or_else(|p| panic!("{p}")).work
}

/// Resident memory of this process, in KiB.
#[allow(dead_code, reason = "not every benchmark measures memory")]
pub fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).expect("VmRSS");
    line.trim().trim_end_matches("kB").trim().parse().expect("a number")
}
