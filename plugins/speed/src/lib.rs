//! What `cargo bench -p selvedge-wasm` measures: the same work as a plugin and natively, on `id` (Int64), `val` (Float64) and
//! `text` (Utf8). `{"op": "filter"}` keeps even ids and adds a column; `tokens` lowers the text and counts its words;
//! `copy` sends every column in and out; `nothing` drops all rows unread.
#![deny(unsafe_code)]

pub mod work;

use selvedge_guest::prelude::*;

/// The kind.
pub struct Speed;

/// What is done.
#[derive(Clone, Copy, PartialEq)]
pub enum Op {
    Filter,
    Tokens,
    Copy,
    Nothing,
}

impl Kind for Speed {
    const NAME: &'static str = "Speed";
    const ABOUT: &'static str = "does what is measured";
    const DOCS: &'static str = "Settings: `op` (`filter`, `tokens`, `copy`, `nothing`).";
    const EXAMPLE: &'static str = r#"{"op": "filter"}"#;
    type Config = Op;
    type Work = Op;

    fn config(settings: &mut Settings) -> Result<Op> {
        let all = [("filter", Op::Filter), ("tokens", Op::Tokens), ("copy", Op::Copy), ("nothing", Op::Nothing)];
        Ok(settings.choice("op", &all)?.unwrap_or(Op::Filter))
    }

    fn build(op: Op, inputs: &[Input]) -> Result<Built<Op>> {
        let schema = inputs.first().map(|i| i.schema.clone()).unwrap_or_default();
        let (output, reads) = match op {
            Op::Filter => (schema.with(Field::new("extra", Type::Float64)), vec![0, 1]),
            Op::Tokens => (schema.with(Field::new("words", Type::Int64)), vec![2]),
            Op::Copy => (schema, vec![0, 1, 2]),
            Op::Nothing => (schema, vec![]),
        };
        Ok(Built::map(output, op).reads(reads))
    }
}

impl Map for Op {
    fn map(&self, batch: &Batch, out: &mut Out) -> Result<()> {
        let rows = batch.rows();
        match self {
            Op::Filter => {
                let (ids, vals) = (batch.i64(0)?, batch.f64(1)?);
                let (Some(ids), Some(vals)) = (ids.slice(), vals.slice()) else { return Err(nulls()) };
                let (keep, extra) = work::filter(ids, vals);
                let keep = Mask::from_fn(rows, |row| keep[row]);
                out.drop_rows("odd", &keep.not());
                out.send(0, Rows::filter(&keep).with("extra", Column::of_all(&extra)))
            }
            Op::Tokens => {
                let texts = batch.utf8(2)?;
                let (lower, words) = work::tokens((0..rows).map(|row| texts.get(row).unwrap_or_default()));
                let columns = Rows::all(batch).with("text", Column::utf8(lower.iter().map(Some)));
                out.send(0, columns.with("words", Column::of_all(&words)))
            }
            Op::Copy => {
                let same = |column: usize| Ok(Column::raw(batch.nodes(column)?.to_vec()));
                out.send(0, Rows::all(batch).with(0, same(0)?).with(1, same(1)?).with(2, same(2)?))
            }
            Op::Nothing => {
                out.drop_rows("measured", &Mask::none(rows).not());
                Ok(())
            }
        }
    }
}

fn nulls() -> Error {
    Error::data("expected no nulls")
}

selvedge_guest::export_map!(Speed);
