//! Expressions: values, types, places of problems, rows that fail alone.

use super::*;
use arrow::array::AsArray;
use arrow::datatypes::Int32Type;
use selvedge_node::Span;
use selvedge_testkit::table;

fn rows() -> RecordBatch {
    table(
        "IRI_KEY:Int32 | Price:Float64 | name | At:Date32
         17            | 2.5           | kale | 2024-02-29
         0             | null          | plum | null
         null          | 1             | null | 2024-01-01
         5             | 4             | x    | 1999-12-31",
    )
}

fn text(sql: &str) -> Spanned<String> {
    // As it stands in a file, between quotes.
    Spanned::new(sql.to_string(), Span { start: 100, end: 100 + sql.len() as u32 + 2, ..Span::default() })
}

fn value(sql: &str) -> String {
    let batch = rows();
    let compiled = compile(&batch.schema(), &text(sql)).unwrap_or_else(|p| panic!("{sql}: {p}"));
    let array = compiled.evaluate(&batch).unwrap();
    assert_eq!(array.data_type(), compiled.data_type());
    let column = RecordBatch::try_from_iter_with_nullable([("v", array, true)]).unwrap();
    selvedge_testkit::show(&column).lines().collect::<Vec<_>>().join(" ")
}

/// The parts of the text that the problems of an expression point at, with their messages.
fn blamed(sql: &str) -> Vec<(String, String)> {
    let Err(problems) = compile(&rows().schema(), &text(sql)) else { panic!("{sql}: no problem") };
    let part = |p: Problem| {
        let span = p.span.unwrap();
        let at = |offset: u32| offset.saturating_sub(101) as usize;
        (sql[at(span.start)..at(span.end).min(sql.len())].to_string(), p.message)
    };
    problems.0.into_iter().map(part).collect()
}

fn places(sql: &str) -> Vec<String> {
    blamed(sql).into_iter().map(|(part, _)| part).collect()
}

#[test]
fn names_are_found_in_any_letter_case() {
    assert_eq!(value("iri_key + 1"), "v:Int64 18 1 null 6");
    assert_eq!(value("PRICE * 2"), "v:Float64 5.0 null 2.0 8.0");
    assert_eq!(value("\"Price\""), "v:Float64 2.5 null 1.0 4.0");
    assert_eq!(places("\"price\""), ["\"price\""]);
    let batch = table("a:Int32 | A:Int32 | b:Int32\n1 | 2 | 3");
    let exact = compile(&batch.schema(), &text("a + A + B")).unwrap().evaluate(&batch).unwrap();
    assert_eq!(exact.as_primitive::<arrow::datatypes::Int32Type>().values(), &[6], "names as written come first");
}

/// A null is in no list and not outside of one, whatever becomes of the lists.
#[test]
fn a_null_compared_twice_is_null() {
    assert_eq!(value("not (IRI_KEY in (17, 5) and IRI_KEY in (0))"), "v:Boolean true true null true");
    assert_eq!(value("IRI_KEY not in (17, 3) or IRI_KEY not in (5, 4)"), "v:Boolean true true null true");
    assert_eq!(value("IRI_KEY in (17, 3) and IRI_KEY in (5, 4)"), "v:Boolean false false null false");
    assert_eq!(value("IRI_KEY = 17 and IRI_KEY = 5"), "v:Boolean false false null false");
    assert_eq!(value("IRI_KEY <> 17 or IRI_KEY <> 5"), "v:Boolean true true null true");
    assert_eq!(value("not (17 = IRI_KEY and IRI_KEY in (5, 0))"), "v:Boolean true true null true");
    assert_eq!(value("IRI_KEY in (17) or IRI_KEY in (5) or IRI_KEY = 0"), "v:Boolean true true null true");
}

#[test]
fn values_and_types() {
    assert_eq!(value("case when price > 2 then 'dear' else 'cheap' end"), "v:Utf8 dear cheap cheap dear");
    assert_eq!(value("name like 'k%' or name is null"), "v:Boolean true false true false");
    assert_eq!(value("cast(date_trunc('month', at) as date)"), "v:Date32 2024-02-01 null 2024-01-01 1999-12-01");
    assert_eq!(value("extract(year from at) - 2000"), "v:Int64 24 null 24 -1");
    assert_eq!(value("1 + 2"), "v:Int64 3 3 3 3");
    assert_eq!(value("try_cast(name as int)"), "v:Int32 null null null null");
    assert_eq!(value("substr(name, 2) || '!'"), "v:Utf8 ale! lum! null !");
    assert_eq!(value("arrow_cast(name, 'Utf8View')"), "v:Utf8 kale plum null x", "no views between nodes");
    assert_eq!(value("make_array(iri_key)[1]"), "v:Int32 17 0 null 5");
}

#[test]
fn problems_point_at_what_is_wrong() {
    assert_eq!(places("nme || 'x' || lwer(name)"), ["nme", "lwer"]);
    assert_eq!(places("price + \n  nmae"), ["nmae"]);
    assert_eq!(places("name = 'é' and iri_key * true > 1"), ["iri_key * true"]);
    assert_eq!(places("(price > 1) + 2 = at and at > price").len(), 2);
    assert_eq!(places("price > > 2"), [">"]);
    assert_eq!(places("price > 2 extra"), ["extra"]);
    assert_eq!(places("'never closed").len(), 1);
    assert_eq!(places("sum(price)"), ["sum"]);
    assert_eq!(places("row_number() over ()"), ["row_number"]);
    assert_eq!(places("unnest(make_array(1))"), ["unnest"]);
    assert_eq!(places("price as p"), ["p"]);
    let (part, message) = blamed("lpad(price, name, 3)").remove(0);
    assert!(part.starts_with("lpad") && message.contains("lpad"), "{part}: {message}");
}

