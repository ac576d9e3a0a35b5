//! What nodes do, as their docs have it, row by row: no batches, no threads, no bounds. Written from the docs alone.

use super::ops::{Aggregate, Edit, Expression, How, Keep, Near, Op, Otherwise, Span, Test};
use super::rows::{Column, Row, Table, Type, Value, hundredths, key};
use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap, HashSet};

/// What leaves a node.
#[derive(Debug, Clone, Default)]
pub struct Leaves {
    /// By port.
    pub ports: Vec<Table>,
    /// Codes of rejected rows.
    pub errors: Vec<String>,
}

impl Test {
    /// `None` is SQL's null.
    fn of(&self, row: &Row) -> Option<bool> {
        let compare = |a: &Value, op: &str, b: &Value| {
            let order = if *a == Value::Null || *b == Value::Null { return None } else { a.order(b) };
            Some(match op {
                "=" => order.is_eq(),
                "<>" => order.is_ne(),
                "<" => order.is_lt(),
                "<=" => order.is_le(),
                ">" => order.is_gt(),
                _ => order.is_ge(),
            })
        };
        match self {
            Test::Value(c, op, value) => compare(&row[*c], op, value),
            Test::Columns(a, op, b) => compare(&row[*a], op, &row[*b]),
            Test::Null(c) => Some(row[*c] == Value::Null),
            Test::In(c, values) => (row[*c] != Value::Null).then(|| values.contains(&row[*c])),
            Test::And(a, b) => match (a.of(row), b.of(row)) {
                (Some(false), _) | (_, Some(false)) => Some(false),
                (Some(true), Some(true)) => Some(true),
                _ => None,
            },
            Test::Or(a, b) => match (a.of(row), b.of(row)) {
                (Some(true), _) | (_, Some(true)) => Some(true),
                (Some(false), Some(false)) => Some(false),
                _ => None,
            },
            Test::Not(a) => a.of(row).map(|a| !a),
        }
    }

    fn holds(&self, row: &Row) -> bool {
        self.of(row) == Some(true)
    }
}

impl Expression {
    /// `None`: the value could not be computed.
    fn of(&self, row: &Row) -> Option<Value> {
        Some(match self {
            Expression::Plus(c, n) => match &row[*c] {
                Value::Int(m) => Value::Int(m.checked_add(*n)?),
                _ => Value::Null,
            },
            Expression::Divide(a, b) => match (&row[*a], &row[*b]) {
                (Value::Int(a), Value::Int(b)) => Value::Int(a.checked_div(*b)?),
                _ => Value::Null,
            },
            Expression::Join(c, text) => match &row[*c] {
                Value::Text(t) => Value::Text(format!("{t}{text}")),
                _ => Value::Null,
            },
            Expression::Coalesce(c, value) if row[*c] == Value::Null => value.clone(),
            Expression::Coalesce(c, _) => row[*c].clone(),
            Expression::Case(test, a, b) => row[if test.holds(row) { *a } else { *b }].clone(),
            Expression::Whole(c) | Expression::TryWhole(c) => match &row[*c] {
                Value::Text(t) => match t.parse() {
                    Ok(n) => Value::Int(n),
                    Err(_) if matches!(self, Expression::Whole(_)) => return None,
                    Err(_) => Value::Null,
                },
                _ => Value::Null,
            },
        })
    }
}

/// As Spark casts with ANSI off. `None`: it cannot be cast.
fn cast(value: &Value, to: Type) -> Option<Value> {
    Some(match (value, to) {
        (Value::Int(n), Type::Text) => Value::Text(n.to_string()),
        (Value::Decimal(d), Type::Text) => Value::Text(hundredths(*d)),
        (Value::Int(n), Type::Decimal) if n.abs() < 100_000_000 => Value::Decimal(n * 100),
        (Value::Int(_), Type::Decimal) => return None,
        (Value::Decimal(d), Type::Int) => Value::Int(d / 100),
        (Value::Text(t), Type::Int) => Value::Int(t.trim().parse::<f64>().ok()?.trunc() as i64),
        (other, _) => other.clone(),
    })
}

