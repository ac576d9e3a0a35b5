//! SQL expression text to a syntax tree whose names are known: columns bound to a schema, functions looked up.
//!
//! DataFusion stops at the first unknown name and cannot say where most errors are. Here all unknown names of an expression
//! are found in one pass over the tree, each with its place and the nearest known names.

use crate::depth::check_length;
use crate::place::Place;
use crate::session::planner;
use arrow::datatypes::{DataType, Fields, Schema, SchemaRef};
use datafusion::common::DataFusionError;
use datafusion::sql::parser::DFParserBuilder;
use datafusion::sql::sqlparser::ast::{
    AccessExpr, Expr, Function, FunctionArguments, Ident, LambdaFunction, ObjectName, OneOrManyWithParens, Query,
    VisitMut, VisitorMut,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::tokenizer::{Span as SqlSpan, Token, Tokenizer};
use selvedge_node::{Problem, Problems, Span, Spanned};
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;

/// Where an expression stands, and so which functions it may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    /// One row in, one value out.
    Row,
    /// One aggregate function, over expressions of a row.
    Aggregate,
}

/// Parses one expression.
pub(crate) fn parse(text: &Spanned<String>) -> Result<Expr, Problem> {
    let place = Place::new(text);
    if text.value.trim().is_empty() {
        return Err(Problem::error(place.whole(), "expected an SQL expression, found nothing"));
    }
    check_length(text)?;
    let parsed = DFParserBuilder::new(text.value.as_str()).build().and_then(|mut parser| parser.parse_into_expr());
    let parsed = parsed.map_err(|e| syntax_problem(&e, place))?;
    match parsed.alias {
        None => Ok(parsed.expr),
        Some(alias) => {
            Err(Problem::error(place.span(alias.span), format!("`as {alias}` has no place in an expression"))
                .help("the name of a column is written before the expression, as the key of the map"))
        }
    }
}

/// An error of the SQL parser. Its message ends in ` at Line: 1, Column: 5`.
pub(crate) fn syntax_problem(error: &DataFusionError, place: Place) -> Problem {
    let message = crate::problem::message(error);
    let (what, at) = match message.rsplit_once(" at Line: ") {
        Some((what, at)) => {
            let mut numbers = at.split(", Column: ").map(|n| n.trim().parse::<u64>().ok());
            (what.to_string(), numbers.next().flatten().zip(numbers.next().flatten()))
        }
        None => (message, None),
    };
    let span = at.map_or(place.whole(), |(line, column)| {
        let start = place.offset(line, column);
        place.bytes(start..place_end(place, start))
    });
    Problem::error(span, what.replace(", found: EOF", ", found the end of the text").replace("found: ", "found "))
}

/// The end of the word or sign that starts at `start`.
fn place_end(place: Place, start: usize) -> usize {
    let rest = place.text().get(start..).unwrap_or("");
    let word = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
    start + word.max(rest.chars().next().map_or(0, char::len_utf8))
}

/// Binds the names of an expression to the columns of `schema`; an unquoted name may differ from its column in letter case.
/// Answers with the columns that it reads: what comes next looks at every column that it is given.
pub(crate) fn resolve(expr: &mut Expr, schema: &Schema, place: Place, usage: Use) -> Result<SchemaRef, Problems> {
    let mut resolver = Resolver {
        schema,
        place,
        usage,
        problems: Problems::default(),
        queries: 0,
        lambdas: vec![],
        fields: vec![],
        depth: 0,
        used: BTreeSet::new(),
    };
    let _ = VisitMut::visit(expr, &mut resolver);
    let used = resolver.used.iter().map(|&i| schema.fields()[i].clone()).collect::<Fields>();
    resolver.problems.or(Arc::new(Schema::new_with_metadata(used, schema.metadata().clone())))
}

struct Resolver<'a> {
    schema: &'a Schema,
    place: Place<'a>,
    usage: Use,
    problems: Problems,
    /// How many subqueries we are inside of: their names are not ours.
    queries: usize,
    /// Parameters of the lambdas around us: `v` in `array_transform(list, v -> v + 1)`.
    lambdas: Vec<String>,
    /// Places of names that are fields of something, not columns: `b` in `a[1].b`.
    fields: Vec<SqlSpan>,
    depth: usize,
    /// The columns that were named.
    used: BTreeSet<usize>,
}

