//! Random graphs that are valid, and what each of their sinks has to hold in the end.

use super::data::{Content, files, stream};
use super::dice::Dice;
use super::naive::Leaves;
use super::ops::{Aggregate, Edit, Expression, How, Keep, Near, Op, Otherwise, Span, Test};
use super::rows::{Column, Row, Table, Type, Value};

/// What is larger is not tried: the interpreter joins by comparing all with all.
const MOST_ROWS: usize = 3000;
const SECOND: i64 = 1_000_000;
/// The types whose order is the same in SQL and here.
const PLAIN: &[Type] = &[Type::Int, Type::Decimal, Type::Time, Type::Text];

/// How large a case may be; a failure is looked for in smaller ones.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    pub rows: usize,
    pub ops: usize,
}

pub struct Case {
    pub graph: String,
    /// It never ends by itself.
    pub live: bool,
    pub files: Vec<(String, Content)>,
    pub sinks: Vec<Sink>,
}

/// A folder below `out`, and what it has to hold.
pub struct Sink {
    pub name: String,
    pub columns: Vec<Column>,
    pub rows: Vec<Row>,
    /// … in this order.
    pub ordered: bool,
}

/// What a node sends on a port.
#[derive(Clone)]
struct Port {
    /// As graphs name it.
    name: String,
    table: Table,
    live: bool,
    /// Of a live one: the column of event time of which no row is late.
    timed: Option<String>,
    order: Order,
    read: bool,
}

/// What is known of the order of rows.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    None,
    /// That of the source, which is kept where a node further down depends on it.
    Source,
    /// That of a `Sort`, which is kept down to the sink.
    Sorted,
}

struct Maker {
    dice: Dice,
    nodes: Vec<(String, String)>,
    ports: Vec<Port>,
    /// Nodes that may reject, and the codes of what they do.
    errors: Vec<(String, Vec<String>)>,
    names: usize,
}

pub fn case(seed: u64, size: Size) -> Case {
    let mut dice = Dice::new(seed, "graph");
    let live = dice.one_in(3);
    let mut maker = Maker { dice, nodes: vec![], ports: vec![], errors: vec![], names: 0 };
    let mut inputs = vec![];
    for i in 0..1 + maker.dice.below(3) {
        let mut dice = Dice::new(seed, &format!("source {i}"));
        let name = format!("source{i}");
        let streams = live && (i == 0 || dice.one_in(2));
        let source = if streams { stream(&mut dice, &name, size.rows) } else { files(&mut dice, &name, size.rows) };
        inputs.extend(source.files);
        maker.nodes.push((name.clone(), source.node));
        maker.errors.push((name.clone(), source.errors));
        let timed = streams.then(|| "t".to_string());
        maker.ports.push(Port {
            name,
            table: source.table,
            live: streams,
            timed,
            order: if source.ordered { Order::Source } else { Order::None },
            read: false,
        });
    }
    let ops = 1 + maker.dice.below(8);
    let mut made = 0;
    for attempt in 0..60 {
        if made == ops.min(size.ops) {
            break;
        }
        // A dice for each, so that what was made before does not depend on how many follow.
        maker.dice = Dice::new(seed, &format!("node {attempt}"));
        made += usize::from(maker.grow(live).is_some());
    }
    maker.dice = Dice::new(seed, "sinks");
    let sinks = maker.end(live);
    let nodes = maker.nodes.iter().map(|(name, node)| format!("        {name:?}: {node},\n")).collect::<String>();
    let graph = format!("Graph(\n    name: \"random\",\n    nodes: {{\n{nodes}    }},\n)\n");
    Case { graph, live, files: inputs, sinks }
}

impl Maker {
    fn name(&mut self, of: &str) -> String {
        self.names += 1;
        format!("{of}{}", self.names)
    }

    /// Some port, rather one of the last.
    fn port(&mut self, fits: impl Fn(&Port) -> bool) -> Option<usize> {
        let fitting: Vec<usize> = (0..self.ports.len()).filter(|&p| fits(&self.ports[p])).collect();
        let least = if self.dice.one_in(2) { fitting.len().saturating_sub(2) } else { 0 };
        let some = fitting.get(least..).filter(|some| !some.is_empty())?;
        Some(*self.dice.pick(some))
    }

