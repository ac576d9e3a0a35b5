//! Where the boxes and lines of a picture go, left to right.
//!
//! The layered layout of Sugiyama, Tagawa and Toda (1981): a node's layer is its distance from the sources; a line that passes
//! a layer gets a lane in it, so that it runs between boxes and never through them; sweeps that sort each layer by the mean
//! place of its neighbours untangle the lines (the barycentre heuristic); then each box moves as near to the height of its
//! neighbours as the others of its layer let it (least squares under an order: isotonic regression by pooling adjacent violators).
//!
//! Lines to the same port share their lanes: ten lines of errors to one sink are one line with ten branches.

use super::Line;
use crate::Plan;
use petgraph::Direction::{Incoming, Outgoing};
use petgraph::graph::NodeIndex;
use std::collections::HashMap;

/// Space between two boxes of a layer; around a lane it is less.
const GAP: f64 = 24.0;
const LANE_GAP: f64 = 11.0;
pub(super) const MARGIN: f64 = 24.0;
/// Rounds of sorting and of moving.
const SWEEPS: usize = 12;
/// A graph with more lanes than this gets lines straight across: nobody reads such a picture, but it must come.
const LANES: usize = 50_000;
/// Least space between two columns, for a line to bend in.
const BEND: f64 = 40.0;

