//! An order in which every node comes after those it reads, or the cycles that forbid one.

use crate::resolve::{Shell, Tie};
use selvedge_node::{Problem, Problems};

/// More cycles than this are one mistake made many times.
const REPORTED: usize = 10;
/// Nodes of a long cycle that are named.
const NAMED: usize = 8;

/// Every node after those it reads, as far as cycles allow; ties in the order of the text. Each edge that closes a cycle is
/// reported: with these cut there is none left.
///
/// A depth-first search along the inputs (Cormen et al., *Introduction to Algorithms*, 22.3), with a stack of its own: a graph may be
/// deeper than a thread's.
pub(crate) fn order(shells: &[Shell], ties: &[Tie], problems: &mut Problems) -> Vec<usize> {
    let mut incoming: Vec<Vec<&Tie>> = vec![vec![]; shells.len()];
    ties.iter().for_each(|t| incoming[t.to].push(t));

    #[derive(Clone, Copy, PartialEq)]
    enum Seen {
        Not,
        Open,
        Done,
    }
    let mut seen = vec![Seen::Not; shells.len()];
    let mut order = Vec::with_capacity(shells.len());
    let mut found = 0;
    for root in 0..shells.len() {
        if seen[root] != Seen::Not {
            continue;
        }
        // Each with how many of its inputs have been followed; a node reads the one above it in the stack.
        let mut stack = vec![(root, 0)];
        seen[root] = Seen::Open;
        while let Some((node, followed)) = stack.last_mut() {
            let Some(tie) = incoming[*node].get(*followed) else {
                seen[*node] = Seen::Done;
                order.push(*node);
                stack.pop();
                continue;
            };
            *followed += 1;
            match seen[tie.from] {
                Seen::Not => {
                    seen[tie.from] = Seen::Open;
                    stack.push((tie.from, 0));
                }
                Seen::Done => {}
                Seen::Open => {
                    found += 1;
                    if found <= REPORTED {
                        let from = stack.iter().position(|(n, _)| *n == tie.from).unwrap_or(0);
                        let around: Vec<&Tie> = stack[from..].iter().map(|(n, f)| incoming[*n][*f - 1]).collect();
                        problems.push(cycle(shells, &around));
                    }
                }
            }
        }
    }
    order
}

/// `around` holds the edges against the flow of rows: each leaves the node that the next one enters.
fn cycle(shells: &[Shell], around: &[&Tie]) -> Problem {
    // People write from sources to sinks: the input that points down the text the furthest is the suspect.
    let suspect = around.iter().max_by_key(|t| t.from as i64 - t.to as i64);
    let span = suspect.map_or(shells[0].span, |t| t.edge.span);
    let Some(start) = around.iter().map(|t| t.to).min() else {
        return Problem::error(span, "rows go round in a cycle");
    };
    if around.len() == 1 {
        let problem = Problem::error(span, format!("`{}` reads its own rows", shells[start].name));
        return problem.help("name the node before it");
    }
    // The flow of rows, from the node that comes first in the text.
    let mut names: Vec<usize> = around.iter().rev().map(|t| t.to).collect();
    let first = names.iter().position(|n| *n == start).unwrap_or(0);
    names.rotate_left(first);
    names.push(start);
    let name = |n: &usize| format!("`{}`", shells[*n].name);
    let way = if names.len() > NAMED + 2 {
        let left_out = names.len() - NAMED;
        let (head, tail) = (&names[..NAMED - 2], &names[names.len() - 2..]);
        let head = head.iter().map(name).collect::<Vec<_>>().join(" → ");
        format!("{head} → … {left_out} more … → {}", tail.iter().map(name).collect::<Vec<_>>().join(" → "))
    } else {
        names.iter().map(name).collect::<Vec<_>>().join(" → ")
    };
    Problem::error(span, format!("rows go round in a cycle: {way}"))
        .help("rows must run from sources to sinks; let one of these nodes read something else")
}
