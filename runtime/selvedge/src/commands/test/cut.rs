//! Cuts the part out of a planned graph that a test is about: what is given takes the place of nodes and all before them, and
//! what leaves the part is kept.

use super::case::{Case, EventTime, is_time, table, widened};
use super::stand_ins::{Found, Given, Keep};
use arrow::array::RecordBatch;
use petgraph::Direction::{Incoming, Outgoing};
use petgraph::graph::NodeIndex;
use petgraph::visit::EdgeRef;
use selvedge_node::{ERRORS_PORT, Input, Partitioning, Problem, Problems, Role, Span, Work, errors_schema};
use selvedge_plan::{Edge, Node, Plan, PortOut};
use selvedge_ron::similar;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The part of a graph, ready to run.
pub struct Part {
    pub plan: Plan,
    pub found: Found,
    /// What must be found, by place.
    pub expected: BTreeMap<String, RecordBatch>,
    /// The nodes that do their own work.
    pub own: BTreeSet<String>,
    /// Whether the size of batches is for the test to say: event time goes on row by row.
    pub by_row: bool,
}

/// `unique`, or `sessions.late`.
fn place(plan: &Plan, text: &str, span: Span) -> Result<(NodeIndex, usize), Problem> {
    let node = |name: &str| plan.graph.node_indices().find(|&n| plan.graph[n].name == name);
    if let Some(n) = node(text) {
        return Ok((n, 0));
    }
    if let Some((name, port)) = text.rsplit_once('.')
        && let Some(n) = node(name)
    {
        let ports = &plan.graph[n].outputs;
        let found = ports.iter().position(|p| p.name == port);
        return found.map(|port| (n, port)).ok_or_else(|| {
            let known = ports.iter().map(|p| p.name.as_str()).collect::<Vec<_>>().join("`, `");
            Problem::error(span, format!("`{name}` has no port `{port}`")).help(format!("there is `{known}`"))
        });
    }
    let near = similar(text, plan.graph.node_weights().map(|n| n.name.as_str()));
    Err(Problem::unknown(span, "node", text, near))
}

fn named(node: &Node, port: usize) -> String {
    if port == 0 { node.name.clone() } else { format!("{}.{}", node.name, node.outputs[port].name) }
}