fn edit(edit: &Edit, t: &Table) -> Leaves {
    let mut errors = vec![];
    let all = |but: &Vec<usize>| (0..t.columns.len()).filter(|c| !but.contains(c)).collect::<Vec<_>>();
    let select = |columns: Vec<usize>| Table {
        columns: columns.iter().map(|&c| t.columns[c].clone()).collect(),
        rows: t.rows.iter().map(|row| columns.iter().map(|&c| row[c].clone()).collect()).collect(),
    };
    let table = match edit {
        Edit::Drop(columns) => select(all(columns)),
        Edit::Keep(columns) => select(all(&all(columns))),
        Edit::Select(columns) => select(columns.clone()),
        Edit::Reorder(columns) => select([columns.clone(), all(columns)].concat()),
        Edit::Rename(c, to) => {
            let mut t = t.clone();
            t.columns[*c].name.clone_from(to);
            t
        }
        Edit::Cast(c, to, rejects) => {
            let mut t = t.clone();
            t.columns[*c].is = *to;
            t.rows.retain_mut(|row| {
                let value = cast(&row[*c], *to);
                let goes = value.is_none() && *rejects;
                row[*c] = value.unwrap_or(Value::Null);
                errors.extend(goes.then(|| "cast".to_string()));
                !goes
            });
            t
        }
        Edit::Add(name, value, is) => {
            let mut t = t.clone();
            t.columns.push(Column { name: name.clone(), is: *is });
            t.rows.iter_mut().for_each(|row| row.push(value.clone()));
            t
        }
        Edit::Default(c, value) => {
            let mut t = t.clone();
            t.rows.iter_mut().filter(|row| row[*c] == Value::Null).for_each(|row| row[*c] = value.clone());
            t
        }
    };
    Leaves { ports: vec![table], errors }
}

/// `None`: a number that the test has no room for.
fn aggregate(of: &Aggregate, is: Type, rows: &[&Row]) -> Option<Value> {
    let values = |c: usize| rows.iter().map(move |row| &row[c]).filter(|v| **v != Value::Null);
    let count = |n: usize| Some(Value::Int(n as i64));
    match of {
        Aggregate::Rows => count(rows.len()),
        Aggregate::RowsIf(test) => count(rows.iter().filter(|row| test.holds(row)).count()),
        Aggregate::Count(c) => count(values(*c).count()),
        Aggregate::Distinct(c) => count(values(*c).map(Value::show).collect::<HashSet<_>>().len()),
        Aggregate::Least(c) => Some(values(*c).min_by(|a, b| a.order(b)).cloned().unwrap_or(Value::Null)),
        Aggregate::Most(c) => Some(values(*c).max_by(|a, b| a.order(b)).cloned().unwrap_or(Value::Null)),
        Aggregate::Sum(c) => {
            let mut sum = None;
            for value in values(*c) {
                let (Value::Int(n) | Value::Decimal(n)) = value else { continue };
                sum = Some(sum.unwrap_or(0i64).checked_add(*n)?);
            }
            match (sum, is) {
                (None, _) => Some(Value::Null),
                (Some(n), Type::Decimal) => (n.abs() < 10_000_000_000).then_some(Value::Decimal(n)),
                (Some(n), _) => Some(Value::Int(n)),
            }
        }
    }
}

/// Rows by the values of some columns, in the order of their first rows.
fn groups<'a>(rows: impl Iterator<Item = &'a Row>, by: &[usize]) -> Vec<(Row, Vec<&'a Row>)> {
    let mut places = HashMap::new();
    let mut groups: Vec<(Row, Vec<&Row>)> = vec![];
    for row in rows {
        let place = *places.entry(key(row, by)).or_insert(groups.len());
        if place == groups.len() {
            groups.push((by.iter().map(|&c| row[c].clone()).collect(), vec![]));
        }
        groups[place].1.push(row);
    }
    groups
}

fn time_of(row: &Row, c: usize) -> Option<i64> {
    match row[c] {
        Value::Time(t) => Some(t),
        _ => None,
    }
}

/// Rows with a time, and how many have none.
fn timed(t: &Table, time: usize) -> (Vec<&Row>, usize) {
    let rows: Vec<&Row> = t.rows.iter().filter(|row| time_of(row, time).is_some()).collect();
    let without = t.rows.len() - rows.len();
    (rows, without)
}