impl VisitorMut for Resolver<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        use datafusion::sql::sqlparser::ast::Spanned as _;
        if self.queries == 0 {
            self.problems.push(
                Problem::error(self.place.span(query.span()), "an expression cannot hold a subquery")
                    .help("use the Sql node, which takes whole queries over several inputs"),
            );
        }
        self.queries += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.queries -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        self.depth += 1;
        if self.queries > 0 {
            return ControlFlow::Continue(());
        }
        // `user.id` reads as an access to what the function `user` gives.
        if let Expr::CompoundFieldAccess { root, access_chain } = expr
            && let Expr::Function(Function { name: ObjectName(parts), args: FunctionArguments::None, .. }) =
                root.as_ref()
            && let Some(first) = parts.first().and_then(|p| p.as_ident())
        {
            let names = access_chain.iter().map(|a| match a {
                AccessExpr::Dot(Expr::Identifier(name)) => Some(name.clone()),
                _ => None,
            });
            if let Some(rest) = names.collect::<Option<Vec<_>>>() {
                *expr = Expr::CompoundIdentifier(std::iter::once(first.clone()).chain(rest).collect());
            }
        }
        match expr {
            Expr::Identifier(name) if self.fields.contains(&name.span) => {}
            Expr::CompoundFieldAccess { access_chain, .. } => {
                self.fields.extend(access_chain.iter().filter_map(|a| match a {
                    AccessExpr::Dot(Expr::Identifier(name)) => Some(name.span),
                    _ => None,
                }));
            }
            Expr::Identifier(name) => self.identifier(name),
            Expr::CompoundIdentifier(parts) => {
                if let Some(whole) = self.compound(parts) {
                    *expr = Expr::Identifier(whole);
                }
            }
            // A few words, `user` among them, read as functions without parentheses; a column of that name comes first.
            Expr::Function(Function { name: ObjectName(parts), args: FunctionArguments::None, .. })
                if parts.len() == 1 && parts[0].as_ident().is_some_and(|name| self.find(name).is_ok()) =>
            {
                if let Some(mut name) = parts[0].as_ident().cloned() {
                    self.identifier(&mut name);
                    *expr = Expr::Identifier(name);
                }
            }
            Expr::Function(function) => self.function(function),
            Expr::Lambda(LambdaFunction { params, .. }) => match params {
                OneOrManyWithParens::One(one) => self.lambdas.push(one.name.value.clone()),
                OneOrManyWithParens::Many(many) => self.lambdas.extend(many.iter().map(|p| p.name.value.clone())),
            },
            _ => {}
        }
        ControlFlow::Continue(())
    }

    fn post_visit_expr(&mut self, expr: &mut Expr) -> ControlFlow<()> {
        self.depth -= 1;
        if let Expr::Lambda(LambdaFunction { params, .. }) = expr {
            let count = match params {
                OneOrManyWithParens::One(_) => 1,
                OneOrManyWithParens::Many(many) => many.len(),
            };
            self.lambdas.truncate(self.lambdas.len().saturating_sub(count));
        }
        ControlFlow::Continue(())
    }
}