    /// A port, and now and then others of the same columns, whose rows mix.
    fn ports(&mut self, first: usize) -> (Vec<usize>, Port) {
        let mut all = vec![first];
        let like = |p: &Port, q: &Port| p.table.columns == q.table.columns && p.live == q.live;
        while self.dice.one_in(3) {
            let others: Vec<usize> = (0..self.ports.len())
                .filter(|q| !all.contains(q) && like(&self.ports[first], &self.ports[*q]))
                .collect();
            if others.is_empty() {
                break;
            }
            all.push(*self.dice.pick(&others));
        }
        let mut port = self.ports[first].clone();
        for &q in &all[1..] {
            let other = &self.ports[q];
            port.table.rows.extend(other.table.rows.iter().cloned());
            port.order = Order::None;
            port.timed = port.timed.filter(|t| other.timed.as_ref() == Some(t));
        }
        (all, port)
    }

    fn list(&self, ports: &[usize]) -> String {
        match ports {
            [one] => format!("{:?}", self.ports[*one].name),
            all => format!("{:?}", all.iter().map(|&p| self.ports[p].name.as_str()).collect::<Vec<_>>()),
        }
    }

    /// Adds a node; `None` if it came to nothing.
    fn grow(&mut self, live: bool) -> Option<()> {
        let kind = self.dice.below(20);
        match kind {
            0..=1 => return self.join(live),
            2 => return self.union(),
            _ => {}
        }
        let needs_end = matches!(kind, 3..=7);
        let needs_time = live && matches!(kind, 8..=12);
        if live && needs_end {
            return None;
        }
        let needs_order = kind == 5;
        let first = self.port(|p| (p.timed.is_some() || !needs_time) && (p.order != Order::None || !needs_order))?;
        let (from, input) = self.ports(first);
        let t = &input.table;
        let any = |dice: &mut Dice, types: &[Type]| {
            let of = t.of(types);
            (!of.is_empty()).then(|| *dice.pick(&of))
        };
        let all: Vec<usize> = (0..t.columns.len()).collect();
        let mut hide = None;
        let time = match &input.timed {
            Some(name) => t.find(name),
            None => any(&mut self.dice, &[Type::Time]),
        };
        let op = match kind {
            3 => Op::Aggregate {
                by: self.dice.some(&t.of(PLAIN), 0).into_iter().take(2).collect(),
                columns: self.aggregates(t),
            },
            4 => {
                if !t.of(&[Type::Float]).is_empty() {
                    return None;
                }
                let by = self.dice.some(&all, all.len());
                Op::Sort(by.into_iter().map(|c| (c, self.dice.one_in(2))).collect())
            }
            5 if input.order != Order::None => Op::Limit { rows: self.dice.below(60), offset: self.dice.below(20) },
            5 => return None,
            6 => {
                let keys: Vec<usize> = self.dice.some(&all, 1).into_iter().take(3).collect();
                let by: Vec<usize> = all.iter().copied().filter(|c| !keys.contains(c)).collect();
                let by = self.dice.some(&by, by.len());
                if by.is_empty() || by.iter().any(|&c| t.columns[c].is == Type::Float) {
                    return None;
                }
                let keep = *self.dice.pick(&[Keep::First, Keep::Last]);
                Op::Dedup { keys, keep, by, within: None }
            }
            7 | 8 => {
                let keys: Vec<usize> = self.dice.some(&all, 0).into_iter().take(3).collect();
                let keep = *self.dice.pick(&[Keep::Any, Keep::First, Keep::Last]);
                let keep = if kind == 8 { Keep::Any } else { keep };
                // Which row stays depends on the schedule; its key does not.
                if !keys.is_empty() && (keep == Keep::Any || input.order == Order::None) {
                    hide = Some(keys.clone());
                }
                // A row is never forgotten.
                let within = if kind == 8 { Some((time?, 400 * 86_400 * SECOND)) } else { None };
                Op::Dedup { keys, keep, by: vec![], within }
            }
            9 | 10 => {
                let keys: Vec<usize> = self.dice.some(&t.of(PLAIN), 0).into_iter().take(2).collect();
                if t.find("window_start").or(t.find("window_end")).is_some() {
                    return None;
                }
                let size = self.dice.between(1, 600) * SECOND;
                let offset = if self.dice.one_in(2) { self.dice.between(0, 100) * SECOND } else { 0 };
                let every = (size / self.dice.between(1, 4)).max(SECOND / 2);
                let span = match self.dice.below(4) {
                    0 => Span::Tumbling { size, offset },
                    1 => Span::Sliding { size, every, offset },
                    2 => Span::Session { gap: size / 2 },
                    _ => Span::Stagger { size },
                };
                Op::Window { keys, time: time?, span, columns: self.aggregates(t) }
            }
            11 | 12 => {
                let time = time?;
                let keys: Vec<usize> = all.iter().copied().filter(|&c| c != time).collect();
                let keys: Vec<usize> = self.dice.some(&keys, 1).into_iter().take(2).collect();
                let gap = self.dice.between(1, 200) * SECOND;
                let most = self.dice.one_in(2).then(|| self.dice.between(1, 800) * SECOND);
                let position = self.dice.one_in(2).then(|| self.name("p"));
                if keys.is_empty() {
                    return None;
                }
                if position.is_some() {
                    // Rows of one time come in the order of their arrival.
                    let mut shown = keys.clone();
                    shown.extend([time, t.columns.len()]);
                    hide = Some(shown);
                }
                Op::GroupSort { keys, time, gap, most, position }
            }
            13 | 14 => {
                let tests = (0..1 + self.dice.below(3)).map(|_| self.test(t, 2)).collect::<Option<Vec<_>>>()?;
                let otherwise = self.dice.pick(&[Otherwise::Drop, Otherwise::Port, Otherwise::Reject]).clone();
                Op::Route { tests, otherwise, all: self.dice.one_in(3) }
            }
            15 => Op::DropNulls { columns: self.dice.some(&all, 1), all: self.dice.one_in(2) },
            16 => Op::Derive(self.derived(t)?),
            17 => Op::Edit(self.edit(t)?),
            _ => Op::Filter(self.test(t, 3)?),
        };
        let input_text = format!("input: {}", self.list(&from));
        let node = self.add(&op, &input_text, &from, &[&input], hide.is_some())?;
        if let Some(shown) = hide {
            let hidden = self.ports.len() - op.ports().len();
            let input = self.ports[hidden].clone();
            self.add(&Op::Edit(Edit::Select(shown)), &format!("input: {node:?}"), &[hidden], &[&input], false)?;
            self.ports.remove(hidden);
        }
        Some(())
    }