/// The windows of a key's rows, each with its rows.
fn windows<'a>(span: Span, rows: &[&'a Row], time: usize) -> BTreeMap<(i64, i64), Vec<&'a Row>> {
    let mut windows: BTreeMap<(i64, i64), Vec<&Row>> = BTreeMap::new();
    let mut rows: Vec<(i64, &Row)> = rows.iter().filter_map(|row| Some((time_of(row, time)?, *row))).collect();
    rows.sort_by_key(|(t, _)| *t);
    let mut open: Option<(i64, i64)> = None;
    for (t, row) in rows {
        match span {
            Span::Tumbling { size, offset } => {
                let start = (t - offset).div_euclid(size) * size + offset;
                windows.entry((start, start + size)).or_default().push(row);
            }
            Span::Sliding { size, every, offset } => {
                let mut start = (t - offset).div_euclid(every) * every + offset;
                while start + size > t {
                    windows.entry((start, start + size)).or_default().push(row);
                    start -= every;
                }
            }
            Span::Session { gap } => {
                let held = open.filter(|(_, end)| t < *end);
                let rows = held.and_then(|old| windows.remove(&old)).unwrap_or_default();
                let window = (held.map_or(t, |(start, _)| start), t + gap);
                windows.insert(window, [rows, vec![row]].concat());
                open = Some(window);
            }
            Span::Stagger { size } => {
                let window = open.filter(|(_, end)| t < *end).unwrap_or((t, t + size));
                windows.entry(window).or_default().push(row);
                open = Some(window);
            }
        }
    }
    windows
}

fn join(left: &Table, right: &Table, on: &[(usize, usize)], how: How, near: Option<&Near>) -> Option<Leaves> {
    let shared: Vec<(usize, usize)> =
        on.iter().copied().filter(|&(l, r)| left.columns[l].name == right.columns[r].name).collect();
    let own: Vec<usize> = (0..right.columns.len()).filter(|r| !shared.iter().any(|(_, shared)| shared == r)).collect();
    let mut columns = left.columns.clone();
    if !matches!(how, How::Semi | How::Anti) {
        columns.extend(own.iter().map(|&r| {
            let Column { name, is } = right.columns[r].clone();
            let twice = left.find(&name).is_some();
            Column { name: if twice { name + "_right" } else { name }, is }
        }));
    }
    let mut names = HashSet::new();
    if !columns.iter().all(|c| names.insert(&c.name)) {
        return None;
    }
    let side = |t: &Table, port: usize| match near {
        Some(near) => t.rows.iter().filter(|row| row[near.times[port]] != Value::Null).cloned().collect(),
        None => t.rows.clone(),
    };
    let (lefts, rights): (Vec<Row>, Vec<Row>) = (side(left, 0), side(right, 1));
    let rejected = left.rows.len() + right.rows.len() - lefts.len() - rights.len();
    let meet = |l: &Row, r: &Row| {
        let equal = on.iter().all(|&(a, b)| l[a] != Value::Null && l[a].show() == r[b].show());
        equal
            && near.is_none_or(|near| {
                let (l, r) = (time_of(l, near.times[0]), time_of(r, near.times[1]));
                l.zip(r).is_some_and(|(l, r)| r >= l - near.before && r <= l + near.after)
            })
    };
    let mut rows = vec![];
    let mut met = vec![false; rights.len()];
    for l in &lefts {
        let mut found = false;
        for (i, r) in rights.iter().enumerate().filter(|(_, r)| meet(l, r)) {
            (met[i], found) = (true, true);
            if matches!(how, How::Inner | How::Left | How::Right | How::Full) {
                rows.push(l.iter().cloned().chain(own.iter().map(|&c| r[c].clone())).collect());
            }
        }
        match how {
            How::Left | How::Full if !found => {
                rows.push(l.iter().cloned().chain(own.iter().map(|_| Value::Null)).collect());
            }
            How::Semi if found => rows.push(l.clone()),
            How::Anti if !found => rows.push(l.clone()),
            _ => {}
        }
    }
    if matches!(how, How::Right | How::Full) {
        for (r, _) in rights.iter().zip(&met).filter(|(_, met)| !**met) {
            let mut row: Row = vec![Value::Null; left.columns.len()];
            shared.iter().for_each(|&(a, b)| row[a] = r[b].clone());
            row.extend(own.iter().map(|&c| r[c].clone()));
            rows.push(row);
        }
    }
    Some(Leaves { ports: vec![Table { columns, rows }], errors: vec!["null_time".into(); rejected] })
}

/// The order in which `Dedup` likes rows: a null loses to any value.
fn better(a: &Row, b: &Row, by: &[usize], keep: Keep) -> bool {
    for &c in by {
        match (a[c] == Value::Null, b[c] == Value::Null) {
            (true, true) => continue,
            (a_is, b_is) if a_is != b_is => return b_is,
            _ => {}
        }
        match a[c].order(&b[c]) {
            Ordering::Equal => {}
            order => return order == if keep == Keep::First { Ordering::Less } else { Ordering::Greater },
        }
    }
    false
}