/// How large things are; only who draws them knows.
pub(super) struct Sizes {
    /// By node index: width and height of its box.
    pub boxes: Vec<(f64, f64)>,
    /// By edge: where it leaves and enters, as parts of the height of the box.
    pub ends: Vec<(f64, f64)>,
    /// By edge: how far it is level after its first box, and before its last, for words to stand on it.
    pub leads: Vec<(f64, f64)>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Rect {
    pub x: f64,
    pub y: f64,
    pub width: f64,
    pub height: f64,
}

pub(super) struct Layout {
    pub width: f64,
    pub height: f64,
    /// By node index.
    pub boxes: Vec<Rect>,
    /// By edge: the points of its line. From the first to the second it is level, then it may bend to the third, then it is level
    /// again, and so on; it ends level. A line that joins an earlier one ends there.
    pub routes: Vec<Vec<(f64, f64)>>,
    /// By edge: whether it ends at another line and not at its box.
    pub joins: Vec<bool>,
}

/// A box or a lane of one layer.
struct Place {
    layer: usize,
    node: Option<NodeIndex>,
    height: f64,
    /// Its middle.
    y: f64,
    /// Number in its layer.
    rank: usize,
    /// Neighbours in the layers before and after; the part is where on the box *of this place* the line ends, from its middle.
    before: Vec<Link>,
    after: Vec<Link>,
}

#[derive(Clone, Copy)]
struct Link {
    to: usize,
    /// From the middle of this place and of the other one.
    own: f64,
    other: f64,
}

pub(super) fn layout(plan: &Plan, lines: &[Line], sizes: &Sizes) -> Layout {
    let depth = depths(plan);
    let layers = depth.iter().max().map_or(0, |d| d + 1);
    let mut places: Vec<Place> =
        plan.in_order().into_iter().map(|n| Place::new(depth[n.index()], Some(n), sizes.boxes[n.index()].1)).collect();
    let mut place_of = vec![0; places.len()];
    places.iter().enumerate().for_each(|(i, p)| place_of[p.node.map_or(0, |n| n.index())] = i);
    let ways = lanes(lines, sizes, &depth, &place_of, &mut places);

    let mut order: Vec<Vec<usize>> = vec![vec![]; layers];
    places.iter().enumerate().for_each(|(i, p)| order[p.layer].push(i));
    order.iter().for_each(|layer| rank(layer, &mut places));
    untangle(&mut order, &mut places);
    level(&order, &mut places);

    // Columns as wide as their widest box, gaps as wide as their longest words and a bend.
    let mut widths = vec![0.0_f64; layers];
    plan.graph
        .node_indices()
        .for_each(|n| widths[depth[n.index()]] = widths[depth[n.index()]].max(sizes.boxes[n.index()].0));
    // Of each gap the level parts at its left and right.
    let mut leads = vec![(0.0_f64, 0.0_f64); layers];
    for (line, lead) in lines.iter().zip(&sizes.leads) {
        let (from, to) = (depth[line.from.index()], depth[line.to.index()]);
        leads[from].0 = leads[from].0.max(sizes.boxes[line.from.index()].0 + lead.0 - widths[from]);
        leads[to - 1].1 = leads[to - 1].1.max(lead.1);
    }
    let mut lefts = Vec::with_capacity(layers);
    let mut x = MARGIN;
    for layer in 0..layers {
        lefts.push(x);
        x += widths[layer] + if layer + 1 < layers { leads[layer].0 + BEND + leads[layer].1 } else { MARGIN };
    }

    let top = places.iter().map(|p| p.y - p.height / 2.0).fold(f64::INFINITY, f64::min) - MARGIN;
    let bottom = places.iter().map(|p| p.y + p.height / 2.0).fold(f64::NEG_INFINITY, f64::max) + MARGIN;
    let mut boxes = vec![Rect { x: 0.0, y: 0.0, width: 0.0, height: 0.0 }; plan.graph.node_count()];
    for place in &places {
        if let Some(n) = place.node {
            let y = place.y - place.height / 2.0 - top;
            boxes[n.index()] = Rect { x: lefts[place.layer], y, width: sizes.boxes[n.index()].0, height: place.height };
        }
    }
    let routes = lines.iter().zip(&ways).zip(&sizes.ends).map(|((line, way), ends)| {
        let (from, to) = (boxes[line.from.index()], boxes[line.to.index()]);
        let (first, last) = (depth[line.from.index()], depth[line.to.index()] - 1);
        let (y1, y2) = (from.y + from.height * ends.0, to.y + to.height * ends.1);
        let mut route = vec![(from.x + from.width, y1), (lefts[first] + widths[first] + leads[first].0, y1)];
        for &lane in &way.lanes {
            let Place { layer, y, .. } = places[lane];
            route.push((lefts[layer] - leads[layer - 1].1, y - top));
            route.push((lefts[layer] + widths[layer] + leads[layer].0, y - top));
        }
        if way.joins {
            route.pop();
        } else {
            route.extend([(to.x - leads[last].1, y2), (to.x, y2)]);
        }
        route
    });
    let joins = ways.iter().map(|w| w.joins).collect();
    Layout { width: x, height: bottom - top, routes: routes.collect(), joins, boxes }
}

/// The longest way from a source; a source stands right before the first that reads it.
fn depths(plan: &Plan) -> Vec<usize> {
    let graph = &plan.graph;
    let mut depth = vec![0; graph.node_count()];
    let order = plan.in_order();
    for &n in &order {
        let before = graph.neighbors_directed(n, Incoming).map(|m| depth[m.index()] + 1);
        depth[n.index()] = before.max().unwrap_or(0);
    }
    for &n in order.iter().filter(|n| graph.neighbors_directed(**n, Incoming).next().is_none()) {
        let after = graph.neighbors_directed(n, Outgoing).map(|m| depth[m.index()]).min();
        depth[n.index()] = after.map_or(0, |d| d - 1);
    }
    depth
}

impl Place {
    fn new(layer: usize, node: Option<NodeIndex>, height: f64) -> Place {
        Place { layer, node, height, y: 0.0, rank: 0, before: vec![], after: vec![] }
    }
}

/// The lanes that a line takes, up to the first one that it shares with an earlier line.
#[derive(Default)]
struct Way {
    lanes: Vec<usize>,
    joins: bool,
}

/// Makes the lanes and links the places.
fn lanes(lines: &[Line], sizes: &Sizes, depth: &[usize], place_of: &[usize], places: &mut Vec<Place>) -> Vec<Way> {
    let nodes = places.len();
    let mut shared: HashMap<(NodeIndex, bool, u64, usize), usize> = HashMap::new();
    let mut ways = Vec::with_capacity(lines.len());
    for (line, ends) in lines.iter().zip(&sizes.ends) {
        let (from, to) = (place_of[line.from.index()], place_of[line.to.index()]);
        let passed = depth[line.from.index()] + 1..depth[line.to.index()];
        let mut way = Way::default();
        if places.len() - nodes + passed.len() > LANES {
            // A line straight across several layers tells nothing about neighbours.
            ways.push(way);
            continue;
        }
        let offset = |place: &Place, part: f64| place.height * (part - 0.5);
        let (mut last, mut own) = (from, offset(&places[from], ends.0));
        for layer in passed {
            let lane = shared.entry((line.to, line.errors, ends.1.to_bits(), layer)).or_insert(usize::MAX);
            way.joins = *lane != usize::MAX;
            if !way.joins {
                *lane = places.len();
                places.push(Place::new(layer, None, 0.0));
            }
            way.lanes.push(*lane);
            link(places, last, *lane, own, 0.0);
            (last, own) = (*lane, 0.0);
            if way.joins {
                break;
            }
        }
        if !way.joins {
            let other = offset(&places[to], ends.1);
            link(places, last, to, own, other);
        }
        ways.push(way);
    }
    ways
}

fn link(places: &mut [Place], from: usize, to: usize, own: f64, other: f64) {
    places[from].after.push(Link { to, own, other });
    places[to].before.push(Link { to: from, own: other, other: own });
}

fn rank(layer: &[usize], places: &mut [Place]) {
    layer.iter().enumerate().for_each(|(rank, p)| places[*p].rank = rank);
}

/// Sorts the layers until fewer lines cross; keeps the best order seen.
fn untangle(order: &mut Vec<Vec<usize>>, places: &mut [Place]) {
    let mut best = (crossings(order, places), order.clone());
    for sweep in 0..SWEEPS {
        if best.0 == 0 {
            break;
        }
        let count = order.len();
        for i in 0..count {
            let forward = sweep % 2 == 0;
            let layer = &mut order[if forward { i } else { count - 1 - i }];
            let mut keyed: Vec<(f64, usize)> =
                layer.iter().map(|p| (mean_rank(&places[*p], places, forward), *p)).collect();
            keyed.sort_by(|a, b| a.0.total_cmp(&b.0));
            *layer = keyed.into_iter().map(|(_, p)| p).collect();
            rank(layer, places);
        }
        let now = crossings(order, places);
        if now < best.0 {
            best = (now, order.clone());
        }
    }
    *order = best.1;
    order.iter().for_each(|layer| rank(layer, places));
}

/// Mean rank of the neighbours on one side, finer by where on their boxes the lines end; its own rank where it has none.
fn mean_rank(place: &Place, places: &[Place], forward: bool) -> f64 {
    let links = if forward { &place.before } else { &place.after };
    let sum: f64 = links.iter().map(|l| places[l.to].rank as f64 + l.other / 1000.0).sum();
    if links.is_empty() { place.rank as f64 } else { sum / links.len() as f64 }
}

/// Pairs of lines that cross between neighbouring layers: inversions, counted with a Fenwick tree.
fn crossings(order: &[Vec<usize>], places: &[Place]) -> u64 {
    let mut sum = 0;
    for layer in order {
        // Where each line starts and ends: number of the box or lane, and how far up or down on it.
        let links = layer
            .iter()
            .flat_map(|p| places[*p].after.iter().map(|l| (places[*p].rank, l.own, places[l.to].rank, l.other)));
        let mut links: Vec<_> = links.collect();
        let before = |a: (usize, f64), b: (usize, f64)| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1));
        links.sort_by(|a, b| before((a.2, a.3), (b.2, b.3)));
        let mut ends = Vec::with_capacity(links.len());
        for (i, link) in links.iter().enumerate() {
            let same = i > 0 && before((links[i - 1].2, links[i - 1].3), (link.2, link.3)).is_eq();
            let end = ends.last().map_or(1, |(_, end)| end + usize::from(!same));
            ends.push(((link.0, link.1), end));
        }
        ends.sort_by(|a, b| before(a.0, b.0).then(a.1.cmp(&b.1)));
        let mut tree = vec![0u64; ends.len() + 1];
        let mut seen = 0;
        // Lines that leave together do not cross: all of them look before any of them is noted.
        for together in ends.chunk_by(|a, b| before(a.0, b.0).is_eq()) {
            for (_, end) in together {
                let (mut at, mut not_below) = (*end, 0);
                while at > 0 {
                    not_below += tree[at];
                    at &= at - 1;
                }
                sum += seen - not_below;
            }
            for (_, end) in together {
                let mut at = *end;
                while at < tree.len() {
                    tree[at] += 1;
                    at += at & at.wrapping_neg();
                }
                seen += 1;
            }
        }
    }
    sum
}

