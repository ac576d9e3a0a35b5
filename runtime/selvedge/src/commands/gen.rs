//! `selvedge gen`: sample data, by running a graph of two nodes; with `--stream`, events that come in one by one.

mod stream;

use super::WRONG;
use crate::cli::{Gen, GenFormat};
use crate::screen;
use selvedge_exec::{Options, Status};
use selvedge_generate::Shape;
use selvedge_spec::Options as SpecOptions;
use std::collections::BTreeMap;
use std::path::Path;

pub fn generate(args: &Gen) -> u8 {
    if let Some(folder) = &args.events.stream {
        return stream::generate(&args.shape, args.seed, &args.events, folder);
    }
    let Some(shape) = Shape::find(&args.shape) else {
        let near = selvedge_ron::nearest(&args.shape, Shape::ALL.iter().map(|s| s.name()));
        let help = near.map(|n| format!("; did you mean {n}?")).unwrap_or_default();
        let known =
            Shape::ALL.iter().map(|s| format!("  {:<18} {}", s.name(), s.about())).collect::<Vec<_>>().join("\n");
        screen::error(&format!("error: no shape named `{}`{help}\n{known}", args.shape));
        return WRONG;
    };
    // The command line asks for one of `out` and `stream`.
    let out = args.out.as_deref().unwrap_or(Path::new("."));
    let out = match std::path::absolute(out) {
        Ok(out) => out,
        Err(e) => {
            screen::error(&format!("error: {}: {e}", out.display()));
            return WRONG;
        }
    };
    let graph = graph(args, shape, &out);
    let path = Path::new("/gen/graph.ron");
    let files = BTreeMap::from([(path.to_path_buf(), graph), ("/gen/connections.ron".into(), connections(&out))]);
    let (sources, spec, _) = selvedge_spec::load(&files, path, &SpecOptions::default());
    let plan = match spec.and_then(|spec| selvedge_plan::plan(&spec, &crate::catalogue(Default::default()))) {
        Ok(plan) => plan,
        Err(problems) => {
            screen::error(selvedge_spec::render_short(&problems.0, &sources).trim_end());
            return WRONG;
        }
    };
    let options = Options {
        threads: std::thread::available_parallelism().map_or(1, |n| n.get()),
        memory: selvedge_exec::default_memory(),
        state: None,
        once: false,
        checkpoint_every: std::time::Duration::MAX,
        scratch: std::env::temp_dir(),
        run: format!("gen-{}", std::process::id()),
    };
    let report = match selvedge_exec::start(plan, options) {
        Ok(running) => running.join(),
        Err(report) => *report,
    };
    let text = screen::ledger(&report);
    if report.status == Status::Done {
        screen::print(&text)
    } else {
        screen::error(&text)
    }
    report.status.exit_code()
}

fn graph(args: &Gen, shape: Shape, out: &Path) -> String {
    let (rows, seed, table) = (args.rows, args.seed, shape.table());
    let shape = shape.name();
    let path = format!("{:?}", out.display().to_string());
    let sink = match args.format {
        GenFormat::Csv => format!("Files(input: \"rows\", path: {path}, format: Csv())"),
        GenFormat::Ndjson => format!("Files(input: \"rows\", path: {path}, format: Ndjson)"),
        GenFormat::Parquet => format!("Files(input: \"rows\", path: {path}, format: Parquet())"),
        GenFormat::Sqlite => {
            format!("Warehouse(input: \"rows\", connection: \"out\", table: \"{table}\", mode: Replace)")
        }
    };
    format!(
        "Graph(name: \"gen\", nodes: {{ \"rows\": Generate(shape: {shape}, rows: {rows}, seed: {seed}), \"file\": {sink} }})"
    )
}

fn connections(out: &Path) -> String {
    format!("Connections(profiles: {{ \"local\": {{ \"out\": Sqlite(path: {:?}) }} }})", out.display().to_string())
}