fn dedup(t: &Table, keys: &[usize], keep: Keep, by: &[usize], within: Option<(usize, i64)>) -> Leaves {
    let all: Vec<usize> = (0..t.columns.len()).collect();
    let keys = if keys.is_empty() { &all } else { keys };
    let (rows, errors) = match within {
        Some((time, _)) => timed(t, time),
        None => (t.rows.iter().collect(), 0),
    };
    let kept = groups(rows.into_iter(), keys).into_iter().map(|(_, rows)| match by.is_empty() {
        true if keep == Keep::Last => rows[rows.len() - 1].clone(),
        true => rows[0].clone(),
        false => {
            rows.into_iter().reduce(|best, row| if better(row, best, by, keep) { row } else { best }).unwrap().clone()
        }
    });
    let rows = kept.collect();
    Leaves { ports: vec![Table { columns: t.columns.clone(), rows }], errors: vec!["null_time".into(); errors] }
}

fn group_sort(
    t: &Table,
    keys: &[usize],
    time: usize,
    gap: i64,
    most: Option<i64>,
    position: Option<&String>,
) -> Leaves {
    let mut errors = vec![];
    let good = t.rows.iter().filter(|row| {
        let null_key = keys.iter().any(|&k| row[k] == Value::Null);
        let code = if null_key { Some("null_key") } else { (row[time] == Value::Null).then_some("null_time") };
        errors.extend(code.map(str::to_string));
        code.is_none()
    });
    let mut out = Table { columns: t.columns.clone(), rows: vec![] };
    out.columns.extend(position.map(|name| Column { name: name.clone(), is: Type::Int }));
    for (_, mut rows) in groups(good, keys) {
        rows.sort_by_key(|row| time_of(row, time));
        let (mut first, mut last, mut place) = (i64::MIN, i64::MIN, 0);
        for row in rows {
            let now = time_of(row, time).unwrap();
            if place == 0 || now - last > gap || most.is_some_and(|most| now - first >= most) {
                (first, place) = (now, 0);
            }
            (last, place) = (now, place + 1);
            let mut row = row.clone();
            row.extend(position.map(|_| Value::Int(place)));
            out.rows.push(row);
        }
    }
    Leaves { ports: vec![out, Table { columns: t.columns.clone(), rows: vec![] }], errors }
}

/// By name or by position. `None`: the types do not fit.
fn union(inputs: &[&Table], tags: &[String], by_name: bool, tag: Option<&String>) -> Option<Leaves> {
    let mut columns: Vec<Column> = inputs[0].columns.clone();
    for t in &inputs[1..] {
        if !by_name && t.columns.iter().map(|c| c.is).ne(columns.iter().map(|c| c.is)) {
            return None;
        }
        for column in t.columns.iter().filter(|_| by_name) {
            match columns.iter().find(|c| c.name == column.name) {
                Some(known) if known.is != column.is => return None,
                Some(_) => {}
                None => columns.push(column.clone()),
            }
        }
    }
    let mut rows = vec![];
    for (t, name) in inputs.iter().zip(tags) {
        let from: Vec<Option<usize>> =
            columns.iter().enumerate().map(|(i, c)| if by_name { t.find(&c.name) } else { Some(i) }).collect();
        for row in &t.rows {
            let mut row: Row = from.iter().map(|c| c.map_or(Value::Null, |c| row[c].clone())).collect();
            row.extend(tag.map(|_| Value::Text(name.clone())));
            rows.push(row);
        }
    }
    columns.extend(tag.map(|tag| Column { name: tag.clone(), is: Type::Text }));
    Some(Leaves { ports: vec![Table { columns, rows }], errors: vec![] })
}