    /// Adds a node of these inputs. `hide`: what leaves by its first port is not what another run would send.
    fn add(&mut self, op: &Op, input: &str, from: &[usize], inputs: &[&Port], hide: bool) -> Option<String> {
        let tables: Vec<&Table> = inputs.iter().map(|p| &p.table).collect();
        let tags: Vec<String> = (0..inputs.len()).map(|i| format!("in{i}")).collect();
        let Leaves { ports, errors } = op.apply(&tables, &tags)?;
        if ports.iter().any(|t| t.rows.len() > MOST_ROWS || t.columns.is_empty()) {
            return None;
        }
        let name = self.name(if hide { "hidden" } else { "node" });
        self.nodes.push((name.clone(), op.ron(input, &tables)));
        if op.rejects() {
            self.errors.push((name.clone(), errors));
        }
        from.iter().for_each(|&p| self.ports[p].read = true);
        let live = inputs.iter().any(|p| p.live);
        let timed = timed(op, inputs).filter(|_| live);
        let order = match op {
            Op::Sort(_) => Order::Sorted,
            Op::Filter(_) | Op::Derive(_) | Op::Edit(_) | Op::DropNulls { .. } | Op::Limit { .. } => inputs[0].order,
            _ => Order::None,
        };
        for (i, (port, table)) in op.ports().into_iter().zip(ports).enumerate() {
            // What is late is late for all that follows.
            let late = i > 0 && matches!(op, Op::Window { .. } | Op::GroupSort { .. });
            let timed = timed.clone().filter(|_| !late);
            let read = hide && i == 0;
            self.ports.push(Port { name: format!("{name}{port}"), table, live, timed, order, read });
        }
        Some(name)
    }

