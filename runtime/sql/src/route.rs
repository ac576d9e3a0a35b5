//! `Route`: rows to the port of the first predicate that is true for them.

use crate::expr::{Compiled, compile_predicate};
use crate::filter::{choose, rows_but};
use crate::named::Named;
use crate::reject::reject_bad;
use arrow::array::AsArray;
use arrow::buffer::BooleanBuffer;
use arrow::compute::filter_record_batch;
use selvedge_node::prelude::*;

/// See [`Kind::ABOUT`].
pub struct Route;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// SQL predicates by the name of their output port. They are tried in this order.
    routes: Named,
    /// What becomes of rows for which no predicate is true.
    #[serde(default)]
    otherwise: Otherwise,
    /// Sends a row to every port whose predicate is true, instead of the first alone.
    #[serde(default)]
    all: bool,
}

#[derive(Deserialize, JsonSchema, Default)]
pub enum Otherwise {
    /// Dropped with the reason `no route`.
    #[default]
    Drop,
    /// Sent to the port of this name, one of the routes' or another.
    Port(Spanned<String>),
    /// Sent to `errors` with the code `no route`.
    Reject,
}

const NO_ROUTE: &str = "no route";

impl Kind for Route {
    const NAME: &'static str = "Route";
    const ROLE: Role = Role::Transform;
    const ABOUT: &'static str = "sends rows to different ports by SQL predicates";
    const DOCS: &'static str = "\
Each route is an output port and an SQL predicate; what follows reads `node.port`, and `node` alone means the first route. A row \
goes to the first port whose predicate is true, or with `all: true` to each of them. A predicate that is null is not true.

**Dropped rows**, reason `no route`: no predicate is true and `otherwise` is `Drop`.

**Rejected rows**: code `no route` where `otherwise` is `Reject`; code `expression` where a predicate cannot be evaluated for a \
row that no earlier one has taken.

**Created rows**, reason `copied`: with `all: true`, each sending of a row after the first.";
    const EXAMPLE: &'static str = "Route(input: \"products\", routes: {\"food\": \"category = 'PRODUCE'\", \
                                   \"toys\": \"category = 'TOYS'\"}, otherwise: Port(\"other\"))";
    type Config = Config;

    fn ports(config: &Config) -> Ports {
        let mut outputs: Vec<String> = config.routes.0.iter().map(|(port, _)| port.value.clone()).collect();
        if let Otherwise::Port(port) = &config.otherwise
            && !outputs.contains(&port.value)
        {
            outputs.push(port.value.clone());
        }
        Ports { inputs: Inputs::One, outputs }
    }

    fn build(config: Config, site: &Site, inputs: &[Input]) -> std::result::Result<Built, Problems> {
        let schema = &inputs[0].schema;
        let mut problems = Problems::default();
        if config.routes.0.is_empty() {
            problems.push(site.error("expected at least one route").help("routes: {\"port\": \"predicate\"}"));
        }
        for (port, _) in config.routes.0.iter().filter(|(port, _)| port.value == selvedge_node::ERRORS_PORT) {
            problems
                .push(Problem::error(port.span, "`errors` is the port of rejected rows").help("choose another name"));
        }
        let outputs = Self::ports(&config).outputs;
        let mut routes = vec![];
        for (_, predicate) in &config.routes.0 {
            routes.extend(problems.take(compile_predicate(schema, predicate)));
        }
        let otherwise = match &config.otherwise {
            Otherwise::Drop => Rest::Drop,
            Otherwise::Reject => Rest::Reject,
            Otherwise::Port(port) => Rest::Port(outputs.iter().position(|o| o == &port.value).unwrap_or(0)),
        };
        problems.or(())?;
        let work = Work { routes, otherwise, all: config.all };
        Ok(Built::map(schema.clone(), work).outputs(vec![schema.clone(); outputs.len()]).may_reject(true))
    }
}

enum Rest {
    Drop,
    Port(usize),
    Reject,
}

struct Work {
    routes: Vec<Compiled>,
    otherwise: Rest,
    all: bool,
}

