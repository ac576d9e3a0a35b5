//! What nodes a random graph has, and how they are written in one.

use super::rows::{Table, Type, Value};

/// An SQL predicate.
#[derive(Debug, Clone)]
pub enum Test {
    Value(usize, &'static str, Value),
    Columns(usize, &'static str, usize),
    Null(usize),
    In(usize, Vec<Value>),
    And(Box<Test>, Box<Test>),
    Or(Box<Test>, Box<Test>),
    Not(Box<Test>),
}

impl Test {
    pub fn sql(&self, t: &Table) -> String {
        let name = |c: &usize| t.columns[*c].name.clone();
        match self {
            Test::Value(c, op, value) => format!("{} {op} {}", name(c), value.sql()),
            Test::Columns(a, op, b) => format!("{} {op} {}", name(a), name(b)),
            Test::Null(c) => format!("{} is null", name(c)),
            Test::In(c, values) => {
                format!("{} in ({})", name(c), values.iter().map(Value::sql).collect::<Vec<_>>().join(", "))
            }
            Test::And(a, b) => format!("{} and {}", a.inner(t), b.inner(t)),
            Test::Or(a, b) => format!("{} or {}", a.inner(t), b.inner(t)),
            Test::Not(a) => format!("not {}", a.inner(t)),
        }
    }

    fn inner(&self, t: &Table) -> String {
        format!("({})", self.sql(t))
    }
}

/// An SQL expression.
#[derive(Debug, Clone)]
pub enum Expression {
    Plus(usize, i64),
    Divide(usize, usize),
    Join(usize, String),
    Coalesce(usize, Value),
    Case(Test, usize, usize),
    /// Text as a whole number; rejected where it is none.
    Whole(usize),
    /// … or null.
    TryWhole(usize),
}

impl Expression {
    pub fn sql(&self, t: &Table) -> String {
        let name = |c: &usize| t.columns[*c].name.clone();
        match self {
            Expression::Plus(c, n) => format!("{} + {n}", name(c)),
            Expression::Divide(a, b) => format!("{} / {}", name(a), name(b)),
            Expression::Join(c, text) => format!("{} || {}", name(c), Value::Text(text.clone()).sql()),
            Expression::Coalesce(c, value) => format!("coalesce({}, {})", name(c), value.sql()),
            Expression::Case(test, a, b) => format!("case when {} then {} else {} end", test.sql(t), name(a), name(b)),
            Expression::Whole(c) => format!("cast({} as bigint)", name(c)),
            Expression::TryWhole(c) => format!("try_cast({} as bigint)", name(c)),
        }
    }

    pub fn is(&self, t: &Table) -> Type {
        match self {
            Expression::Coalesce(c, _) | Expression::Case(_, c, _) => t.columns[*c].is,
            Expression::Join(..) => Type::Text,
            _ => Type::Int,
        }
    }
}

/// An edit of `SchemaEdit`.
#[derive(Debug, Clone)]
pub enum Edit {
    Drop(Vec<usize>),
    Keep(Vec<usize>),
    Select(Vec<usize>),
    Rename(usize, String),
    Reorder(Vec<usize>),
    /// … and whether a row whose value cannot be cast is rejected, or has null there.
    Cast(usize, Type, bool),
    Add(String, Value, Type),
    Default(usize, Value),
}

impl Edit {
    fn ron(&self, t: &Table) -> String {
        let name = |c: &usize| &t.columns[*c].name;
        match self {
            Edit::Drop(columns) => format!("Drop({})", names(t, columns)),
            Edit::Keep(columns) => format!("Keep({})", names(t, columns)),
            Edit::Select(columns) => format!("Select({})", names(t, columns)),
            Edit::Reorder(columns) => format!("Reorder({})", names(t, columns)),
            Edit::Rename(c, to) => format!("Rename({:?}, {to:?})", name(c)),
            Edit::Cast(c, to, rejects) => {
                let on_error = if *rejects { "Reject" } else { "Null" };
                format!("Cast({:?}, {}, on_error: {on_error})", name(c), to.ron())
            }
            Edit::Add(to, value, is) => format!("Add({to:?}, {}, {})", value.ron(), is.ron()),
            Edit::Default(c, value) => format!("Default({:?}, {})", name(c), value.ron()),
        }
    }
}

/// A column of `Aggregate` or `Window`.
#[derive(Debug, Clone)]
pub enum Aggregate {
    Rows,
    RowsIf(Test),
    Count(usize),
    Distinct(usize),
    Sum(usize),
    Least(usize),
    Most(usize),
}

impl Aggregate {
    fn sql(&self, t: &Table) -> String {
        let name = |c: &usize| t.columns[*c].name.clone();
        match self {
            Aggregate::Rows => "count(*)".into(),
            Aggregate::RowsIf(test) => format!("count(*) filter (where {})", test.sql(t)),
            Aggregate::Count(c) => format!("count({})", name(c)),
            Aggregate::Distinct(c) => format!("count(distinct {})", name(c)),
            Aggregate::Sum(c) if t.columns[*c].is == Type::Decimal => {
                format!("cast(sum({}) as decimal(10,2))", name(c))
            }
            Aggregate::Sum(c) => format!("sum({})", name(c)),
            Aggregate::Least(c) => format!("min({})", name(c)),
            Aggregate::Most(c) => format!("max({})", name(c)),
        }
    }

    pub fn is(&self, t: &Table) -> Type {
        match self {
            Aggregate::Sum(c) | Aggregate::Least(c) | Aggregate::Most(c) => t.columns[*c].is,
            _ => Type::Int,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    Inner,
    Left,
    Right,
    Full,
    Semi,
    Anti,
}

/// Which rows of two inputs are near each other: columns of time, and microseconds.
#[derive(Debug, Clone)]
pub struct Near {
    pub times: [usize; 2],
    pub before: i64,
    pub after: i64,
}

#[derive(Debug, Clone, Copy)]
pub enum Span {
    Tumbling { size: i64, offset: i64 },
    Sliding { size: i64, every: i64, offset: i64 },
    Session { gap: i64 },
    Stagger { size: i64 },
}

#[derive(Debug, Clone)]
pub enum Otherwise {
    Drop,
    Port,
    Reject,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    Any,
    First,
    Last,
}

/// A node but for sources and sinks.
#[derive(Debug, Clone)]
pub enum Op {
    Filter(Test),
    Derive(Vec<(String, Expression)>),
    Edit(Edit),
    DropNulls {
        columns: Vec<usize>,
        all: bool,
    },
    /// Exact copies where there are no keys. `by` is all other columns, so that no two rows are equal in it.
    Dedup {
        keys: Vec<usize>,
        keep: Keep,
        by: Vec<usize>,
        within: Option<(usize, i64)>,
    },
    Aggregate {
        by: Vec<usize>,
        columns: Vec<(String, Aggregate)>,
    },
    Window {
        keys: Vec<usize>,
        time: usize,
        span: Span,
        columns: Vec<(String, Aggregate)>,
    },
    GroupSort {
        keys: Vec<usize>,
        time: usize,
        gap: i64,
        most: Option<i64>,
        position: Option<String>,
    },
    Join {
        on: Vec<(usize, usize)>,
        how: How,
        near: Option<Near>,
    },
    /// All columns, each with whether it descends: then rows that are equal in them are equal.
    Sort(Vec<(usize, bool)>),
    Limit {
        rows: usize,
        offset: usize,
    },
    Union {
        by_name: bool,
        tag: Option<String>,
    },
    Route {
        tests: Vec<Test>,
        otherwise: Otherwise,
        all: bool,
    },
}

fn names(t: &Table, columns: &[usize]) -> String {
    format!("{:?}", columns.iter().map(|&c| t.columns[c].name.as_str()).collect::<Vec<_>>())
}

pub fn period(micros: i64) -> String {
    match micros % 1_000_000 {
        0 => format!("\"{}s\"", micros / 1_000_000),
        _ => format!("\"{}us\"", micros),
    }
}

impl Op {
    /// The output ports but `errors`, as they stand behind the name of the node.
    pub fn ports(&self) -> Vec<&'static str> {
        match self {
            Op::Route { tests, otherwise, .. } => {
                let mut ports = [".a", ".b", ".c"][..tests.len()].to_vec();
                if matches!(otherwise, Otherwise::Port) {
                    ports.push(".other");
                }
                ports
            }
            Op::Window { .. } | Op::GroupSort { .. } => vec!["", ".late"],
            _ => vec![""],
        }
    }

    /// Whether there can be rows on `errors`.
    pub fn rejects(&self) -> bool {
        matches!(
            self,
            Op::Derive(_)
                | Op::Edit(Edit::Cast(..))
                | Op::Route { .. }
                | Op::Window { .. }
                | Op::GroupSort { .. }
                | Op::Filter(_)
                | Op::Aggregate { .. }
        ) || matches!(self, Op::Join { near: Some(_), .. } | Op::Dedup { within: Some(_), .. })
    }

    /// The node, of inputs with these columns. `input` is its first field.
    pub fn ron(&self, input: &str, of: &[&Table]) -> String {
        let t = of[0];
        let aggregates = |columns: &[(String, Aggregate)]| {
            let columns = columns.iter().map(|(name, a)| format!("{name:?}: {:?}", a.sql(t)));
            format!("{{ {} }}", columns.collect::<Vec<_>>().join(", "))
        };
        let name = |c: &usize| format!("{:?}", t.columns[*c].name);
        match self {
            Op::Filter(test) => format!("Filter({input}, where: {:?})", test.sql(t)),
            Op::Derive(columns) => {
                // A later expression sees the columns before it, but these use only what came in.
                let columns = columns.iter().map(|(name, e)| format!("{name:?}: {:?}", e.sql(t)));
                format!("Derive({input}, columns: {{ {} }})", columns.collect::<Vec<_>>().join(", "))
            }
            Op::Edit(edit) => format!("SchemaEdit({input}, edits: [{}])", edit.ron(t)),
            Op::DropNulls { columns, all } => {
                let how = if *all { "All" } else { "Any" };
                format!("DropNulls({input}, columns: {}, how: {how})", names(t, columns))
            }
            Op::Dedup { keys, keep, by, within } => {
                let keep = match by.is_empty() {
                    true => format!("{keep:?}{}", if *keep == Keep::Any { "" } else { "()" }),
                    false => format!("{keep:?}(by: {})", names(t, by)),
                };
                let keyed = format!(", keys: {}, keep: {keep}", names(t, keys));
                let within =
                    within.map(|(time, length)| format!(", within: (time: {}, for: {})", name(&time), period(length)));
                let keyed = if keys.is_empty() { String::new() } else { keyed };
                format!("Dedup({input}{keyed}{})", within.unwrap_or_default())
            }
            Op::Aggregate { by, columns } => {
                format!("Aggregate({input}, by: {}, columns: {})", names(t, by), aggregates(columns))
            }
            Op::Window { keys, time, span, columns } => {
                let (window, offset) = match *span {
                    Span::Tumbling { size, offset } => (format!("Tumbling({})", period(size)), offset),
                    Span::Sliding { size, every, offset } => {
                        (format!("Sliding(size: {}, every: {})", period(size), period(every)), offset)
                    }
                    Span::Session { gap } => (format!("Session(gap: {})", period(gap)), 0),
                    Span::Stagger { size } => (format!("Stagger({})", period(size)), 0),
                };
                let offset = if offset == 0 { String::new() } else { format!(", offset: {}", period(offset)) };
                format!(
                    "Window({input}, keys: {}, time: {}, window: {window}{offset}, aggregates: {})",
                    names(t, keys),
                    name(time),
                    aggregates(columns)
                )
            }
            Op::GroupSort { keys, time, gap, most, position } => {
                let most = most.map(|most| format!(", max_session: {}", period(most))).unwrap_or_default();
                let position = position.as_ref().map(|p| format!(", position: {p:?}")).unwrap_or_default();
                let (keys, time, gap) = (names(t, keys), name(time), period(*gap));
                format!("GroupSort({input}, keys: {keys}, time: {time}, gap: {gap}{most}{position})")
            }
            Op::Join { on, how, near } => {
                let right = |c: usize| format!("{:?}", of[1].columns[c].name);
                let pair = |l: usize, r: usize| match t.columns[l].name == of[1].columns[r].name {
                    true => name(&l),
                    false => format!("({}, {})", name(&l), right(r)),
                };
                let on = on.iter().map(|&(l, r)| pair(l, r)).collect::<Vec<_>>().join(", ");
                let near = near.as_ref().map(|near| {
                    let bound = |name: &str, length: i64| match length {
                        0 => String::new(),
                        length => format!(", {name}: {}", period(length)),
                    };
                    let time = pair(near.times[0], near.times[1]);
                    format!(", within: (time: {time}{}{})", bound("before", near.before), bound("after", near.after))
                });
                format!("Join({input}, on: [{on}], how: {how:?}{})", near.unwrap_or_default())
            }
            Op::Sort(by) => {
                let by = by.iter().map(|(c, down)| if *down { format!("Desc({})", name(c)) } else { name(c) });
                format!("Sort({input}, by: [{}])", by.collect::<Vec<_>>().join(", "))
            }
            Op::Limit { rows, offset } => format!("Limit({input}, rows: {rows}, offset: {offset})"),
            Op::Union { by_name, tag } => {
                let tag = tag.as_ref().map(|tag| format!(", tag: {tag:?}")).unwrap_or_default();
                format!("Union({input}, by: {}{tag})", if *by_name { "Name" } else { "Position" })
            }
            Op::Route { tests, otherwise, all } => {
                let routes =
                    tests.iter().zip(["a", "b", "c"]).map(|(test, name)| format!("{name:?}: {:?}", test.sql(t)));
                let otherwise = match otherwise {
                    Otherwise::Port => "Port(\"other\")".to_string(),
                    other => format!("{other:?}"),
                };
                let routes = routes.collect::<Vec<_>>().join(", ");
                format!("Route({input}, routes: {{ {routes} }}, otherwise: {otherwise}, all: {all})")
            }
        }
    }
}