/// Gives every place a height of its own, near those of its neighbours.
fn level(order: &[Vec<usize>], places: &mut [Place]) {
    for layer in order {
        let mut y = 0.0;
        for (i, &p) in layer.iter().enumerate() {
            if i > 0 {
                y += apart(&places[layer[i - 1]], &places[p]);
            }
            places[p].y = y;
        }
        layer.iter().for_each(|p| places[*p].y -= y / 2.0);
    }
    for sweep in 0..2 * SWEEPS {
        for i in 0..order.len() {
            let forward = sweep % 2 == 0;
            let layer = &order[if forward { i } else { order.len() - 1 - i }];
            let last = sweep + 2 >= 2 * SWEEPS;
            let wanted: Vec<(f64, f64)> = layer.iter().map(|p| wish(&places[*p], places, forward, last)).collect();
            pool(layer, &wanted, places);
        }
    }
    // At last lines go straight on, unless a box is in the way.
    for layer in order {
        let lane_before = |p: &Place| p.before.iter().find(|l| places[l.to].node.is_none()).map(|l| places[l.to].y);
        let wanted = layer.iter().map(|p| {
            let place = &places[*p];
            match (place.node, lane_before(place)) {
                (None, Some(y)) => (y, 1.0),
                _ => (place.y, 1000.0),
            }
        });
        let wanted: Vec<(f64, f64)> = wanted.collect();
        pool(layer, &wanted, places);
    }
}

