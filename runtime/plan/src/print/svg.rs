//! The plan as an SVG picture: boxes are nodes, lines are edges, drawn by how rows travel on them.

use super::layout::{Layout, MARGIN, Rect, Sizes, layout};
use super::{Line, lines, text};
use crate::{Delivery, Plan, Schedule};
use selvedge_node::Role;
use std::fmt::Write;

/// Height of a box with one line on each side, and of each further line.
const BOX: f64 = 44.0;
const PORT: f64 = 17.0;
/// Lines on one side that make a box taller; with more they stand closer.
const PORTS: usize = 16;
/// Characters that are shown of a name, and of the words on a line.
const NAME: usize = 30;
const WORDS: usize = 26;
/// Height of the line that explains the lines.
const LEGEND: f64 = 28.0;

pub fn svg(plan: &Plan, schedule: &Schedule) -> String {
    let lines = lines(plan, schedule);
    let sizes = sizes(plan, schedule, &lines);
    let layout = layout(plan, &lines, &sizes);
    let legend = legend(&lines, layout.height);
    let width = layout.width.max(legend.1);
    let height = layout.height + if legend.0.is_empty() { 0.0 } else { LEGEND };
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" width=\"{width:.0}\" \
         height=\"{height:.0}\" font-family=\"Helvetica, Arial, sans-serif\" font-size=\"11\">\n\
         <title>{}</title>\n<defs>",
        escape(&plan.name)
    );
    for (id, colour) in [("row", ROW), ("key", KEY), ("bad", BAD)] {
        let _ = write!(
            out,
            "<marker id=\"{id}\" viewBox=\"0 0 8 8\" refX=\"7.5\" refY=\"4\" markerWidth=\"7\" markerHeight=\"7\" \
             markerUnits=\"userSpaceOnUse\" orient=\"auto\"><path d=\"M0 .5L8 4L0 7.5z\" fill=\"{colour}\"/></marker>"
        );
    }
    let _ = writeln!(out, "</defs>\n<rect width=\"100%\" height=\"100%\" rx=\"8\" fill=\"#fff\"/>");
    draw_lines(&mut out, &lines, &layout);
    for n in plan.graph.node_indices() {
        draw_box(&mut out, plan, schedule, n, layout.boxes[n.index()]);
    }
    out.push_str(&legend.0);
    out.push_str("</svg>\n");
    out
}

const ROW: &str = "#4b5563";
const KEY: &str = "#6d4fc4";
const BAD: &str = "#c2513f";

/// Colour, width and dashes of a line.
fn style(delivery: Delivery, errors: bool) -> (&'static str, &'static str, f64, &'static str) {
    let (name, colour) = match (errors, delivery) {
        (true, _) => ("bad", BAD),
        (false, Delivery::Exchange) => ("key", KEY),
        (false, _) => ("row", ROW),
    };
    let dashes = if errors { " stroke-dasharray=\"5 3\"" } else { "" };
    (name, colour, if delivery == Delivery::Chained { 2.4 } else { 1.2 }, dashes)
}

fn sizes(plan: &Plan, schedule: &Schedule, lines: &[Line]) -> Sizes {
    let graph = &plan.graph;
    let mut outs: Vec<Vec<usize>> = vec![vec![]; graph.node_count()];
    let mut ins = outs.clone();
    for line in lines {
        outs[line.from.index()].push(line.edge.from);
        ins[line.to.index()].push(line.edge.to);
    }
    outs.iter_mut().chain(&mut ins).for_each(|ports| {
        ports.sort_unstable();
        ports.dedup();
    });
    let mut boxes = Vec::with_capacity(graph.node_count());
    for n in graph.node_indices() {
        let node = &graph[n];
        let chars = |text: String| text.chars().count().min(NAME + 1) as f64;
        // Widths of the fonts' usual letters: a picture is made where no font can be asked.
        let width = (chars(node.name.clone()) * 7.7).max(chars(kind(plan, schedule, n)) * 6.2) + 24.0;
        let ports = outs[n.index()].len().max(ins[n.index()].len()).min(PORTS) as f64;
        boxes.push((width.max(110.0), BOX.max((ports + 1.0) * PORT)));
    }
    let ends = lines.iter().map(|line| {
        let (from, ports) = (&graph[line.from], &outs[line.from.index()]);
        // Rows leave in the middle, errors below them.
        let regular = ports.iter().filter(|p| **p != from.errors()).count();
        let start = if line.errors && regular > 0 {
            1.0 - 9.0 / boxes[line.from.index()].1
        } else {
            part(ports, line.edge.from, regular.max(1))
        };
        let ports = &ins[line.to.index()];
        (start, part(ports, line.edge.to, ports.len()))
    });
    let leads = lines.iter().map(|line| {
        let width = |words: &String| if words.is_empty() { 0.0 } else { words.chars().count() as f64 * 5.6 + 8.0 };
        let [start, end] = words(line);
        (width(&start), width(&end) + 8.0)
    });
    Sizes { ends: ends.collect(), leads: leads.collect(), boxes }
}

/// Where one of `count` ports is on the side of its box.
fn part(ports: &[usize], port: usize, count: usize) -> f64 {
    let at = ports.iter().position(|p| *p == port).unwrap_or(0);
    (at as f64 + 1.0) / (count as f64 + 1.0)
}

/// What is written where a line starts and where it ends.
fn words(line: &Line) -> [String; 2] {
    let how = (line.delivery == Delivery::Exchange).then(|| line.how.replacen("exchange ", "", 1));
    let end = [line.input.clone(), how].into_iter().flatten().collect::<Vec<_>>().join(" ");
    [short(line.output.as_deref().unwrap_or_default(), WORDS), short(&end, WORDS)]
}