impl Resolver<'_> {
    fn span(&self, span: SqlSpan) -> Span {
        self.place.span(span)
    }

    fn names(&self) -> impl Iterator<Item = &str> + Clone {
        self.schema.fields().iter().map(|f| f.name().as_str())
    }

    /// The column that a name means.
    fn find(&self, name: &Ident) -> Result<String, Problem> {
        find(&name.value, name.quote_style.is_some(), self.names()).map_err(|e| match e {
            NotFound::Ambiguous(names) => {
                let list = names.iter().map(|n| format!("\"{n}\"")).collect::<Vec<_>>().join(" or ");
                Problem::error(self.span(name.span), format!("`{}` may mean several columns", name.value))
                    .help(format!("write the one that is meant in double quotes: {list}"))
            }
            NotFound::Unknown => {
                let problem = Problem::unknown(self.span(name.span), "column", &name.value, self.names());
                let near = selvedge_ron::similar(&name.value, self.names());
                if name.quote_style == Some('"') && near.is_empty() {
                    problem.help(format!("text stands in single quotes: '{}'", name.value))
                } else {
                    problem
                }
            }
        })
    }

    fn identifier(&mut self, name: &mut Ident) {
        if self.lambdas.contains(&name.value) {
            return;
        }
        match self.find(name) {
            Ok(found) => {
                self.used.extend(self.schema.index_of(&found));
                rename(name, found)
            }
            Err(problem) => self.problems.push(problem),
        }
    }

    /// `a.b`: the column `a.b` of a flattened file, or the field `b` of the struct `a`.
    fn compound(&mut self, parts: &mut [Ident]) -> Option<Ident> {
        let first = parts.first().cloned()?;
        if self.lambdas.contains(&first.value) {
            return None;
        }
        let joined = parts.iter().map(|p| p.value.as_str()).collect::<Vec<_>>().join(".");
        let column = match self.find(&first) {
            Ok(column) => column,
            Err(problem) => {
                let quoted = parts.iter().any(|p| p.quote_style.is_some());
                match find(&joined, quoted, self.names()) {
                    Ok(found) => {
                        self.used.extend(self.schema.index_of(&found));
                        let mut whole = first;
                        whole.span = parts.iter().fold(whole.span, |all, p| all.union(&p.span));
                        rename(&mut whole, found);
                        return Some(whole);
                    }
                    Err(_) => self.problems.push(problem),
                }
                return None;
            }
        };
        let index = self.schema.index_of(&column).ok()?;
        self.used.insert(index);
        let mut ty = self.schema.field(index).data_type().clone();
        rename(&mut parts[0], column);
        for at in 1..parts.len() {
            let DataType::Struct(fields) = &ty else {
                let parent = &parts[at - 1].value;
                let message = format!("`{parent}` has no fields: it is {ty}");
                self.problems.push(Problem::error(self.span(parts[at].span), message));
                return None;
            };
            let names = fields.iter().map(|f| f.name().as_str());
            match find(&parts[at].value, parts[at].quote_style.is_some(), names.clone()) {
                Ok(found) => {
                    ty = fields.find(&found)?.1.data_type().clone();
                    rename(&mut parts[at], found);
                }
                Err(_) => {
                    let span = self.span(parts[at].span);
                    self.problems.push(Problem::unknown(span, "field", &parts[at].value, names));
                    return None;
                }
            }
        }
        None
    }

    fn function(&mut self, function: &Function) {
        let [part] = function.name.0.as_slice() else { return };
        let Some(name) = part.as_ident() else { return };
        let lower = name.value.to_lowercase();
        let state = planner();
        let scalar =
            state.scalar_functions().contains_key(&lower) || state.higher_order_functions().contains_key(&lower);
        let aggregate = state.aggregate_functions().contains_key(&lower);
        let window = state.window_functions().contains_key(&lower);
        let span = self.span(name.span);
        if function.over.is_some() || (window && !aggregate && !scalar) {
            let message = format!("`{lower}` looks at other rows through a window, which an expression cannot");
            self.problems.push(Problem::error(span, message).help("use the Sql node"));
        } else if lower == "unnest" || lower == "unnest_outer" {
            let message = format!("`{lower}` makes several rows of one, which an expression cannot");
            self.problems.push(Problem::error(span, message).help("use Explode, or the Sql node"));
        } else if aggregate && !scalar && (self.usage == Use::Row || self.depth > 1) {
            let message = format!("`{lower}` needs many rows, but an expression here sees one");
            self.problems.push(Problem::error(span, message).help("use Aggregate or the Sql node"));
        } else if let Some(problem) = unknown_function(name, self.place) {
            self.problems.push(problem);
        }
    }
}

/// The problem of a function that there is not.
pub(crate) fn unknown_function(name: &Ident, place: Place) -> Option<Problem> {
    let state = planner();
    let scalar = state.scalar_functions().keys().chain(state.higher_order_functions().keys());
    let names = scalar.chain(state.aggregate_functions().keys()).chain(state.window_functions().keys());
    let mut known: Vec<&str> = names.map(String::as_str).chain(["unnest", "unnest_outer", "grouping"]).collect();
    let lower = name.value.to_lowercase();
    if known.contains(&lower.as_str()) {
        return None;
    }
    known.sort_unstable();
    known.dedup();
    let problem = Problem::unknown(place.span(name.span), "function", &name.value, known.iter().copied());
    let near = selvedge_ron::similar(&name.value, known.iter().copied());
    Some(match near.is_empty() {
        true => problem.help("the functions are those of DataFusion: https://datafusion.apache.org/user-guide/sql"),
        false => problem,
    })
}

fn rename(name: &mut Ident, column: String) {
    name.value = column;
    name.quote_style = Some('"');
}

pub(crate) enum NotFound {
    Unknown,
    Ambiguous(Vec<String>),
}