    fn join(&mut self, live: bool) -> Option<()> {
        let left = self.port(|p| p.live == live)?;
        let (lefts, left) = self.ports(left);
        let near = if live { self.dice.one_in(2) } else { self.dice.one_in(4) };
        let right = self.port(|p| p.live == (live && near) && (p.timed.is_some() || !live || !near))?;
        let (rights, right) = self.ports(right);
        let mut pairs = vec![];
        for l in 0..left.table.columns.len() {
            for r in 0..right.table.columns.len() {
                if left.table.columns[l].is == right.table.columns[r].is {
                    pairs.push((l, r));
                }
            }
        }
        let mut on: Vec<(usize, usize)> = vec![];
        for pair in self.dice.some(&pairs, 1) {
            if on.len() < 2 && on.iter().all(|(l, r)| *l != pair.0 && *r != pair.1) {
                on.push(pair);
            }
        }
        let time = |dice: &mut Dice, p: &Port| match (&p.timed, live) {
            (Some(name), _) => p.table.find(name),
            (None, true) => None,
            (None, false) => dice.some(&p.table.of(&[Type::Time]), 1).pop(),
        };
        let near = match near {
            true => {
                let times = [time(&mut self.dice, &left)?, time(&mut self.dice, &right)?];
                let bounds = [self.dice.between(0, 300), self.dice.between(1, 300)];
                Some(Near { times, before: bounds[0] * SECOND, after: bounds[1] * SECOND })
            }
            false => None,
        };
        let how = match live && near.is_none() {
            true => *self.dice.pick(&[How::Inner, How::Left, How::Semi, How::Anti]),
            false => *self.dice.pick(&[How::Inner, How::Left, How::Right, How::Full, How::Semi, How::Anti]),
        };
        if on.is_empty() {
            return None;
        }
        let input = format!("input: {{ \"left\": {}, \"right\": {} }}", self.list(&lefts), self.list(&rights));
        let from = [lefts, rights].concat();
        self.add(&Op::Join { on, how, near }, &input, &from, &[&left, &right], false).map(|_| ())
    }

    fn union(&mut self) -> Option<()> {
        let first = self.port(|_| true)?;
        let live = self.ports[first].live;
        let mut from = vec![first];
        for _ in 0..1 + self.dice.below(2) {
            from.push(self.port(|p| p.live == live)?);
        }
        let inputs: Vec<Port> = from.iter().map(|&p| self.ports[p].clone()).collect();
        let names = from.iter().enumerate().map(|(i, &p)| format!("\"in{i}\": {}", self.list(&[p])));
        let input = format!("input: {{ {} }}", names.collect::<Vec<_>>().join(", "));
        let by_name = !self.dice.one_in(3);
        let tag = self.dice.one_in(2).then(|| self.name("tag"));
        let inputs: Vec<&Port> = inputs.iter().collect();
        self.add(&Op::Union { by_name, tag }, &input, &from, &inputs, false).map(|_| ())
    }

    /// A value as the column has them, or null's stand-in.
    fn like(&mut self, t: &Table, c: usize) -> Value {
        let some: Vec<&Value> = t.rows.iter().take(50).map(|row| &row[c]).filter(|v| **v != Value::Null).collect();
        match some.is_empty() {
            false => (*self.dice.pick(&some)).clone(),
            true => match t.columns[c].is {
                Type::Int | Type::Float => Value::Int(3),
                Type::Decimal => Value::Decimal(125),
                Type::Time => Value::Time(0),
                Type::Text => Value::Text("a".into()),
            },
        }
    }

