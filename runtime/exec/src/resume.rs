//! From a checkpoint to a run that goes on from it, and from an epoch that was closed to the next checkpoint.

use crate::checkpoint::{AllPositions, Bookmarks, Checkpoint, NodeState, Parts, Store};
use crate::epochs::Gathered;
use crate::ledger::Ledger;
use petgraph::graph::NodeIndex;
use selvedge_node::{Commit, Error, Partitioning, Pending, Work};
use selvedge_plan::{Node, Plan, Schedule};
use std::collections::{BTreeMap, HashMap};

/// Reasons in the ledger: rows that nodes held when a run ended with a checkpoint, and when another began with it.
pub(crate) const KEPT: &str = "kept for the next run";
pub(crate) const RESUMED: &str = "kept by the run before";

/// Finishes the commit of a run that ended between its checkpoint and the last of its sinks. Each sink does what is left to do.
pub(crate) fn recommit(plan: &Plan, last: &Checkpoint) -> std::result::Result<(), (Option<usize>, Error)> {
    // A run that ends by itself commits once, whichever run gets to it.
    let epoch = if last.unfinished.is_some() { 1 } else { last.epoch };
    let commit = Commit { run: last.run.clone(), epoch };
    for (name, pending) in &last.pending {
        let sink = plan.graph.node_indices().find_map(|n| match &plan.graph[n].work {
            Work::Sink(sink) if plan.graph[n].name == *name => Some((n.index(), sink)),
            _ => None,
        });
        let Some((n, sink)) = sink else {
            let message = format!(
                "the run `{}` has rows for a sink `{name}`, and was ended before it had published them",
                last.run
            );
            let help = "put that sink back for one run, or have it all forgotten: `selvedge bookmark reset`";
            return Err((None, Error::graph(message).help(help)));
        };
        sink.commit(&commit, pending).map_err(|error| (Some(n), error))?;
    }
    Ok(())
}

/// What must be the same for a run that was cut short to be gone on from: the graph, its threads, and what its sources read.
pub(crate) fn version(plan: &Plan, threads: usize) -> std::result::Result<String, (Option<usize>, Error)> {
    let mut version = format!("graph {} on {threads} threads", plan.fingerprint);
    for n in plan.graph.node_indices() {
        if let Work::Source(source) = &plan.graph[n].work {
            let read = source.version().map_err(|error| (Some(n.index()), error))?;
            version += &format!("; {} {read}", plan.graph[n].name);
        }
    }
    Ok(version)
}

/// Runs that can be gone back to before.
const PAST: usize = 30;

/// A run that ends by itself is over, and began at `before`: what is left of its last checkpoint.
pub(crate) fn over(last: Checkpoint, before: &AllPositions) -> Checkpoint {
    let Checkpoint { run, epoch, mut positions, mut bookmarks, .. } = last;
    bookmarks.rewound = None;
    if bookmarks.paused {
        positions = before.clone();
    } else if positions != *before {
        bookmarks.past.push((run.clone(), before.clone()));
        bookmarks.past.drain(..bookmarks.past.len().saturating_sub(PAST));
    }
    Checkpoint { run, epoch, positions, bookmarks, ..Checkpoint::default() }
}

/// Whether the sinks can take what the bookmarks would have read again.
pub(crate) fn may_repeat(plan: &Plan, last: &Checkpoint) -> std::result::Result<(), Error> {
    let Bookmarks { paused, rewound, .. } = &last.bookmarks;
    if *paused && plan.unbounded() {
        let message =
            "the bookmarks of this graph are paused, but it never ends: it would publish all it reads again and again";
        return Err(Error::graph(message).help(format!("let them go on: `selvedge bookmark resume {}`", plan.name)));
    }
    let Some(run) = rewound else { return Ok(()) };
    let sinks = plan.graph.node_weights().filter(|n| matches!(n.work, Work::Sink(_)) && !n.replaces);
    let names: Vec<String> = sinks.map(|n| format!("`{}`", n.name)).collect();
    if names.is_empty() {
        return Ok(());
    }
    let message = format!(
        "the bookmarks were rewound to before the run `{run}`, and {} would have its rows twice: what comes is added there",
        names.join(", ")
    );
    let help = format!(
        "use Upsert or Replace; or take those rows out, and say so: `selvedge bookmark rewind {} {run} --rows-are-out`",
        plan.name
    );
    Err(Error::graph(message).help(help))
}

