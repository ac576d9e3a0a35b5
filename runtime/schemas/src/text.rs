//! Types and schema files as text: the same content is always the same bytes.

use crate::{Extent, SchemaFile};
use selvedge_node::{TimeUnit, Type};
use std::fmt::Write;

/// A struct is broken into lines where it would be longer than this.
const LINE: usize = 100;

/// The type as a graph writes it, on one line.
pub fn type_text(ty: &Type) -> String {
    let unit = |unit: &TimeUnit| match unit {
        TimeUnit::Second => "Second",
        TimeUnit::Millisecond => "Millisecond",
        TimeUnit::Microsecond => "Microsecond",
        TimeUnit::Nanosecond => "Nanosecond",
    };
    match ty {
        Type::Decimal(precision, scale) => format!("Decimal({precision}, {scale})"),
        Type::LocalTimestamp(u) => format!("LocalTimestamp({})", unit(u)),
        Type::ZonedTimestamp(u, zone) => format!("ZonedTimestamp({}, {zone:?})", unit(u)),
        Type::List(item) => format!("List({})", type_text(item)),
        Type::Struct(fields) => {
            let fields = fields.0.iter().map(|(name, ty)| format!("{:?}: {}", name.value, type_text(ty)));
            format!("Struct({{{}}})", fields.collect::<Vec<_>>().join(", "))
        }
        Type::Choice(types) => format!("Choice([{}])", types.iter().map(type_text).collect::<Vec<_>>().join(", ")),
        Type::Arrow(name) => format!("Arrow({name:?})"),
        // The others are their names.
        plain => format!("{plain:?}"),
    }
}

/// As [`type_text`], but long ones over several lines, of which all but the first are indented by so much.
fn laid_out(ty: &Type, indent: usize) -> String {
    let line = type_text(ty);
    if line.len() + indent <= LINE {
        return line;
    }
    let pad = " ".repeat(indent);
    match ty {
        Type::List(item) => format!("List({})", laid_out(item, indent)),
        Type::Struct(fields) => {
            let mut text = "Struct({\n".to_string();
            for (name, ty) in &fields.0 {
                _ = writeln!(text, "{pad}    {:?}: {},", name.value, laid_out(ty, indent + 4));
            }
            text + &pad + "})"
        }
        Type::Choice(types) => {
            let mut text = "Choice([\n".to_string();
            for ty in types {
                _ = writeln!(text, "{pad}    {},", laid_out(ty, indent + 4));
            }
            text + &pad + "])"
        }
        _ => line,
    }
}

impl std::fmt::Display for Extent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Extent::Sample(rows) => write!(f, "Sample({rows})"),
            Extent::Full => f.write_str("Full"),
        }
    }
}

/// The whole file.
impl std::fmt::Display for SchemaFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "// Written by `selvedge crawl`, which keeps it up to date but for columns with `pinned: true`.")?;
        writeln!(f, "Schema(")?;
        writeln!(f, "    from: {:?},", self.from)?;
        writeln!(f, "    object: {},", self.object)?;
        writeln!(f, "    crawled: {},", self.crawled)?;
        if self.deprecated {
            writeln!(f, "    deprecated: true,")?;
        }
        writeln!(f, "    columns: {{")?;
        for column in &self.columns {
            let null = if column.nullable { "" } else { ", nullable: false" };
            let pinned = if self.pinned.contains(&column.name) { ", pinned: true" } else { "" };
            writeln!(f, "        {:?}: Column(type: {}{null}{pinned}),", column.name, laid_out(&column.ty, 8))?;
        }
        writeln!(f, "    }},")?;
        writeln!(f, ")")
    }
}
