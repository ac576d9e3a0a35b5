//! The text of a whole query: parsed, and its names looked up where DataFusion would stop at the first unknown one.

use crate::depth::check_length;
use crate::parse::{NotFound, find, syntax_problem, unknown_function};
use crate::place::Place;
use crate::session::planner;
use datafusion::sql::parser::{DFParserBuilder, Statement};
use datafusion::sql::sqlparser::ast::{
    Cte, Expr, Function, Ident, ObjectName, Query, Select, SelectItem, Statement as Ast, TableAlias, TableFactor,
    Visit, VisitMut, Visitor, VisitorMut,
};
use selvedge_node::{Input, Problem, Problems, Spanned};
use std::collections::BTreeSet;
use std::ops::ControlFlow;

/// Parses one query and binds the names of tables to ports; unquoted names may differ from theirs in letter case.
pub(crate) fn query(text: &Spanned<String>, inputs: &[Input]) -> Result<Statement, Problems> {
    let place = Place::new(text);
    check_length(text)?;
    let parsed = DFParserBuilder::new(text.value.as_str()).build().and_then(|mut parser| parser.parse_statements());
    let mut statements = parsed.map_err(|e| syntax_problem(&e, place))?;
    let only = statements.pop_front();
    let (Some(Statement::Statement(ast)), true) = (only, statements.is_empty()) else {
        return Err(not_a_query(place).into());
    };
    let Ast::Query(mut query) = *ast else { return Err(not_a_query(place).into()) };
    let mut aliases = Aliases::default();
    let _ = query.visit(&mut aliases);
    let ports: Vec<&str> = inputs.iter().map(|i| i.port.as_str()).collect();
    let fields = inputs.iter().flat_map(|i| i.schema.fields().iter().map(|f| f.name().as_str()));
    let columns: BTreeSet<&str> = aliases.columns.iter().map(String::as_str).chain(fields).collect();
    let tables: BTreeSet<&str> = aliases.tables.iter().map(String::as_str).chain(ports.iter().copied()).collect();
    let before_dot = tables.union(&columns).copied().collect();
    let mut names = Names { place, ports, columns, before_dot, ctes: &aliases.ctes, problems: Problems::default() };
    let _ = VisitMut::visit(&mut query, &mut names);
    names.problems.or(Statement::Statement(Box::new(Ast::Query(query))))
}

fn not_a_query(place: Place) -> Problem {
    Problem::error(place.whole(), "expected one query: `select … from …`")
        .help("other statements have no place in a graph")
}

/// The names that a query makes by itself.
#[derive(Default)]
struct Aliases {
    columns: Vec<String>,
    tables: Vec<String>,
    ctes: Vec<String>,
}

impl Aliases {
    fn table(&mut self, alias: &TableAlias) {
        self.tables.push(alias.name.value.clone());
        self.columns.extend(alias.columns.iter().map(|c| c.name.value.clone()));
    }
}

impl Visitor for Aliases {
    type Break = ();
    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        for Cte { alias, .. } in query.with.iter().flat_map(|w| &w.cte_tables) {
            self.ctes.push(alias.name.value.clone());
            self.table(alias);
        }
        ControlFlow::Continue(())
    }
    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<()> {
        for item in &select.projection {
            match item {
                SelectItem::ExprWithAlias { alias, .. } => self.columns.push(alias.value.clone()),
                SelectItem::ExprWithAliases { aliases, .. } => {
                    self.columns.extend(aliases.iter().map(|a| a.value.clone()))
                }
                _ => {}
            }
        }
        ControlFlow::Continue(())
    }
    fn pre_visit_table_factor(&mut self, table: &TableFactor) -> ControlFlow<()> {
        match table {
            TableFactor::Table { alias: Some(alias), .. }
            | TableFactor::Derived { alias: Some(alias), .. }
            | TableFactor::UNNEST { alias: Some(alias), .. }
            | TableFactor::TableFunction { alias: Some(alias), .. }
            | TableFactor::NestedJoin { alias: Some(alias), .. } => self.table(alias),
            _ => {}
        }
        ControlFlow::Continue(())
    }
}

struct Names<'a> {
    place: Place<'a>,
    ports: Vec<&'a str>,
    /// Those of the inputs and those that the query makes.
    columns: BTreeSet<&'a str>,
    /// What may stand before a dot: tables and columns.
    before_dot: BTreeSet<&'a str>,
    ctes: &'a [String],
    problems: Problems,
}

impl Names<'_> {
    /// Gives an unquoted name the letter case of the only thing that it can mean. What it does not know it leaves alone:
    /// DataFusion knows the scopes and says what is missing.
    fn fold(name: &mut Ident, known: &BTreeSet<&str>) {
        if !known.contains(name.value.as_str())
            && let Ok(found) = find(&name.value, name.quote_style.is_some(), known.iter().copied())
        {
            name.value = found;
            name.quote_style = Some('"');
        }
    }
}

impl VisitorMut for Names<'_> {
    type Break = ();

    fn pre_visit_relation(&mut self, relation: &mut ObjectName) -> ControlFlow<()> {
        use datafusion::sql::sqlparser::ast::ObjectNamePart;
        let [ObjectNamePart::Identifier(name)] = relation.0.as_mut_slice() else { return ControlFlow::Continue(()) };
        let known = || self.ctes.iter().map(String::as_str).chain(self.ports.iter().copied());
        match find(&name.value, name.quote_style.is_some(), known()) {
            Ok(found) => {
                name.value = found;
                name.quote_style = Some('"');
            }
            // A function that gives a table: `generate_series(1, 10)`.
            Err(NotFound::Unknown) if planner().table_functions().contains_key(&name.value.to_lowercase()) => {}
            Err(_) => {
                let span = self.place.span(name.span);
                self.problems.push(
                    Problem::unknown(span, "table", &name.value, self.ports.iter().copied())
                        .help(format!("the tables are the input ports: {}", self.ports.join(", "))),
                );
            }
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        match expr {
            Expr::Identifier(name) => Self::fold(name, &self.columns),
            Expr::CompoundIdentifier(parts) => {
                if let [table, name, ..] = parts.as_mut_slice() {
                    Self::fold(table, &self.before_dot);
                    Self::fold(name, &self.columns);
                }
            }
            Expr::Function(Function { name: ObjectName(parts), .. }) => {
                if let [part] = parts.as_slice()
                    && let Some(name) = part.as_ident()
                    && let Some(problem) = unknown_function(name, self.place)
                {
                    self.problems.push(problem);
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }
}