pub fn cut(mut plan: Plan, case: &Case, batch_rows: usize) -> Result<Part, Problems> {
    let mut problems = Problems::default();
    let mut given: BTreeMap<NodeIndex, Vec<(usize, RecordBatch, Option<EventTime>)>> = BTreeMap::new();
    for (text, rows) in &case.inputs {
        let Some((n, port)) = problems.take(place(&plan, text, rows.span)) else { continue };
        let Some(schema) = plan.graph[n].outputs.get(port).filter(|_| plan.graph[n].role != Role::Sink) else {
            problems.push(Problem::error(rows.span, format!("`{text}` is a sink: nothing leaves it")));
            continue;
        };
        let what = format!("what `{text}` sends");
        let read = table(&rows.value.rows, &schema.schema, &what, rows.span)
            .and_then(|read| widened(&read, &schema.schema, &what, rows.span))
            .and_then(|read| timed(&read, rows.value.event_time.as_ref(), rows.span).map(|()| read));
        if let Some(read) = problems.take(read) {
            given.entry(n).or_default().push((port, read, rows.value.event_time.clone()));
        }
    }
    // What the test looks at, and what must be known of it.
    let mut looked_at: Vec<NodeIndex> = vec![];
    let (mut outputs, mut expected) = (BTreeSet::new(), BTreeMap::new());
    for (text, rows) in &case.outputs {
        let Some((n, port)) = problems.take(place(&plan, text, rows.span)) else { continue };
        let node = &plan.graph[n];
        let schema = match node.role {
            Role::Sink => &node.inputs[0].schema,
            _ => &node.outputs[port].schema,
        };
        let what = format!("what `{text}` {}", if node.role == Role::Sink { "takes" } else { "sends" });
        if let Some(read) = problems.take(table(&rows.value, schema, &what, rows.span)) {
            expected.insert(text.clone(), read);
        }
        looked_at.push(n);
        outputs.insert((n, port));
    }
    for text in &case.wanted {
        let Some((n, port)) = problems.take(place(&plan, text, Span::default())) else { continue };
        looked_at.push(n);
        outputs.insert((n, port));
    }
    for name in [&case.dropped, &case.rejected, &case.altered].into_iter().flat_map(|reasons| reasons.keys()) {
        looked_at.extend(problems.take(place(&plan, name, Span::default())).map(|(n, _)| n));
    }
    let real: Vec<NodeIndex> =
        case.real.iter().filter_map(|name| problems.take(place(&plan, name, name.span))).map(|(n, _)| n).collect();
    if looked_at.is_empty() {
        problems.push(Problem::nowhere("the test looks at nothing").help("outputs: { \"node\": \"…\" }"));
    }
    problems.or(())?;
    let mut problems = Problems::default();

    // Backwards from there to what is given.
    let mut kept = BTreeSet::new();
    while let Some(n) = looked_at.pop() {
        if kept.insert(n) && !given.contains_key(&n) {
            looked_at.extend(plan.graph.neighbors_directed(n, Incoming));
        }
    }
    for &n in &kept {
        let node = &plan.graph[n];
        if node.role == Role::Source && !given.contains_key(&n) && !real.contains(&n) {
            let help =
                format!("inputs: {{ \"{0}\": \"…\" }}, or real: [\"{0}\"] if it may be read as it is", node.name);
            problems
                .push(Problem::nowhere(format!("`{}` reads from outside: it has to be given", node.name)).help(help));
        }
    }
    for n in given.keys().filter(|n| !kept.contains(n)) {
        let message = format!("`{}` is given, but what the test looks at does not come from it", plan.graph[*n].name);
        problems.push(Problem::nowhere(message));
    }
    problems.or(())?;

    let found = Found::default();
    let mut own = BTreeSet::new();
    let by_row = given.values().flatten().any(|(.., event_time)| event_time.is_some());
    for &n in &kept {
        let unbounded = plan.graph[n].inputs.iter().any(|input| input.unbounded);
        let node = &mut plan.graph[n];
        if let Some(ports) = given.remove(&n) {
            node.work = Work::Source(Arc::new(Given { ports, batch_rows }));
            (node.role, node.partitioning, node.inputs) = (Role::Source, Partitioning::Any, vec![]);
            (node.may_reject, node.saves) = (false, false);
            node.unbounded |= unbounded;
        } else if node.role == Role::Sink {
            let (place, schema) = (node.name.clone(), node.inputs[0].schema.clone());
            node.work = Work::Sink(Arc::new(Keep { place, schema, found: found.clone() }));
            (node.partitioning, node.visible_at_once) = (Partitioning::Any, false);
        } else {
            own.insert(node.name.clone());
        }
    }
    // Nothing may be lost on the way out, whoever would have read it.
    let mut leaving: BTreeSet<(NodeIndex, usize)> =
        outputs.into_iter().filter(|&(n, _)| plan.graph[n].role != Role::Sink).collect();
    for &n in &kept {
        let out = plan.graph.edges_directed(n, Outgoing).filter(|e| !kept.contains(&e.target()));
        leaving.extend(out.map(|e| (n, e.weight().from)));
    }
    for (n, port) in leaving {
        let node = &plan.graph[n];
        let (place, span, unbounded) =
            (named(node, port), node.span, node.unbounded || node.inputs.iter().any(|i| i.unbounded));
        let schema = node.outputs[port].schema.clone();
        let input = Input { port: "in".into(), schema: schema.clone(), span, unbounded };
        let sink = plan.graph.add_node(Node {
            name: format!("what leaves {place}"),
            kind: "Test".into(),
            role: Role::Sink,
            span,
            inputs: vec![input],
            outputs: vec![PortOut { name: ERRORS_PORT.into(), schema: errors_schema() }],
            partitioning: Partitioning::Any,
            ordered: false,
            may_reject: false,
            unbounded: false,
            saves: false,
            flushes_once: false,
            visible_at_once: false,
            replaces: false,
            publish_every: None,
            notes: vec![],
            work: Work::Sink(Arc::new(Keep { place, schema, found: found.clone() })),
        });
        plan.graph.add_edge(n, sink, Edge { from: port, to: 0, span });
        kept.insert(sink);
    }
    plan.graph.retain_edges(|graph, e| {
        let (from, to) = graph.edge_endpoints(e).unwrap_or_default();
        let cut = matches!(graph[to].work, Work::Source(_));
        kept.contains(&from) && kept.contains(&to) && !cut
    });
    plan.graph.retain_nodes(|_, n| kept.contains(&n));
    Ok(Part { plan, found, expected, own, by_row })
}

/// Whether the column of event time is there and can be one.
fn timed(rows: &RecordBatch, time: Option<&EventTime>, span: Span) -> Result<(), Problem> {
    let Some(time) = time else { return Ok(()) };
    match rows.schema().field_with_name(&time.column) {
        Ok(field) if is_time(field.data_type()) => Ok(()),
        Ok(field) => {
            let message =
                format!("`{}` is {}, and event time is a timestamp or a date", time.column, field.data_type());
            Err(Problem::error(span, message))
        }
        Err(_) => Err(Problem::error(span, format!("no column `{}` for event time", time.column))),
    }
}
