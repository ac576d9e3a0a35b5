//! The plan as an SVG picture: nodes in columns by their distance from the sources, ordered to keep edges short.
//!
//! The layout is the layered one of Sugiyama, Tagawa and Toda (1981) in its simplest form: longest-path layers, then some
//! sweeps that sort each layer by the mean place of its neighbours (the barycentre heuristic).

use super::lines;
use crate::{Plan, Schedule};
use petgraph::Direction::{self, Incoming, Outgoing};
use petgraph::graph::NodeIndex;
use std::fmt::Write;

const BOX: (f64, f64) = (170.0, 44.0);
const GAP: (f64, f64) = (90.0, 26.0);
const MARGIN: f64 = 20.0;
const SWEEPS: usize = 8;

pub fn svg(plan: &Plan, schedule: &Schedule) -> String {
    let layers = layers(plan);
    let tallest = layers.iter().map(Vec::len).max().unwrap_or(0) as f64;
    let height = tallest * (BOX.1 + GAP.1) - GAP.1 + 2.0 * MARGIN;
    let width = layers.len() as f64 * (BOX.0 + GAP.0) - GAP.0 + 2.0 * MARGIN;
    let mut at = vec![(0.0, 0.0); plan.graph.node_count()];
    for (x, layer) in layers.iter().enumerate() {
        let used = layer.len() as f64 * (BOX.1 + GAP.1) - GAP.1;
        for (y, n) in layer.iter().enumerate() {
            let top = (height - used) / 2.0 + y as f64 * (BOX.1 + GAP.1);
            at[n.index()] = (MARGIN + x as f64 * (BOX.0 + GAP.0), top);
        }
    }
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" width=\"{width:.0}\" height=\"{height:.0}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <defs><marker id=\"a\" viewBox=\"0 0 8 8\" refX=\"8\" refY=\"4\" markerWidth=\"7\" markerHeight=\"7\" orient=\"auto\">\
         <path d=\"M0 0L8 4L0 8z\" fill=\"#555\"/></marker></defs>\n"
    );
    for line in lines(plan, schedule) {
        let (from, to) = (at[line.from.index()], at[line.to.index()]);
        let (x1, y1, x2, y2) = (from.0 + BOX.0, from.1 + BOX.1 / 2.0, to.0, to.1 + BOX.1 / 2.0);
        let bend = (x2 - x1) / 2.0;
        let dash = if line.errors { " stroke-dasharray=\"4 3\"" } else { "" };
        let title = escape(&[line.label.as_str(), &line.how].join(" ").trim().to_string());
        let _ = writeln!(
            out,
            "<path d=\"M{x1:.0} {y1:.0}C{:.0} {y1:.0} {:.0} {y2:.0} {x2:.0} {y2:.0}\" fill=\"none\" stroke=\"#555\" \
             marker-end=\"url(#a)\"{dash}><title>{title}</title></path>",
            x1 + bend,
            x2 - bend
        );
        if !line.label.is_empty() {
            let (x, y) = ((x1 + x2) / 2.0, (y1 + y2) / 2.0 - 4.0);
            let label = escape(&line.label);
            let _ = writeln!(out, "<text x=\"{x:.0}\" y=\"{y:.0}\" text-anchor=\"middle\" font-size=\"10\" fill=\"#555\">{label}</text>");
        }
    }
    for n in plan.graph.node_indices() {
        let (node, (x, y)) = (&plan.graph[n], at[n.index()]);
        let fill = match node.role {
            selvedge_node::Role::Source => "#e3f1e3",
            selvedge_node::Role::Transform => "#eef1f7",
            selvedge_node::Role::Sink => "#f7ece0",
        };
        let kind = format!("{} ×{}", node.kind, schedule.instances(n));
        let middle = x + BOX.0 / 2.0;
        let _ = writeln!(
            out,
            "<rect x=\"{x:.0}\" y=\"{y:.0}\" width=\"{}\" height=\"{}\" rx=\"5\" fill=\"{fill}\" stroke=\"#555\"/>\
             <text x=\"{middle:.0}\" y=\"{:.0}\" text-anchor=\"middle\" font-weight=\"bold\">{}</text>\
             <text x=\"{middle:.0}\" y=\"{:.0}\" text-anchor=\"middle\" fill=\"#555\">{}</text>",
            BOX.0,
            BOX.1,
            y + 18.0,
            escape(&short(&node.name)),
            y + 34.0,
            escape(&short(&kind))
        );
    }
    out.push_str("</svg>\n");
    out
}

fn layers(plan: &Plan) -> Vec<Vec<NodeIndex>> {
    let graph = &plan.graph;
    let mut depth = vec![0; graph.node_count()];
    let order = plan.in_order();
    for &n in &order {
        let before = graph.neighbors_directed(n, Incoming).map(|m| depth[m.index()] + 1);
        depth[n.index()] = before.max().unwrap_or(0);
    }
    let mut layers = vec![vec![]; depth.iter().max().map_or(0, |d| d + 1)];
    order.iter().for_each(|n| layers[depth[n.index()]].push(*n));
    let mut place = vec![0.0; graph.node_count()];
    let note = |layer: &[NodeIndex], place: &mut [f64]| {
        layer.iter().enumerate().for_each(|(i, n)| place[n.index()] = i as f64 - layer.len() as f64 / 2.0);
    };
    layers.iter().for_each(|l| note(l, &mut place));
    for sweep in 0..SWEEPS {
        let forward = sweep % 2 == 0;
        let towards = if forward { Incoming } else { Outgoing };
        let count = layers.len();
        for i in 0..count {
            let layer = &mut layers[if forward { i } else { count - 1 - i }];
            layer.sort_by(|a, b| mean(plan, *a, towards, &place).total_cmp(&mean(plan, *b, towards, &place)));
            note(layer, &mut place);
        }
    }
    layers
}

/// Mean place of the neighbours on one side; its own place where it has none.
fn mean(plan: &Plan, n: NodeIndex, side: Direction, place: &[f64]) -> f64 {
    let (mut sum, mut count) = (0.0, 0);
    for m in plan.graph.neighbors_directed(n, side) {
        sum += place[m.index()];
        count += 1;
    }
    if count == 0 { place[n.index()] } else { sum / f64::from(count) }
}

fn short(text: &str) -> String {
    const SHOWN: usize = 22;
    match text.char_indices().nth(SHOWN) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_string(),
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
