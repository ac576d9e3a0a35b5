//! The Sql node: results, names and problems, rows in adverse order, spilling.

use super::*;
use arrow::array::{Int64Array, StringArray};
use proptest::prelude::*;
use selvedge_node::{Memory, Span};
use selvedge_testkit::{Case, Recorder, show, sorted};

const ORDERS: &str = "order_id:Int64 | Customer | amount:Float64
                      1              | ann      | 10
                      2              | bob      | 5
                      3              | ann      | 2.5
                      4              | null     | 1";
const CUSTOMERS: &str = "name | state
                         ann  | NY
                         bob  | null
                         eve  | CA";

fn case(query: &str) -> Case<Sql> {
    Case::<Sql>::new(&format!("(query: {query:?})")).port("orders", ORDERS).port("customers", CUSTOMERS)
}

#[test]
fn joins_and_groups() {
    let done = case(
        "select c.name, c.state, sum(o.amount) as total, count(*) as n from orders o join customers c on o.customer = c.name \
         group by c.name, c.state",
    )
    .run();
    done.expect("name | state | total:Float64 | n:Int64\nann | NY | 12.5 | 2\nbob | null | 5 | 1");
    assert_eq!(done.absorbed["queried"], 7);
    assert_eq!(done.created["result rows"], 2);
}

/// A null is in no list and not outside of one.
#[test]
fn a_null_compared_twice_is_null() {
    for wheres in [
        "not (customer in ('ann') and customer in ('bob', 'eve'))",
        "customer not in ('x', 'y') or customer not in ('z')",
    ] {
        let query = format!("select order_id from orders where {wheres}");
        case(&query).run().expect("order_id:Int64\n1\n2\n3");
    }
    let done = case("select order_id, customer = 'ann' and customer = 'bob' from orders where order_id > 2").run();
    let found = show(&done.rows(0));
    assert!(found.contains("3 | false") && found.contains("4 | null"), "{found}");
    assert!(found.contains("orders.Customer = Utf8(\"ann\") AND"), "the column keeps its name: {found}");
}

#[test]
fn only_queries_that_take_each_row_by_itself_need_no_end() {
    let instead = |query: &str| case(query).build().unwrap().waits_for_end;
    assert_eq!(instead("select upper(customer) as c, amount * 2 as twice from orders"), None);
    assert_eq!(instead("select customer from orders union all select name from customers"), None);
    for (query, expected) in [
        ("select customer, sum(amount) as s from orders group by customer", "use Window"),
        ("select distinct customer from orders", "use Window"),
        ("select customer from orders order by amount", "leave `order by` out, or use GroupSort"),
        ("select customer from orders where amount > 2", "use Filter"),
        ("select c.state from orders o join customers c on o.customer = c.name", "use Join with `within`"),
        ("select order_id, row_number() over (partition by customer) as n from orders", "use Derive"),
    ] {
        let found = instead(query).unwrap_or_default();
        assert!(found.starts_with(expected), "{query}: {found}");
    }
}

#[test]
fn a_port_may_be_read_twice() {
    case("select a.order_id, b.order_id as other from orders a join orders b on a.customer = b.customer and a.order_id < b.order_id")
        .run()
        .expect("order_id:Int64 | other:Int64\n1 | 3");
    case("with big as (select * from orders where amount > 2) select count(*) as n from big union all select count(*) from orders")
        .run()
        .expect("n:Int64\n3\n4");
}