/// The one of `known` that is meant: exactly as written or, unquoted, the only one that differs in letter case alone.
pub(crate) fn find<'a>(
    name: &str,
    quoted: bool,
    known: impl Iterator<Item = &'a str> + Clone,
) -> Result<String, NotFound> {
    if known.clone().any(|k| k == name) {
        return Ok(name.to_string());
    }
    if quoted {
        return Err(NotFound::Unknown);
    }
    let lower = name.to_lowercase();
    let mut near: Vec<String> = known.filter(|k| k.to_lowercase() == lower).map(str::to_string).collect();
    match near.len() {
        0 => Err(NotFound::Unknown),
        1 => Ok(near.remove(0)),
        _ => Err(NotFound::Ambiguous(near)),
    }
}

/// The parts of a predicate that `and` joins at its top, in order, with the text of each.
pub(crate) fn conjuncts(expr: Expr, place: Place) -> Vec<(Expr, String)> {
    use datafusion::sql::sqlparser::ast::BinaryOperator;
    let mut parts = vec![];
    let mut rest = expr;
    // Chains lean to the left: ((a and b) and c) and d.
    loop {
        match rest {
            Expr::BinaryOp { left, op: BinaryOperator::And, right } => {
                parts.push(*right);
                rest = *left;
            }
            first => {
                parts.push(first);
                break;
            }
        }
    }
    parts.reverse();
    let texts = match parts.len() {
        1 => Some(vec![one_line(place.text())]),
        n => split_at_and(place.text()).filter(|texts| texts.len() == n),
    };
    let texts = texts.unwrap_or_else(|| parts.iter().map(|p| p.to_string()).collect());
    parts.into_iter().zip(texts).collect()
}

/// Cuts a text at each `and` that is outside of parentheses, `case … end` and `between … and`.
fn split_at_and(text: &str) -> Option<Vec<String>> {
    let tokens = Tokenizer::new(&GenericDialect {}, text).tokenize_with_location().ok()?;
    let whole = Spanned::new(text.to_string(), Span::default());
    let place = Place::new(&whole);
    let (mut parts, mut start, mut depth, mut between) = (vec![], 0, 0i32, 0);
    for token in &tokens {
        match &token.token {
            Token::LParen | Token::LBracket | Token::LBrace => depth += 1,
            Token::RParen | Token::RBracket | Token::RBrace => depth -= 1,
            Token::Word(word) if word.quote_style.is_none() => match word.value.to_lowercase().as_str() {
                "case" => depth += 1,
                "end" => depth -= 1,
                "between" if depth == 0 => between += 1,
                "and" if depth == 0 && between > 0 => between -= 1,
                "and" if depth == 0 => {
                    let range = place.range(token.span)?;
                    parts.push(text.get(start..range.start)?);
                    start = range.end;
                }
                _ => {}
            },
            _ => {}
        }
    }
    parts.push(text.get(start..)?);
    Some(parts.into_iter().map(one_line).collect())
}

/// On one line, however it was written: it becomes a reason in reports.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str) -> Vec<String> {
        let text = Spanned::new(text.to_string(), Span::default());
        conjuncts(parse(&text).unwrap(), Place::new(&text)).into_iter().map(|(_, text)| text).collect()
    }

    #[test]
    fn what_comes_next_sees_only_the_columns_that_are_read() {
        let wide: Schema = Schema::new(
            (0..5000).map(|i| arrow::datatypes::Field::new(format!("c{i}"), DataType::Int64, true)).collect::<Fields>(),
        );
        let read = |text: &str| {
            let text = Spanned::new(text.to_string(), Span::default());
            let used = resolve(&mut parse(&text).unwrap(), &wide, Place::new(&text), Use::Aggregate).unwrap();
            used.fields().iter().map(|f| f.name().clone()).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(read("C4999 + c7 * c7"), "c7 c4999");
        assert_eq!(read("sum(c3) filter (where \"c4\" > 1)"), "c3 c4");
        assert_eq!(read("count(*)"), "");
    }

    #[test]
    fn a_predicate_falls_apart_at_its_ands() {
        assert_eq!(parts("a > 1"), ["a > 1"]);
        assert_eq!(
            parts("a > 1 and price between 0.01\n   and 1000 AND (b and c) and f(x and y) is not null"),
            ["a > 1", "price between 0.01 and 1000", "(b and c)", "f(x and y) is not null"]
        );
        assert_eq!(
            parts("case when a and b then c else d end and \"and\" = 'x and y'"),
            ["case when a and b then c else d end", "\"and\" = 'x and y'"]
        );
        assert_eq!(parts("a and b or c"), ["a and b or c"], "or binds less: one part");
    }
}