impl Op {
    /// What leaves the node of what comes in by port, or, of a `Union`, by input; `tags` names those. `None`: it has no
    /// result that the test could compare.
    pub fn apply(&self, of: &[&Table], tags: &[String]) -> Option<Leaves> {
        let t = of[0];
        let mut errors = vec![];
        let like = |rows: Vec<Row>| Table { columns: t.columns.clone(), rows };
        let table = match self {
            Op::Filter(test) => like(t.rows.iter().filter(|row| test.holds(row)).cloned().collect()),
            Op::Derive(columns) => {
                let places: Vec<Option<usize>> = columns.iter().map(|(name, _)| t.find(name)).collect();
                let mut out = like(vec![]);
                for ((name, e), place) in columns.iter().zip(&places) {
                    match place {
                        Some(c) => out.columns[*c].is = e.is(t),
                        None => out.columns.push(Column { name: name.clone(), is: e.is(t) }),
                    }
                }
                for row in &t.rows {
                    let Some(values) = columns.iter().map(|(_, e)| e.of(row)).collect::<Option<Vec<_>>>() else {
                        errors.push("expression".to_string());
                        continue;
                    };
                    let mut row = row.clone();
                    for (value, place) in values.into_iter().zip(&places) {
                        match place {
                            Some(c) => row[*c] = value,
                            None => row.push(value),
                        }
                    }
                    out.rows.push(row);
                }
                out
            }
            Op::Edit(e) => return Some(edit(e, t)),
            Op::DropNulls { columns, all } => {
                let null = |row: &Row, c: &usize| row[*c] == Value::Null;
                let goes = |row: &&Row| match all {
                    true => columns.iter().all(|c| null(row, c)),
                    false => columns.iter().any(|c| null(row, c)),
                };
                like(t.rows.iter().filter(|row| !goes(row)).cloned().collect())
            }
            Op::Dedup { keys, keep, by, within } => return Some(dedup(t, keys, *keep, by, *within)),
            Op::Aggregate { by, columns } => {
                let mut found = groups(t.rows.iter(), by);
                if by.is_empty() && found.is_empty() {
                    found.push((vec![], vec![]));
                }
                let mut out = Table { columns: by.iter().map(|&c| t.columns[c].clone()).collect(), rows: vec![] };
                out.columns.extend(columns.iter().map(|(name, a)| Column { name: name.clone(), is: a.is(t) }));
                for (mut row, rows) in found {
                    for (_, a) in columns {
                        row.push(aggregate(a, a.is(t), &rows)?);
                    }
                    out.rows.push(row);
                }
                out
            }
            Op::Window { keys, time, span, columns } => {
                let (rows, without) = timed(t, *time);
                let mut out = Table { columns: keys.iter().map(|&c| t.columns[c].clone()).collect(), rows: vec![] };
                let ends = ["window_start", "window_end"];
                out.columns.extend(ends.map(|name| Column { name: name.into(), is: Type::Time }));
                out.columns.extend(columns.iter().map(|(name, a)| Column { name: name.clone(), is: a.is(t) }));
                for (group, rows) in groups(rows.into_iter(), keys) {
                    for ((start, end), rows) in windows(*span, &rows, *time) {
                        let mut row = group.clone();
                        row.extend([Value::Time(start), Value::Time(end)]);
                        for (_, a) in columns {
                            row.push(aggregate(a, a.is(t), &rows)?);
                        }
                        out.rows.push(row);
                    }
                }
                return Some(Leaves { ports: vec![out, like(vec![])], errors: vec!["no_time".into(); without] });
            }
            Op::GroupSort { keys, time, gap, most, position } => {
                return Some(group_sort(t, keys, *time, *gap, *most, position.as_ref()));
            }
            Op::Join { on, how, near } => return join(t, of[1], on, *how, near.as_ref()),
            Op::Sort(by) => {
                let mut rows = t.rows.clone();
                rows.sort_by(|a, b| {
                    let orders = by.iter().map(|&(c, down)| if down { b[c].order(&a[c]) } else { a[c].order(&b[c]) });
                    orders.fold(Ordering::Equal, Ordering::then)
                });
                like(rows)
            }
            Op::Limit { rows, offset } => like(t.rows.iter().skip(*offset).take(*rows).cloned().collect()),
            Op::Union { by_name, tag } => return union(of, tags, *by_name, tag.as_ref()),
            Op::Route { tests, otherwise, all } => {
                let mut ports = vec![like(vec![]); self.ports().len()];
                for row in &t.rows {
                    let most = if *all { usize::MAX } else { 1 };
                    let to: Vec<usize> = (0..tests.len()).filter(|&i| tests[i].holds(row)).take(most).collect();
                    to.iter().for_each(|&port| ports[port].rows.push(row.clone()));
                    match otherwise {
                        _ if !to.is_empty() => {}
                        Otherwise::Drop => {}
                        Otherwise::Port => ports[tests.len()].rows.push(row.clone()),
                        Otherwise::Reject => errors.push("no route".into()),
                    }
                }
                return Some(Leaves { ports, errors });
            }
        };
        Some(Leaves { ports: vec![table], errors })
    }
}