impl Map for Work {
    fn map(&self, batch: RecordBatch, out: &mut dyn Out) -> Result<()> {
        let rows = batch.num_rows();
        // Rows that are still to be judged, and those that went nowhere so far.
        let mut open = BooleanBuffer::new_set(rows);
        let mut unsent = open.clone();
        let mut sending: Vec<Option<BooleanBuffer>> = vec![];
        for predicate in &self.routes {
            let count = open.count_set_bits();
            if count == 0 {
                break;
            }
            let values = choose(predicate, &batch, &open, count)?;
            if !values.bad.is_empty() {
                reject_bad(out, &batch, predicate, &values.bad)?;
                let good = rows_but(rows, &values.bad);
                open = &open & &good;
                unsent = &unsent & &good;
                sending.iter_mut().flatten().for_each(|taken| *taken = &*taken & &good);
            }
            let truth = values.array.as_boolean();
            let mut taken = &open & truth.values();
            if let Some(valid) = truth.nulls() {
                taken = &taken & valid.inner();
            }
            unsent = &unsent & &!&taken;
            if !self.all {
                open = unsent.clone();
            }
            sending.push(Some(taken));
        }
        let mut sent = 0;
        let mut first = BooleanBuffer::new_unset(rows);
        for (port, taken) in sending.into_iter().enumerate() {
            let Some(taken) = taken else { continue };
            let count = taken.count_set_bits();
            sent += count;
            first = &first | &taken;
            send(out, port, &batch, taken, count)?;
        }
        let copies = sent - first.count_set_bits();
        if copies > 0 {
            out.create("copied", copies as u64);
        }
        let count = unsent.count_set_bits();
        match self.otherwise {
            Rest::Drop => out.drop_where(NO_ROUTE, &batch, &BooleanArray::new(unsent, None)),
            Rest::Port(port) => send(out, port, &batch, unsent, count)?,
            Rest::Reject => {
                let rows: Vec<usize> = unsent.set_indices().collect();
                out.reject_rows(NO_ROUTE, &batch, &rows, &|_| "no route takes this row".to_string())?;
            }
        }
        Ok(())
    }
}

fn send(out: &mut dyn Out, port: usize, batch: &RecordBatch, rows: BooleanBuffer, count: usize) -> Result<()> {
    match count {
        0 => Ok(()),
        all if all == batch.num_rows() => out.send(port, batch.clone()),
        _ => out.send(port, filter_record_batch(batch, &BooleanArray::new(rows, None))?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use selvedge_testkit::Case;

    const PRODUCTS: &str = "name | category | qty:Int32
                            kale | PRODUCE  | 3
                            lego | TOYS     | 0
                            book | null     | 1
                            plum | PRODUCE  | 0";

    #[test]
    fn the_first_true_route_takes_a_row() {
        let done = Case::<Route>::new(
            r#"(routes: {"food": "category = 'PRODUCE'", "gone": "qty = 0"}, otherwise: Port("other"))"#,
        )
        .input(PRODUCTS)
        .run();
        assert_eq!(
            done.sorted_text(0),
            "name:Utf8 | category:Utf8 | qty:Int32\nkale | PRODUCE | 3\nplum | PRODUCE | 0"
        );
        assert_eq!(done.sorted_text(1), "name:Utf8 | category:Utf8 | qty:Int32\nlego | TOYS | 0");
        assert_eq!(done.sorted_text(2), "name:Utf8 | category:Utf8 | qty:Int32\nbook | null | 1");
    }

    #[test]
    fn copies_are_counted() {
        let done = Case::<Route>::new(r#"(routes: {"food": "category = 'PRODUCE'", "gone": "qty = 0"}, all: true)"#)
            .input(PRODUCTS)
            .run();
        assert_eq!(done.rows(0).num_rows(), 2);
        assert_eq!(done.rows(1).num_rows(), 2);
        assert_eq!(done.created["copied"], 1);
        assert_eq!(done.dropped["no route"], 1);
    }

    #[test]
    fn rows_without_a_route_may_be_rejected() {
        let done = Case::<Route>::new(
            r#"(routes: {"toys": "category = 'TOYS' and 1 / qty > 0", "x": "false"}, otherwise: Reject)"#,
        )
        .input(PRODUCTS)
        .run();
        let codes: Vec<_> = done.rejected.iter().map(|r| r.code.as_str()).collect();
        assert_eq!(codes, ["expression", "no route", "no route", "no route"]);
    }

    #[test]
    fn wrong_routes_are_found_while_planning() {
        let problems = |config: &str| Case::<Route>::new(config).input(PRODUCTS).problems();
        assert!(problems("(routes: {})").starts_with("expected at least one route"));
        assert!(problems(r#"(routes: {"errors": "true"})"#).contains("port of rejected rows"));
        let both = problems(r#"(routes: {"a": "qty", "b": "qtyy > 1"})"#);
        assert!(both.contains("`qty` must be true or false") && both.contains("no column named `qtyy`"), "{both}");
    }

    proptest! {
        #[test]
        fn every_row_goes_somewhere(rows in prop::collection::vec(any::<Option<i8>>(), 0..60), all: bool, mode in 0usize..3) {
            use arrow::array::Int8Array;
            let otherwise = ["Drop", "Reject", "Port(\"b\")"][mode];
            let a: Int8Array = rows.iter().copied().collect();
            let batch = RecordBatch::try_from_iter_with_nullable([("a", Arc::new(a) as ArrayRef, true)]).unwrap();
            let done = Case::<Route>::new(&format!(
                r#"(routes: {{"x": "100 / a > 3", "b": "a < 0", "c": "a % 2 = 0"}}, otherwise: {otherwise}, all: {all})"#
            )).batch(batch).run();
            let x = rows.iter().flatten().filter(|a| **a != 0 && 100 / i32::from(**a) > 3).count();
            prop_assert_eq!(done.rows(0).num_rows(), x);
        }
    }
}