fn apart(above: &Place, below: &Place) -> f64 {
    let gap = if above.node.is_some() && below.node.is_some() { GAP } else { LANE_GAP };
    (above.height + below.height) / 2.0 + gap
}

/// The height that a place would like, and how much. Lanes are the stubborn ones: a line should bend at boxes.
fn wish(place: &Place, places: &[Place], forward: bool, both: bool) -> (f64, f64) {
    let (side, other) = if forward { (&place.before, &place.after) } else { (&place.after, &place.before) };
    let (mut sum, mut weight) = (0.0, 0.0);
    let used = if both || side.is_empty() { other.as_slice() } else { &[] };
    for link in side.iter().chain(used) {
        let to = &places[link.to];
        let heavy = match (place.node, to.node) {
            (None, None) => 8.0,
            (Some(_), Some(_)) => 2.0,
            _ => 1.0,
        };
        // A line in the middle of both boxes is the main one.
        let heavy = if link.own == 0.0 && link.other == 0.0 { heavy * 4.0 } else { heavy };
        sum += heavy * (to.y + link.other - link.own);
        weight += heavy;
    }
    if weight == 0.0 { (place.y, 0.1) } else { (sum / weight, if place.node.is_some() { 1.0 } else { 2.0 }) }
}

/// The nearest heights to the wanted ones that keep the order and the distances.
fn pool(layer: &[usize], wanted: &[(f64, f64)], places: &mut [Place]) {
    // Blocks of places that touch: weight, weighted sum of what they want of the first one, and how many.
    let mut blocks: Vec<(f64, f64, usize)> = vec![];
    let mut offsets = Vec::with_capacity(layer.len());
    let mut offset = 0.0;
    for (i, &p) in layer.iter().enumerate() {
        if i > 0 {
            offset += apart(&places[layer[i - 1]], &places[p]);
        }
        offsets.push(offset);
        let (y, weight) = wanted[i];
        let mut block = (weight, weight * (y - offset), 1);
        while let Some(before) = blocks.pop_if(|b| b.1 / b.0 >= block.1 / block.0) {
            block = (before.0 + block.0, before.1 + block.1, before.2 + block.2);
        }
        blocks.push(block);
    }
    let mut at = 0;
    for (weight, sum, count) in blocks {
        for i in at..at + count {
            places[layer[i]].y = sum / weight + offsets[i];
        }
        at += count;
    }
}