#[test]
fn what_a_query_can_say() {
    case("select name from customers where name not in (select customer from orders where customer is not null)")
        .run()
        .expect("name\neve");
    case("select order_id, row_number() over (partition by customer order by amount desc) as rank from orders where customer = 'ann'")
        .run()
        .expect("order_id:Int64 | rank:UInt64\n1 | 1\n3 | 2");
    case("select upper(state) as s, now() is not null as b from customers order by s desc nulls last limit 2")
        .run()
        .expect_in_order("s | b:Boolean\nNY | true\nCA | true");
    let built = case("select name from customers order by name").build().unwrap();
    assert!(built.ordered && built.notes.join("\n").contains("SortExec"), "{:?}", built.notes);
    case("select 1 as one").run().expect("one:Int64\n1");
    case("select order_id from orders left join customers on customer = name where name is null")
        .run()
        .expect("order_id:Int64\n4");
    let hash = "(query: \"select o.order_id from orders o join customers c on o.customer = c.name\", joins: Hash)";
    let hash = Case::<Sql>::new(hash).port("orders", ORDERS).port("customers", CUSTOMERS);
    assert!(hash.build().unwrap().notes.join("\n").contains("HashJoinExec"));
    hash.run().expect("order_id:Int64\n1\n2\n3");
}

#[test]
fn a_limit_lets_go_of_the_rest() {
    let done = case("select order_id from orders limit 2").run();
    assert_eq!(done.rows(0).num_rows(), 2);
    assert_eq!(done.absorbed["queried"], 7);
}

#[test]
fn wrong_queries_are_found_while_planning() {
    let problems = |query: &str| case(query).problems();
    assert!(problems("select * from ordrs").starts_with("no table named `ordrs`"));
    assert!(
        problems("select custmer from orders").contains("did you mean `Customer`"),
        "{}",
        problems("select custmer from orders")
    );
    assert!(problems("select uper(customer) as c from orders").contains("did you mean `upper`"));
    let twice = problems("select name, name from customers");
    assert!(twice.contains("have the same name"), "{twice}");
    let twice = problems("select o.amount, a.amount from orders o, orders a");
    assert!(twice.contains("called `amount`"), "{twice}");
    assert!(problems("drop table orders").contains("expected one query"));
    assert!(problems("select 1; select 2").contains("expected one query"));
    assert!(problems("copy orders to 'x.csv'").contains("expected one query"));
    assert!(problems("select customer from orders where (amount").contains("expected"));
    assert!(problems("").contains("expected one query"));
    assert!(problems("select * from 'secrets.csv'").contains("no table named"));
}

#[test]
fn problems_point_into_the_query() {
    let text = "select o.amount,\n       o.amont from orders o";
    let inputs = [Input {
        port: "orders".into(),
        schema: selvedge_testkit::table(ORDERS).schema(),
        span: Span::default(),
        unbounded: false,
    }];
    // As it stands in the file: a quote before and one after.
    let query =
        Spanned::new(text.to_string(), Span { start: 100, end: 100 + text.len() as u32 + 2, ..Span::default() });
    let config = Config { query, joins: Joins::Merge };
    let connections = selvedge_testkit::NoConnections::default();
    let site = selvedge_testkit::site(std::path::Path::new("."), &connections);
    let Err(problems) = Sql::build(config, &site, &inputs) else { panic!("no problem") };
    let span = problems.0[0].span.unwrap();
    let at = |offset: u32| (offset - 101) as usize;
    assert_eq!(&text[at(span.start)..at(span.end)], "o.amont", "{problems}");
}

fn task(memory: u64, scratch: &std::path::Path) -> Task {
    Task {
        run: "test".into(),
        node: "node".into(),
        instance: 0,
        instances: 1,
        memory: Memory::new(memory),
        scratch: scratch.to_path_buf(),
        batch_rows: 8192,
        batch_bytes: 1 << 20,
        wake: Default::default(),
    }
}

/// Runs a query over two ports whose batches come in the given order of ports.
fn run(query: &str, joins: &str, inputs: &[RecordBatch; 2], order: &[usize], piece: usize, memory: u64) -> RecordBatch {
    try_run(query, joins, inputs, order, piece, memory).unwrap()
}

