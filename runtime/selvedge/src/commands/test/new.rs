//! `selvedge test new`: a test made of a recording and of what comes of it now.

use super::case::Case;
use super::cut::cut;
use super::{happened, report_of, without_sinks};
use crate::cli::NewTest;
use crate::{catalogue, graphs, recording, screen};
use arrow::array::{Array, RecordBatch};
use arrow::json::LineDelimitedWriter;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use selvedge_exec::Status;
use selvedge_ron::{Problem, Spanned};
use selvedge_spec::Os;
use selvedge_testkit::quote;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Answers the file.
pub fn new(args: &NewTest) -> Result<PathBuf, String> {
    let found = graphs::find(std::slice::from_ref(&args.graph))?;
    let [graph] = found.as_slice() else { return Err("error: a test is of one graph".into()) };
    let name = args.at.first().map(|at| at.replace(['/', '.'], "_")).unwrap_or_default();
    let to = args.to.clone().unwrap_or_else(|| graph.with_file_name("tests").join(format!("{name}.ron")));
    if to.exists() {
        return Err(format!("error: {} is there already; --to names another file", to.display()));
    }

    let mut loaded = selvedge_spec::load_partly(&Os, graph, &args.source.options());
    let catalogue = catalogue(args.source.plugins());
    let mut case = Case::default();
    let readers = recording::sample(&mut loaded, &args.from, args.rows);
    case.real.extend(readers.into_iter().map(|name| Spanned::new(name, Default::default())));
    case.wanted.extend(args.from.iter().map(|from| &from.0).chain(&args.at).cloned());
    if let Some(spec) = &mut loaded.spec {
        without_sinks(spec, &catalogue);
    }
    let said = |problems: &[Problem]| selvedge_spec::render(problems, &loaded.sources, screen::colour());
    let plan = selvedge_plan::plan_loaded(&loaded, &catalogue).map_err(|problems| said(&problems.0))?;
    let part = cut(plan, &case, usize::MAX).map_err(|problems| said(&problems.0))?;
    let report = report_of(part.plan, false)?;
    if report.status != Status::Done {
        return Err(screen::ledger(&report));
    }

    let mut text =
        format!("// Made of {}.\n(\n", args.from.iter().map(|f| f.1.as_str()).collect::<Vec<_>>().join(", "));
    let places = |name: &str, places: &mut dyn Iterator<Item = &String>| {
        let tables = places.map(|place| format!("        {place:?}: {},\n", table(&part.found.of(place))));
        format!("    {name}: {{\n{}    }},\n", tables.collect::<String>())
    };
    text += &places("inputs", &mut args.from.iter().map(|from| &from.0));
    text += &places("outputs", &mut args.at.iter());
    for side in 0..3 {
        let mut of_nodes = BTreeMap::new();
        // The rows that a recording has beyond those taken are not the graph's.
        for node in
            report.nodes.iter().filter(|n| part.own.contains(&n.name) && !args.from.iter().any(|f| f.0 == n.name))
        {
            let (_, reasons) = happened(node)[side];
            if !reasons.is_empty() {
                let reasons: BTreeMap<_, _> = reasons.iter().map(|r| (r.reason.as_str(), r.rows)).collect();
                of_nodes.insert(node.name.as_str(), reasons);
            }
        }
        if let (false, Some(node)) = (of_nodes.is_empty(), report.nodes.first()) {
            text += &format!("    {}: {of_nodes:?},\n", happened(node)[side].0);
        }
    }
    text += ")\n";
    let failed = |e: std::io::Error| format!("error: cannot write {}: {e}", to.display());
    if let Some(folder) = to.parent() {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    std::fs::write(&to, text).map_err(failed)?;
    Ok(to)
}

/// Rows as a table in a file: columns that are null throughout are left out, nested values are JSON.
fn table(batches: &[RecordBatch]) -> String {
    let Some(first) = batches.first() else { return "\"\"".into() };
    let none = batches.iter().all(|b| b.num_rows() == 0);
    let set = |c: &usize| none || batches.iter().any(|b| b.column(*c).null_count() < b.num_rows());
    let columns: Vec<usize> = (0..first.num_columns()).filter(set).collect();
    let mut lines: Vec<Vec<String>> = vec![columns.iter().map(|&c| first.schema().field(c).name().clone()).collect()];
    for batch in batches {
        let columns: Vec<Vec<String>> = columns.iter().map(|&c| cells(batch, c)).collect();
        lines.extend((0..batch.num_rows()).map(|row| columns.iter().map(|cells| cells[row].clone()).collect()));
    }
    let width = |c: usize| lines.iter().map(|line| line[c].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns.len()).map(width).collect();
    let line = |cells: &Vec<String>| {
        let padded = cells.iter().zip(&widths).map(|(cell, &width)| format!("{cell:width$}"));
        format!("            {}\n", padded.collect::<Vec<_>>().join(" | ").trim_end())
    };
    let text: String = lines.iter().map(line).collect();
    let marks = "#".repeat((1..).find(|&n| !text.contains(&format!("\"{}", "#".repeat(n)))).unwrap_or(1));
    match text.contains(['"', '\\']) {
        true => format!("r{marks}\"\n{text}        \"{marks}"),
        false => format!("\"\n{text}        \""),
    }
}

fn cells(batch: &RecordBatch, column: usize) -> Vec<String> {
    let values = batch.column(column);
    let nested = || -> Result<Vec<String>, arrow::error::ArrowError> {
        let mut json = LineDelimitedWriter::new(vec![]);
        json.write(&batch.project(&[column])?)?;
        json.finish()?;
        let text = String::from_utf8_lossy(&json.into_inner()).into_owned();
        let value = |line: &str| {
            let row: serde_json::Map<String, serde_json::Value> = serde_json::from_str(line).unwrap_or_default();
            row.into_iter().next().map_or("null".into(), |(_, value)| value.to_string())
        };
        Ok(text.lines().map(value).collect())
    };
    if values.data_type().is_nested() {
        return nested().unwrap_or_else(|_| vec!["null".into(); values.len()]);
    }
    let options = FormatOptions::default().with_null("null");
    let Ok(shown) = ArrayFormatter::try_new(values, &options) else { return vec!["null".into(); values.len()] };
    (0..values.len())
        .map(|row| if values.is_null(row) { "null".into() } else { quote(&shown.value(row).to_string()) })
        .collect()
}