/// Publishes what is left of a run that had begun to publish, where the next one cannot go on as it.
pub(crate) fn settle(
    plan: &Plan,
    store: &Store,
    last: Checkpoint,
) -> std::result::Result<Checkpoint, (Option<usize>, Error)> {
    recommit(plan, &last).map_err(|(n, error)| {
        let help = "put the graph and its connections back as they were for one run, or have that run forgotten, with what it has \
                    not published yet: `selvedge bookmark reset`";
        let error = Error { help: Some(error.help.unwrap_or_else(|| help.into())), ..error };
        (n, error.context(format!("publishing what the run `{}` has left", last.run)))
    })?;
    let before = last.unfinished.clone().unwrap_or_default().before;
    let left = over(last, &before);
    if left.remembers() { store.save(&left) } else { store.clear() }.map_err(|error| (None, error))?;
    store.sweep(&left);
    Ok(left)
}

/// Gives up a run that was cut short: the sources are where they were before it, and what its sinks have flushed is taken back.
pub(crate) fn anew(plan: &Plan, store: &Store, last: Checkpoint) -> selvedge_node::Result<Checkpoint> {
    let before = last.unfinished.unwrap_or_default().before;
    let (run, bookmarks) = (last.run, last.bookmarks);
    let fresh = Checkpoint { run, bookmarks, positions: before, ..Checkpoint::default() };
    if fresh.remembers() { store.save(&fresh) } else { store.clear() }?;
    store.sweep(&fresh);
    for node in plan.graph.node_weights() {
        if let (Work::Sink(sink), Some(pending)) = (&node.work, last.pending.get(&node.name)) {
            sink.abort(pending);
        }
    }
    Ok(fresh)
}

/// Whether the graph can go on from there; then what is new or gone, in words.
pub(crate) fn fits(plan: &Plan, last: &Checkpoint) -> std::result::Result<Vec<String>, (Option<usize>, Error)> {
    if !last.has_state() {
        return Ok(vec![]);
    }
    let begin_anew = "have all of it forgotten: `selvedge bookmark reset`";
    if !plan.resumable() {
        let message =
            "the last run has left what its nodes remember, but not all nodes of the graph can go on from there now";
        return Err((None, Error::graph(message).help(begin_anew)));
    }
    let mut notes = vec![];
    for n in plan.graph.node_indices() {
        let node = &plan.graph[n];
        match last.nodes.get(&node.name) {
            Some(state) if state.shape != shape(node) => {
                let message = format!(
                    "the last run remembers for `{}` what does not fit it any more: then {}; now {}",
                    node.name,
                    state.shape,
                    shape(node)
                );
                let help = format!("give the node another name to have it begin with nothing, or {begin_anew}");
                return Err((Some(n.index()), Error::graph(message).help(help)));
            }
            None if node.saves => notes.push(format!("`{}` is new: it begins with nothing to remember", node.name)),
            _ => {}
        }
    }
    let known = |name: &String| plan.graph.node_weights().any(|n| n.name == *name && n.saves);
    let gone = last.nodes.iter().filter(|(name, _)| !known(name));
    notes.extend(gone.map(|(name, state)| {
        format!("`{name}` is gone: what it remembered is dropped, {} rows that it held among it", state.rows)
    }));
    Ok(notes)
}

/// Whether a run of `new` can take over from one of `old` that is at work; then what is new or gone, in words.
pub fn succeeds(old: &Plan, new: &Plan) -> selvedge_node::Result<Vec<String>> {
    if old.name != new.name {
        let message = format!("the graph was named `{}` and is `{}` now", old.name, new.name);
        return Err(Error::graph(message).help("what a graph remembers belongs to its name"));
    }
    for (plan, which) in [(old, "the graph that runs"), (new, "the new one")] {
        let unsaved = plan.unsaved().next().map(|n| format!("cannot save what `{}` remembers", n.name));
        let why = if plan.unbounded() { unsaved } else { Some("ends by itself".into()) };
        if let Some(why) = why {
            return Err(Error::graph(format!("{which} {why}")).help("stop it, and start it anew"));
        }
    }
    let saves = old.graph.node_weights().filter(|node| node.saves);
    let state = |node: &Node| NodeState { shape: shape(node), ..NodeState::default() };
    let nodes = saves.map(|node| (node.name.clone(), state(node))).collect();
    fits(new, &Checkpoint { nodes, ..Checkpoint::default() }).map_err(|(_, error)| error)
}