fn try_run(
    query: &str,
    joins: &str,
    inputs: &[RecordBatch; 2],
    order: &[usize],
    piece: usize,
    memory: u64,
) -> Result<RecordBatch> {
    let config = selvedge_testkit::config::<Config>(&format!("(query: {query:?}, joins: {joins})")).unwrap();
    let ports: Vec<Input> = ["l", "r"]
        .iter()
        .zip(inputs)
        .map(|(port, rows)| Input {
            port: port.to_string(),
            schema: rows.schema(),
            span: Span::default(),
            unbounded: false,
        })
        .collect();
    let connections = selvedge_testkit::NoConnections::default();
    let built = Sql::build(config, &selvedge_testkit::site(std::path::Path::new("."), &connections), &ports).unwrap();
    let selvedge_node::Work::Transform(make) = built.work else { panic!("a transform") };
    let scratch = tempfile::tempdir().unwrap();
    let task = task(memory, scratch.path());
    let mut node = make(&task).unwrap();
    let mut out = Recorder::default();
    let mut at = [0, 0];
    let mut ended = [false, false];
    // First in the given order, then whatever is left of either port.
    let rest = (0..2).flat_map(|port| std::iter::repeat_n(port, inputs[port].num_rows() / piece + 2));
    for port in order.iter().copied().chain(rest) {
        let rows = piece.min(inputs[port].num_rows() - at[port]);
        if rows > 0 {
            node.process(port, inputs[port].slice(at[port], rows), &mut out)?;
            at[port] += rows;
        } else if !ended[port] {
            node.end(port, &mut out)?;
            ended[port] = true;
        }
    }
    assert_eq!(ended, [true, true]);
    node.finish(&mut out)?;
    drop(node);
    assert_eq!(task.memory.used(), 0, "memory is given back");
    out.check_law((inputs[0].num_rows() + inputs[1].num_rows()) as u64);
    let sent = out.sent.remove(&0).unwrap_or_default();
    Ok(arrow::compute::concat_batches(&built.outputs[0], &sent)?)
}

const JOIN: &str = "select l.k, l.v, r.v as w from l join r on l.k = r.k";
const UNION: &str = "select k, v from l union all select k, v from r";
const OUTER: &str = "select coalesce(l.k, r.k) as k, count(*) as n from l full join r on l.k = r.k group by 1";

fn rows(keys: &[Option<i64>]) -> RecordBatch {
    let k: Int64Array = keys.iter().copied().collect();
    let v: StringArray = (0..keys.len()).map(|i| Some(format!("value {i}"))).collect();
    RecordBatch::try_from_iter_with_nullable([
        ("k", Arc::new(k) as ArrayRef, true),
        ("v", Arc::new(v) as ArrayRef, true),
    ])
    .unwrap()
}

fn multiset(batch: &RecordBatch) -> String {
    sorted(std::slice::from_ref(batch)).map(|b| show(&b)).unwrap_or_default()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]
    #[test]
    fn the_order_of_arrival_changes_nothing(
        left in prop::collection::vec(prop::option::of(0i64..8), 0..40),
        right in prop::collection::vec(prop::option::of(0i64..8), 0..40),
        mixed in prop::collection::vec(0usize..2, 0..30),
        piece in 1usize..20,
    ) {
        let inputs = [rows(&left), rows(&right)];
        for query in [JOIN, UNION, OUTER] {
            let whole = multiset(&run(query, "Merge", &inputs, &[0, 1], 1000, 64 << 20));
            let mut expected = 0;
            for l in &left {
                expected += right.iter().filter(|r| l.is_some() && *r == l).count();
            }
            if query == JOIN {
                prop_assert_eq!(whole.lines().count() - 1, expected);
            }
            for joins in ["Merge", "Hash"] {
                for order in [&[][..], &[1; 50][..], &mixed[..]] {
                    prop_assert_eq!(&multiset(&run(query, joins, &inputs, order, piece, 64 << 20)), &whole);
                }
            }
        }
    }
}