    fn test(&mut self, t: &Table, depth: usize) -> Option<Test> {
        let plain = t.of(PLAIN);
        if plain.is_empty() {
            return None;
        }
        if depth > 1 && self.dice.one_in(2) {
            let (a, b) = (self.test(t, depth - 1)?, self.test(t, depth - 1)?);
            let (a, b) = (Box::new(a), Box::new(b));
            return Some(match self.dice.below(3) {
                0 => Test::And(a, b),
                1 => Test::Or(a, b),
                _ => Test::Not(a),
            });
        }
        let c = *self.dice.pick(&plain);
        let op = *self.dice.pick(&["=", "<>", "<", "<=", ">", ">="]);
        let same: Vec<usize> =
            plain.iter().copied().filter(|&o| o != c && t.columns[o].is == t.columns[c].is).collect();
        Some(match self.dice.below(6) {
            0 => Test::Null(c),
            1 => Test::In(c, (0..1 + self.dice.below(4)).map(|_| self.like(t, c)).collect()),
            2 if !same.is_empty() => Test::Columns(c, op, *self.dice.pick(&same)),
            _ => Test::Value(c, op, self.like(t, c)),
        })
    }

    fn derived(&mut self, t: &Table) -> Option<Vec<(String, Expression)>> {
        let (ints, texts) = (t.of(&[Type::Int]), t.of(&[Type::Text]));
        let mut columns: Vec<(String, Expression)> = vec![];
        for _ in 0..1 + self.dice.below(2) {
            let e = match self.dice.below(7) {
                0 if !ints.is_empty() => Expression::Plus(*self.dice.pick(&ints), self.dice.between(1, 9)),
                1 if !ints.is_empty() => Expression::Divide(*self.dice.pick(&ints), *self.dice.pick(&ints)),
                2 if !texts.is_empty() => Expression::Join(*self.dice.pick(&texts), self.like(t, texts[0]).show()),
                3 if !texts.is_empty() => Expression::Whole(*self.dice.pick(&texts)),
                4 if !texts.is_empty() => Expression::TryWhole(*self.dice.pick(&texts)),
                5 => {
                    let c = self.dice.some(&t.of(&[Type::Int, Type::Text, Type::Decimal]), 1).pop()?;
                    Expression::Coalesce(c, self.like(t, c))
                }
                _ => {
                    let a = self.dice.below(t.columns.len());
                    let same: Vec<usize> =
                        (0..t.columns.len()).filter(|&b| t.columns[b].is == t.columns[a].is).collect();
                    Expression::Case(self.test(t, 2)?, a, *self.dice.pick(&same))
                }
            };
            let name = self.name("c");
            columns.push((name, e));
        }
        // One may replace a column; those after it would see the new values.
        if let [(name, _)] = &mut columns[..]
            && self.dice.one_in(3)
        {
            name.clone_from(&self.dice.pick(&t.columns).name);
        }
        Some(columns)
    }

    fn edit(&mut self, t: &Table) -> Option<Edit> {
        let all: Vec<usize> = (0..t.columns.len()).collect();
        let c = self.dice.below(all.len());
        let some = self.dice.some(&all, 1);
        Some(match self.dice.below(9) {
            0 if some.len() < all.len() => Edit::Drop(some),
            1 => Edit::Keep(some),
            2 => Edit::Select(some),
            3 => Edit::Reorder(some),
            4 => Edit::Rename(c, self.name("c")),
            5 if t.columns[c].is != Type::Float && t.columns[c].is != Type::Time => Edit::Default(c, self.like(t, c)),
            6 => {
                let is = *self.dice.pick(&[Type::Int, Type::Text]);
                let value =
                    if is == Type::Int { Value::Int(self.dice.between(0, 9)) } else { Value::Text("ß\"".into()) };
                Edit::Add(self.name("c"), value, is)
            }
            _ => {
                let to = match t.columns[c].is {
                    Type::Int => *self.dice.pick(&[Type::Text, Type::Decimal]),
                    Type::Decimal => *self.dice.pick(&[Type::Text, Type::Int]),
                    Type::Text => Type::Int,
                    _ => return None,
                };
                Edit::Cast(c, to, self.dice.one_in(2))
            }
        })
    }