#[test]
fn what_always_fails_fails_while_planning() {
    let (_, message) = blamed("cast('x' as int)").remove(0);
    assert!(message.contains("'x'"), "{message}");
    assert!(!blamed("regexp_like(name, '[')").is_empty());
}

#[test]
fn constants_are_known() {
    let constant = |sql: &str| compile(&rows().schema(), &text(sql)).unwrap().constant().map(|a| a.len());
    assert_eq!(constant("1 + 2 > 4"), Some(1));
    assert_eq!(constant("price > 4"), None);
    assert_eq!(constant("random() > 0.5"), None);
}

#[test]
fn only_the_rows_that_fail_are_bad() {
    let batch = rows();
    let compiled = compile(&batch.schema(), &text("100 / iri_key")).unwrap();
    assert!(compiled.evaluate(&batch).is_err());
    let values = compiled.evaluate_each(&batch).unwrap();
    assert_eq!(values.array.len(), 4);
    assert_eq!(values.bad.len(), 1);
    assert_eq!(values.bad[0].0, 1);
    let chosen = BooleanArray::from(vec![false, true, true, true]);
    let values = compiled.evaluate_chosen(&batch, &chosen).unwrap();
    assert_eq!((values.array.len(), values.bad[0].0), (3, 1), "counted as in the whole batch");
    let chosen = BooleanArray::from(vec![true, false, false, true]);
    let values = compiled.evaluate_chosen(&batch, &chosen).unwrap();
    assert!(values.bad.is_empty());
}

#[test]
fn overflow_is_an_error_and_never_wraps() {
    let batch = table("n:Int64\n9223372036854775807\n1");
    let compiled = compile(&batch.schema(), &text("n + 1")).unwrap();
    let values = compiled.evaluate_each(&batch).unwrap();
    assert_eq!(values.bad.len(), 1);
    assert!(values.bad[0].1.to_lowercase().contains("overflow"), "{}", values.bad[0].1);
}

#[test]
fn the_deepest_expression_fits_on_a_small_stack() {
    let operators = crate::depth::MAX_DEPTH;
    let chains = [
        format!("iri_key{}", "+1".repeat(operators)),
        format!("iri_key > 0{}", " or price = 1 and iri_key = 2".repeat(operators / 4)),
        format!("{}price", "- ".repeat(operators)),
        format!("name{}", " || 'x'".repeat(operators)),
        format!("price{}", " is null".repeat(operators)),
        format!("iri_key{}", "::int".repeat(operators)),
    ];
    // The stack that a thread has unless it is told otherwise.
    let small = std::thread::Builder::new().stack_size(2 << 20);
    let run = small.spawn(move || {
        for chain in chains {
            match compile(&rows().schema(), &text(&chain)) {
                Ok(compiled) => assert_eq!(compiled.evaluate(&rows()).unwrap().len(), 4),
                Err(problems) => assert!(problems.to_string().contains("recursion"), "{problems}"),
            }
        }
    });
    run.unwrap().join().unwrap();
    let longer = format!("iri_key{}", "+1".repeat(operators + 1));
    assert!(blamed(&longer)[0].1.contains("deeper than"));
    let longer = " ".repeat(crate::depth::MAX_TEXT) + "1";
    assert!(blamed(&longer)[0].1.contains("longer than"));
    let nested = format!("{}1{}", "(".repeat(100), ")".repeat(100));
    assert!(blamed(&nested)[0].1.contains("recursion"), "{}", blamed(&nested)[0].1);
}

#[test]
fn int_division_is_of_integers() {
    let batch = rows();
    let compiled = compile(&batch.schema(), &text("iri_key / 2")).unwrap();
    let array = compiled.evaluate(&batch).unwrap();
    let int = cast(&array, &DataType::Int32).unwrap();
    assert_eq!(int.as_primitive::<Int32Type>().value(0), 8);
}

#[test]
fn a_regex_that_is_too_big_is_a_problem_of_the_graph() {
    const BIG: &str = "'(a{1000}){1000}'";
    for sql in [
        format!("regexp_like(name, {BIG})"),
        format!("name ~ {BIG}"),
        format!("name !~* {BIG}"),
        format!("regexp_replace(name, {BIG}, 'b')"),
        format!("regexp_replace(name, {BIG}, 'b', 'g')"),
        format!("regexp_count(name, {BIG})"),
        format!("regexp_instr(name, {BIG})"),
        format!("regexp_match(name, {BIG})"),
        format!("case when price > 1 then regexp_like(name, {BIG}) end"),
    ] {
        let (_, message) = blamed(&sql).remove(0);
        assert!(message.contains("the regular expression ") && !message.contains("bug"), "{sql}: {message}");
    }
    let (_, message) = blamed(&format!("regexp_like(name, {BIG})")).remove(0);
    let too_big = "the regular expression is too big: compiled, it takes more than 10485760 bytes; repeat less in it";
    assert_eq!(message, too_big);
    // One that comes with the rows is the fault of its row.
    let batch = table("p\na{3}\n(a{1000}){1000}");
    let values = compile(&batch.schema(), &text("regexp_like('aaa', p)")).unwrap().evaluate_each(&batch).unwrap();
    assert_eq!(values.bad, [(1, too_big.to_string())]);
}