#[test]
fn what_outgrows_memory_spills_and_is_the_same() {
    let keys: Vec<Option<i64>> = (0..30_000).map(|i: i64| Some(i.wrapping_mul(48_271) % 25_000)).collect();
    let inputs = [rows(&keys), rows(&keys[..15_000])];
    for query in [JOIN, OUTER, "select v, count(*) as n from l group by v union all select v, 0 from r order by v"] {
        let plenty = multiset(&run(query, "Merge", &inputs, &[1; 100], 4096, 256 << 20));
        let little = multiset(&run(query, "Merge", &inputs, &[1; 100], 1000, 2 << 20));
        assert!(plenty == little, "{query}");
    }
}

#[test]
fn a_hash_join_that_does_not_fit_says_what_to_do() {
    let keys: Vec<Option<i64>> = (0..50_000).map(Some).collect();
    let inputs = [rows(&keys), rows(&keys)];
    let message = try_run(JOIN, "Hash", &inputs, &[], 4096, 1 << 20).unwrap_err().to_string();
    assert!(message.contains("of the run's 1048576 bytes") && message.contains("--memory"), "{message}");
}

#[test]
fn what_cannot_spill_is_counted_and_says_what_to_do() {
    let keys: Vec<Option<i64>> = (0..120_000).map(Some).collect();
    let inputs = [rows(&keys), rows(&keys[..10])];
    for query in [
        "select l.k, l.v, r.v as w from l cross join r",
        "select k from l where v not in (select v from l)",
        "select array_agg(v) as a from l",
        "select string_agg(v, ', ') as a from l",
        "select k % 2 as odd, array_agg(v) as a from l group by 1",
        "select k % 2 as odd, string_agg(v, ', ') as a from l group by 1",
        "with recursive t as (select 1 as n union all select n + 1 from t cross join (values (1), (2)) b) select n from t",
    ] {
        let refused = try_run(query, "Merge", &inputs, &[], 4096, 1 << 20).unwrap_err().to_string();
        assert!(refused.contains("of the run's 1048576 bytes") && refused.contains("--memory"), "{query}: {refused}");
    }
}

#[test]
fn a_constant_list_may_be_unnested() {
    case("select count(*) as n from (select unnest(range(0, 100000)) as i)").run().expect("n:Int64\n100000");
    let problems = case("select unnest(range(0, 100000)) as i, order_id from orders").problems();
    assert!(problems.contains("which stands on every row"), "{problems}");
}

#[test]
fn an_input_cannot_be_read_again_and_again() {
    let problems = |from: &str| {
        case(&format!("with recursive t as (select order_id as n from orders union all {from}) select n from t"))
            .problems()
    };
    let again = problems("select t.n + 1 from t join orders on order_id = t.n");
    assert!(again.contains("the part of `with recursive` that repeats"), "{again}");
    let once = "with recursive t as (select order_id as n from orders union all select n * 10 from t where n < 4) select n from t";
    case(once).run().expect("n:Int64\n1\n2\n3\n4\n10\n20\n30");
}

/// An output of a run that is stopped after a while.
struct Stops(std::cell::Cell<usize>);

impl Out for Stops {
    fn send(&mut self, _: usize, _: RecordBatch) -> Result<()> {
        Ok(())
    }
    fn drop_rows(&mut self, _: &str, _: u64, _: &dyn Fn(usize) -> Vec<String>) {}
    fn altered(&mut self, _: &str, _: u64, _: &dyn Fn(usize) -> Vec<String>) {}
    fn reject(&mut self, _: selvedge_node::Rejection) -> Result<()> {
        Ok(())
    }
    fn absorb(&mut self, _: &str, _: u64) {}
    fn create(&mut self, _: &str, _: u64) {}
    fn stopping(&self) -> bool {
        self.0.set(self.0.get().saturating_sub(1));
        self.0.get() == 0
    }
}

