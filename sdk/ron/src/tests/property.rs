//! Any text is either read or refused, what prints reads back, and `ron` agrees about the meaning.

use crate::{Field, FileId, Span, Value, ValueKind, parse};
use proptest::prelude::*;

fn at_zero(kind: ValueKind) -> Value {
    Value { span: Span::default(), kind }
}

fn name() -> impl Strategy<Value = String> + Clone {
    prop_oneof![
        "[A-Za-z_][A-Za-z0-9_]{0,6}",
        Just("true".into()),
        Just("None".into()),
        Just("a-b".into()),
        Just("été".into())
    ]
}

/// Values that a text can spell.
fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(ValueKind::Bool),
        any::<i64>().prop_map(|i| ValueKind::Int(i.into())),
        any::<f64>().prop_filter("NaN is not equal to itself", |x| !x.is_nan()).prop_map(ValueKind::Float),
        any::<char>().prop_map(ValueKind::Char),
        any::<String>().prop_map(ValueKind::Str),
        any::<Vec<u8>>().prop_map(ValueKind::Bytes),
        Just(ValueKind::Option(None)),
        Just(ValueKind::Unit { name: None }),
        name().prop_map(|n| ValueKind::Unit { name: Some(n) }),
    ]
    .prop_map(at_zero);
    leaf.prop_recursive(4, 40, 5, |inner| {
        let span = Span::default();
        let named = prop::option::of(name());
        prop_oneof![
            inner.clone().prop_map(|v| ValueKind::Option(Some(Box::new(v)))),
            prop::collection::vec(inner.clone(), 0..5).prop_map(ValueKind::List),
            prop::collection::btree_map(any::<String>(), inner.clone(), 0..4)
                .prop_map(|m| ValueKind::Map(m.into_iter().map(|(k, v)| (at_zero(ValueKind::Str(k)), v)).collect())),
            (named.clone(), prop::collection::vec(inner.clone(), 1..4))
                .prop_map(move |(name, items)| ValueKind::Tuple { name, name_span: span, items }),
            (named, prop::collection::btree_map(name(), inner, 1..4)).prop_map(move |(name, fields)| {
                ValueKind::Struct {
                    name,
                    name_span: span,
                    fields: fields.into_iter().map(|(name, value)| Field { name, name_span: span, value }).collect(),
                }
            }),
        ]
        .prop_map(at_zero)
    })
}

/// The value with all places forgotten.
fn placeless(mut value: Value) -> Value {
    forget(&mut value);
    value
}

fn forget(value: &mut Value) {
    value.span = Span::default();
    match &mut value.kind {
        ValueKind::Option(Some(v)) => forget(v),
        ValueKind::List(items) => items.iter_mut().for_each(forget),
        ValueKind::Tuple { items, name_span, .. } => {
            *name_span = Span::default();
            items.iter_mut().for_each(forget);
        }
        ValueKind::Struct { fields, name_span, .. } => {
            *name_span = Span::default();
            for f in fields {
                f.name_span = Span::default();
                forget(&mut f.value);
            }
        }
        ValueKind::Map(entries) => entries.iter_mut().for_each(|(k, v)| {
            forget(k);
            forget(v);
        }),
        _ => {}
    }
}