/// What must stay as it is for a state to fit: the kind of a node, the columns that come in, and its keys.
pub fn shape(node: &Node) -> String {
    let ports = node.inputs.iter().enumerate().map(|(port, input)| {
        let columns = input.schema.fields().iter().map(|f| format!("{}: {}", f.name(), f.data_type()));
        let columns = columns.collect::<Vec<_>>().join(", ");
        match &node.partitioning {
            Partitioning::Keys(keys) => {
                let keys = keys[port].iter().map(|&k| input.schema.field(k).name().as_str());
                format!("({columns}) by {}", keys.collect::<Vec<_>>().join(", "))
            }
            _ => format!("({columns})"),
        }
    });
    format!("{} of {}", node.kind, ports.collect::<Vec<_>>().join(" and "))
}

/// What writers have flushed, by node.
pub(crate) fn by_node(gathered: &Gathered) -> HashMap<usize, Vec<Pending>> {
    let mut pending: HashMap<usize, Vec<Pending>> = HashMap::new();
    gathered.pending.iter().for_each(|(n, p)| pending.entry(*n).or_default().push(p.clone()));
    pending
}

/// Rows that each node with state holds.
pub(crate) fn held(plan: &Plan, ledger: &Ledger) -> HashMap<String, u64> {
    let nodes = plan.graph.node_indices().filter(|&n| plan.graph[n].saves);
    nodes.map(|n| (plan.graph[n].name.clone(), ledger.nodes[n.index()].held())).collect()
}

/// The next checkpoint: what is new, and of the last one what has not changed. At the end of a run that never ends, when all nodes have sent
/// what they `held`, only the positions are left.
pub(crate) fn next(
    plan: &Plan,
    schedule: &Schedule,
    last: &Checkpoint,
    gathered: &Gathered,
    commit: &Commit,
    held: Option<&HashMap<String, u64>>,
) -> Checkpoint {
    let name = |n: usize| plan.graph[NodeIndex::new(n)].name.clone();
    let mut next = Checkpoint {
        run: commit.run.clone(),
        epoch: commit.epoch,
        positions: last.positions.clone(),
        read: last.read.clone(),
        unfinished: last.unfinished.clone(),
        bookmarks: last.bookmarks.clone(),
        ..Default::default()
    };
    for (n, positions) in gathered.positions.iter().filter(|(_, p)| !p.is_empty()) {
        next.positions.entry(name(*n)).or_default().extend(positions.clone());
    }
    if let Some(held) = held {
        for (n, read) in gathered.read.iter().filter(|(_, read)| !read.is_empty()) {
            next.read.entry(name(*n)).or_default().extend(read.iter().cloned());
        }
        for n in plan.graph.node_indices().filter(|&n| plan.graph[n].saves) {
            let instances = vec![Parts::new(); schedule.instances(n)];
            let rows = held.get(&plan.graph[n].name).copied().unwrap_or(0);
            let state = NodeState { shape: shape(&plan.graph[n]), rows, instances };
            next.nodes.insert(name(n.index()), state);
        }
        for (n, instance, parts) in &gathered.states {
            if let Some(place) = next.nodes.get_mut(&name(*n)).and_then(|s| s.instances.get_mut(*instance)) {
                *place = parts.clone();
            }
        }
    } else {
        next.read = BTreeMap::new();
    }
    // Without a position to go on from, a run that is started again does everything again.
    if !next.positions.is_empty() || held.is_some() {
        let mut pending = by_node(gathered);
        for n in plan.graph.node_indices().filter(|&n| matches!(plan.graph[n].work, Work::Sink(_))) {
            let name = name(n.index());
            // What was flushed earlier in a run that has not published yet.
            let earlier = last.pending.get(&name).filter(|_| last.unfinished.is_some());
            let mut all = earlier.cloned().unwrap_or_default();
            all.extend(pending.remove(&n.index()).unwrap_or_default());
            next.pending.insert(name, all);
        }
    }
    next
}

/// Books what nodes held when the last run ended, so that the account of this one can be balanced.
pub(crate) fn restore(plan: &Plan, ledger: &Ledger, last: &Checkpoint) {
    for n in plan.graph.node_indices().filter(|&n| plan.graph[n].saves) {
        let rows = last.nodes.get(&plan.graph[n].name).map_or(0, |state| state.rows);
        if rows > 0 {
            ledger.nodes[n.index()].resumed(RESUMED, rows);
        }
    }
}

/// Books what nodes still hold when a run ends with a checkpoint.
pub(crate) fn keep(plan: &Plan, ledger: &Ledger) {
    for n in plan.graph.node_indices().filter(|&n| plan.graph[n].saves) {
        let node = &ledger.nodes[n.index()];
        let rows = node.held();
        if rows > 0 {
            node.kept(KEPT, rows);
        }
    }
}