#[test]
fn what_never_ends_stops_with_the_run_in_flat_memory() {
    for query in [
        "select value from generate_series(1, 9000000000000000000)",
        "select count(*) as n from generate_series(1, 9000000000000000000)",
        "select max(value) as n from range(0, 9000000000000000000, 1) where value < 0",
        "select * from generate_series(timestamp '1970-01-01', timestamp '2200-01-01', interval '1 microsecond')",
        "with recursive t as (select 1 as n union all select n + 1 from t) select n from t",
        "with recursive t as (select 1 as n union all select n + 1 from t) select count(*) as n from t",
        "select count(*) as n from generate_series(1, 9000000000000000000) a, l",
    ] {
        let config = selvedge_testkit::config::<Config>(&format!("(query: {query:?})")).unwrap();
        let port = Input { port: "l".into(), schema: rows(&[]).schema(), span: Span::default(), unbounded: false };
        let connections = selvedge_testkit::NoConnections::default();
        let site = selvedge_testkit::site(std::path::Path::new("."), &connections);
        let built = Sql::build(config, &site, &[port]).unwrap_or_else(|p| panic!("{query}: {p}"));
        let selvedge_node::Work::Transform(make) = built.work else { panic!("a transform") };
        let scratch = tempfile::tempdir().unwrap();
        let task = task(16 << 20, scratch.path());
        let mut node = make(&task).unwrap();
        let mut out = Stops(std::cell::Cell::new(50));
        let stopped = node.process(0, rows(&[Some(1), Some(2)]), &mut out).and_then(|()| node.end(0, &mut out));
        let stopped = stopped.and_then(|()| node.finish(&mut out)).unwrap_err();
        assert!(stopped.is_stopped(), "{query}: {stopped}");
        assert!(task.memory.used() < 2 << 20, "{query}: {}", task.memory.used());
    }
}

/// Which columns rows are dealt out by.
fn by_key(query: &str) -> Option<Vec<usize>> {
    let case = Case::<Sql>::new(&format!("(query: {query:?})")).port("orders", ORDERS);
    match case.build().unwrap().partitioning {
        Partitioning::Keys(keys) => Some(keys[0].clone()),
        _ => None,
    }
}

#[test]
fn windows_by_one_column_run_side_by_side() {
    let named = |name: &str| {
        let case = Case::<Sql>::new("(query: \"select * from orders\")").port("orders", ORDERS);
        case.build().unwrap().outputs[0].index_of(name).unwrap()
    };
    let (customer, order) = (named("Customer"), named("order_id"));
    let rank = "row_number() over (partition by customer order by order_id) as n";
    for (query, keys) in [
        (format!("select *, {rank} from orders"), Some(vec![customer])),
        (format!("select n from (select *, {rank} from orders) where n = 1"), Some(vec![customer])),
        (
            format!(
                "with a as (select customer as c, amount, {rank} from orders) select c, n, sum(amount) as s from a group by c, n"
            ),
            Some(vec![customer]),
        ),
        (
            "select *, count(*) over (partition by customer, order_id) as n from orders".into(),
            Some(vec![customer, order]),
        ),
        (format!("select *, {rank}, count(*) over (partition by order_id) as m from orders"), None),
        (format!("select n, count(*) as c from (select {rank} from orders) group by n"), None),
        (format!("select *, {rank} from orders order by order_id"), None),
        (format!("select *, {rank} from orders limit 3"), None),
        (format!("select *, {rank}, count(*) over () as m from orders"), None),
        ("select *, row_number() over (partition by upper(customer)) as n from orders".into(), None),
        ("select customer, count(*) as n from orders group by customer".into(), None),
        (format!("select {rank} from orders union all select 1"), None),
        (
            format!(
                "select a.n from (select {rank}, customer from orders) a join orders on a.customer = orders.customer"
            ),
            None,
        ),
    ] {
        assert_eq!(by_key(&query), keys, "{query}");
    }
}