/// Whether `ron` read the same, as far as its `Value` can tell things apart: it drops names, and orders maps by key.
fn same(ours: &Value, theirs: &ron::Value) -> bool {
    use ron::Value as R;
    let all = |a: &[Value], b: &[R]| a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b));
    match (&ours.kind, theirs) {
        (ValueKind::Bool(a), R::Bool(b)) => a == b,
        (ValueKind::Char(a), R::Char(b)) => a == b,
        (ValueKind::Str(a), R::String(b)) => a == b,
        (ValueKind::Bytes(a), R::Bytes(b)) => a == b,
        (ValueKind::Int(a), R::Number(b)) => *a as f64 == b.into_f64(),
        (ValueKind::Float(a), R::Number(b)) => a == &b.into_f64() || (a.is_nan() && b.into_f64().is_nan()),
        (ValueKind::Option(None), R::Option(None)) => true,
        (ValueKind::Option(Some(a)), R::Option(Some(b))) => same(a, b),
        (ValueKind::Unit { .. }, R::Unit) => true,
        (ValueKind::Unit { name: None }, R::Seq(b)) => b.is_empty(),
        (ValueKind::List(a) | ValueKind::Tuple { items: a, .. }, R::Seq(b)) => all(a, b),
        (ValueKind::Map(a), R::Map(b)) => {
            let in_order: Vec<_> = b.iter().collect();
            a.len() == b.len() && a.iter().all(|(k, v)| in_order.iter().any(|(bk, bv)| same(k, bk) && same(v, bv)))
        }
        (ValueKind::Struct { fields: a, .. }, R::Map(b)) => {
            a.len() == b.len()
                && a.iter().all(|f| b.iter().any(|(k, v)| *k == R::String(f.name.clone()) && same(&f.value, v)))
        }
        _ => false,
    }
}

/// If `ron` reads it then we do, with the same meaning; but for duplicate keys, which only we refuse.
fn agrees(text: &str) {
    let Ok(theirs) = text.parse::<ron::Value>() else { return };
    match parse(FileId(0), text) {
        Ok(ours) => assert!(same(&ours, &theirs), "{text}\n  ours: {ours:?}\n  ron: {theirs:?}"),
        Err(problems) => assert!(problems.0.iter().all(|p| p.message.contains("is here twice")), "{text}: {problems}"),
    }
}

/// Texts made of RON's own pieces: nearly right, far more often than random letters.
fn nearly_ron() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        3 => prop::sample::select(vec![
            "(", ")", "[", "]", "{", "}", ":", ",", "Some(", "None", "true", "Name(", "a: ", "b: ", "()", "..", "..=", "r#x",
            " ", "\n", "// c\n", "/* c */", "=", ";", "inf", "-inf", "NaN", "-NaNf32", "\"", "'", "b'", "r#\"", "\"#", "\\",
        ]).prop_map(String::from),
        1 => "[-+]?[0-9][0-9_]{0,3}(\\.[0-9_]{0,3})?([eE][-+]?[0-9_]{1,2})?(u8|i16|f32|f64)?",
        1 => "[-+]?0[xbo][0-9a-fA-F_]{1,4}(u8|i64)?",
        1 => "\"([a-z é]|\\\\[nrt0'\"\\\\]|\\\\x[0-7][0-9a-f]|\\\\u\\{[0-9a-f]{1,4}\\})*\"",
        1 => "'([a-zé']|\\\\n|\\\\x41)'",
        1 => "b\"([a-z]|\\\\x[0-9a-f]{2})*\"",
    ];
    prop::collection::vec(piece, 0..14).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn any_text_is_read_or_refused(text: String) {
        let _ = parse(FileId(0), &text);
    }

    #[test]
    fn nearly_ron_is_read_or_refused_as_ron_does(text in nearly_ron()) {
        agrees(&text);
        if let Err(problems) = parse(FileId(0), &text) {
            prop_assert!(!problems.0.is_empty());
            for p in problems.0 {
                let span = p.span.expect("a place");
                prop_assert!(text.get(span.start as usize..span.end as usize).is_some(), "{:?}", p);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn what_prints_reads_back(value in value()) {
        let text = value.to_string();
        let read = parse(FileId(0), &text);
        prop_assert_eq!(read.map(placeless), Ok(placeless(value)), "{}", text);
        agrees(&text);
    }

    #[test]
    fn one_wrong_byte_never_panics(value in value(), at: prop::sample::Index, c: char) {
        let mut chars: Vec<char> = value.to_string().chars().collect();
        let at = at.index(chars.len());
        chars[at] = c;
        let text: String = chars.iter().collect();
        agrees(&text);
        chars.remove(at);
        agrees(&chars.iter().collect::<String>());
    }
}
