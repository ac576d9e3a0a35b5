//! `selvedge plugin check`: whether a component is a plugin that others can use.

use crate::cli::Inspect;
use crate::screen;
use selvedge_wasm::Inspection;

/// Prints what was found; says whether it is sound.
pub fn check(args: &Inspect, found: &Inspection) -> bool {
    if args.json {
        screen::print(&super::json(found));
        return found.faults.is_empty();
    }
    let ours: Vec<&str> = found.imports.iter().filter_map(|i| i.strip_prefix("selvedge:plugin/")).collect();
    let wasi = found.imports.len() - ours.len();
    let bare = |name: &&str| name.split('@').next().unwrap_or_default().to_string();
    let imports = ours.iter().map(bare).filter(|name| name != "types").collect::<Vec<_>>().join(", ");
    let mut lines = vec![
        format!("{} is a {} of contract {}", found.name, found.role, found.contract),
        format!("imports {imports}; {wasi} interfaces of WASI, which give it nothing"),
        format!("{} KiB, sha256 {}", found.bytes.div_ceil(1024), found.sha256),
        format!("starts in {:.2} ms with {}", found.start.as_secs_f64() * 1e3, screen::size(found.memory as u64)),
    ];
    lines.extend(super::wishes(found));
    let lines = lines.into_iter().map(|line| format!("ok      {line}"));
    let faults = found.faults.iter().map(|line| format!("FAILED  {line}"));
    screen::print(&super::printable(&lines.chain(faults).collect::<Vec<_>>().join("\n")));
    found.faults.is_empty()
}