fn draw_lines(out: &mut String, lines: &[Line], layout: &Layout) {
    // The same words at the same place are written once: several lines may meet there.
    let mut written = std::collections::HashSet::new();
    let mut write = |x: f64, y: f64, anchor: &str, colour: &str, words: &str| {
        let text = format!(
            "<text x=\"{x:.0}\" y=\"{y:.0}\" text-anchor=\"{anchor}\" font-size=\"10\" fill=\"{colour}\">{}</text>\n",
            escape(words)
        );
        if words.is_empty() || !written.insert(text.clone()) { String::new() } else { text }
    };
    let mut texts = String::new();
    for ((line, route), joins) in lines.iter().zip(&layout.routes).zip(&layout.joins) {
        let (marker, colour, width, dashes) = style(line.delivery, line.errors);
        let mut path = String::new();
        for (i, (x, y)) in route.iter().enumerate() {
            let _ = match i {
                0 => write!(path, "M{x:.1} {y:.1}"),
                i if i % 2 == 1 => write!(path, "H{x:.1}"),
                // Level at both of its ends.
                i => {
                    let (from, middle) = (route[i - 1], (route[i - 1].0 + x) / 2.0);
                    write!(path, "C{middle:.1} {:.1} {middle:.1} {y:.1} {x:.1} {y:.1}", from.1)
                }
            };
        }
        let title =
            [line.label.as_str(), &line.how].into_iter().filter(|w| !w.is_empty()).collect::<Vec<_>>().join(", ");
        let _ = writeln!(
            out,
            "<path d=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"{width}\"{dashes}{}>\
             <title>{}</title></path>",
            if *joins { String::new() } else { format!(" marker-end=\"url(#{marker})\"") },
            escape(&title)
        );
        let ([first, last], (Some(start), Some(end))) = (words(line), (route.first(), route.last())) else { continue };
        texts.push_str(&write(start.0 + 5.0, start.1 - 4.0, "start", colour, &first));
        if !joins {
            texts.push_str(&write(end.0 - 9.0, end.1 - 4.0, "end", colour, &last));
        }
    }
    out.push_str(&texts);
}

fn kind(plan: &Plan, schedule: &Schedule, n: petgraph::graph::NodeIndex) -> String {
    format!("{} ×{}", plan.graph[n].kind, schedule.instances(n))
}

fn draw_box(out: &mut String, plan: &Plan, schedule: &Schedule, n: petgraph::graph::NodeIndex, at: Rect) {
    let node = &plan.graph[n];
    let (fill, edge) = match node.role {
        Role::Source => ("#e6f4ea", "#4c8f62"),
        Role::Transform => ("#eef2fa", "#5b76ad"),
        Role::Sink => ("#fdf0e1", "#b9813a"),
    };
    let columns = node.outputs[..node.errors()].iter().map(|o| text::columns(&o.schema)).collect::<Vec<_>>().join("\n");
    let title = format!("{}: {}\n{columns}", node.name, node.kind);
    let (x, y, middle, centre) = (at.x, at.y, at.x + at.width / 2.0, at.y + at.height / 2.0);
    let _ = writeln!(
        out,
        "<g><title>{}</title><rect x=\"{x:.0}\" y=\"{y:.1}\" width=\"{:.0}\" height=\"{:.0}\" rx=\"6\" fill=\"{fill}\" \
         stroke=\"{edge}\"/><text x=\"{middle:.0}\" y=\"{:.1}\" text-anchor=\"middle\" font-size=\"13\" font-weight=\"bold\" \
         fill=\"#1f2937\">{}</text><text x=\"{middle:.0}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"#4b5563\">{}</text></g>",
        escape(title.trim_end()),
        at.width,
        at.height,
        centre - 3.0,
        escape(&short(&node.name, NAME)),
        centre + 13.0,
        escape(&short(&kind(plan, schedule, n), NAME))
    );
}

/// Explains the kinds of lines that there are, and how wide that is.
fn legend(lines: &[Line], top: f64) -> (String, f64) {
    let has = |delivery: Delivery| lines.iter().any(|l| !l.errors && l.delivery == delivery);
    let all = [
        (has(Delivery::Chained), Delivery::Chained, false, "same thread"),
        (has(Delivery::Shared), Delivery::Shared, false, "queue"),
        (has(Delivery::Exchange), Delivery::Exchange, false, "exchange by key"),
        (lines.iter().any(|l| l.errors), Delivery::Shared, true, "errors"),
    ];
    let mut out = String::new();
    let (mut x, y) = (MARGIN, top + 6.0);
    for (_, delivery, errors, words) in all.into_iter().filter(|(there, ..)| *there) {
        let (marker, colour, width, dashes) = style(delivery, errors);
        let _ = writeln!(
            out,
            "<path d=\"M{x:.0} {y:.0}h28\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"{width}\"{dashes} \
             marker-end=\"url(#{marker})\"/><text x=\"{:.0}\" y=\"{:.0}\" font-size=\"10\" fill=\"#4b5563\">{words}</text>",
            x + 34.0,
            y + 3.5
        );
        x += 34.0 + words.len() as f64 * 5.4 + 18.0;
    }
    (out, x)
}

fn short(text: &str, shown: usize) -> String {
    match text.char_indices().nth(shown) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_string(),
    }
}

/// For text and attributes. What XML cannot hold at all becomes a replacement character.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' => out.push('\n'),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}