    fn aggregates(&mut self, t: &Table) -> Vec<(String, Aggregate)> {
        let numbers = t.of(&[Type::Int, Type::Decimal]);
        let plain = t.of(PLAIN);
        let mut columns = vec![];
        for _ in 0..1 + self.dice.below(3) {
            let a = match self.dice.below(8) {
                0 => self.test(t, 2).map_or(Aggregate::Rows, Aggregate::RowsIf),
                1 if !plain.is_empty() => Aggregate::Count(*self.dice.pick(&plain)),
                2 if !plain.is_empty() => Aggregate::Distinct(*self.dice.pick(&plain)),
                3 | 4 if !numbers.is_empty() => Aggregate::Sum(*self.dice.pick(&numbers)),
                5 if !plain.is_empty() => Aggregate::Least(*self.dice.pick(&plain)),
                6 if !plain.is_empty() => Aggregate::Most(*self.dice.pick(&plain)),
                _ => Aggregate::Rows,
            };
            columns.push((self.name("a"), a));
        }
        columns
    }

    /// A sink for every port that nobody reads, and for some others.
    fn end(&mut self, live: bool) -> Vec<Sink> {
        let mut sinks = vec![];
        for p in 0..self.ports.len() {
            if self.ports[p].read && !self.dice.one_in(5) {
                continue;
            }
            let (from, port) = self.ports(p);
            from.iter().for_each(|&p| self.ports[p].read = true);
            let name = self.name("sink");
            // A row of nothing but a null is a line of `""` in CSV, as that of an empty text is.
            let formats = ["Ndjson()", "Parquet()", "Csv()"];
            let format = *self.dice.pick(&formats[..if port.table.columns.len() > 1 { 3 } else { 2 }]);
            let roll = if live { ", mode: Append, roll: (interval: \"100ms\")" } else { "" };
            let node = match self.dice.one_in(6) && port.order != Order::Sorted {
                true => format!(
                    "Stream(input: {}, connection: \"here\", path: \"out/{name}\", shards: 2)",
                    self.list(&from)
                ),
                false => format!("Files(input: {}, path: \"out/{name}\", format: {format}{roll})", self.list(&from)),
            };
            self.nodes.push((name.clone(), node));
            sinks.push(Sink {
                name,
                columns: port.table.columns,
                rows: port.table.rows,
                ordered: port.order == Order::Sorted,
            });
        }
        let mut rows = vec![];
        let mut read = vec![];
        for (node, codes) in &self.errors {
            if !codes.is_empty() || self.dice.one_in(2) {
                read.push(format!("{node}.errors"));
            }
            rows.extend(codes.iter().map(|code| vec![Value::Text(node.clone()), Value::Text(code.clone())]));
        }
        if !read.is_empty() {
            let mode = if live { ", mode: Append" } else { "" };
            let node = format!("Files(input: {read:?}, path: \"out/errors\", format: Ndjson(){mode})");
            self.nodes.push(("errors".into(), node));
            let columns = ["node", "errorCode"].map(|name| Column { name: name.into(), is: Type::Text }).to_vec();
            sinks.push(Sink { name: "errors".into(), columns, rows, ordered: false });
        }
        sinks
    }
}

/// The column of event time of what a node sends, where it is known that no row is late.
fn timed(op: &Op, inputs: &[&Port]) -> Option<String> {
    let name = inputs[0].timed.clone()?;
    let at = inputs[0].table.find(&name)?;
    match op {
        Op::Edit(Edit::Rename(c, to)) if *c == at => Some(to.clone()),
        Op::Edit(Edit::Default(c, _)) if *c == at => None,
        Op::Edit(Edit::Drop(columns)) if columns.contains(&at) => None,
        Op::Edit(Edit::Keep(columns) | Edit::Select(columns)) if !columns.contains(&at) => None,
        Op::Derive(columns) if columns.iter().any(|(derived, _)| *derived == name) => None,
        Op::Window { .. } => Some("window_end".into()),
        Op::Union { by_name: false, .. } => None,
        Op::Union { .. } => inputs.iter().all(|p| p.timed.as_ref() == Some(&name)).then_some(name),
        // Of a right row without a match there is none; the rows of others are told of by their own times.
        Op::Join { how: How::Right | How::Full, .. } => None,
        _ => Some(name),
    }
}
