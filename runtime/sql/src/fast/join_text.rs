//! Text joined from columns, literals and left-padded columns in one pass: `lpad(a, 2, '0') || '-' || b`.
//!
//! DataFusion makes an array for every step of such a chain. Here each row is written once, eight bytes at a time: the
//! codes that are built so (UPCs, keys) are made of short pieces.

use crate::bounds::{MAX_BATCH, too_much};
use arrow::array::{Array, AsArray, RecordBatch, StringArray};
use arrow::buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, Schema};
use datafusion::common::{DataFusionError, Result, ScalarValue, internal_err};
use datafusion::logical_expr::{ColumnarValue, Operator};
use datafusion::physical_expr::expressions::{BinaryExpr, Literal};
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// Padding wider than a word takes the way of DataFusion.
const WORD: usize = 8;

#[derive(Debug, Clone)]
struct JoinText {
    pieces: Vec<Piece>,
    /// `concat` and `concat_ws` pass over nulls, `||` is null with any of them.
    skips_nulls: bool,
    /// DataFusion's own expression.
    slow: Arc<dyn PhysicalExpr>,
}

#[derive(Debug, Clone)]
enum Piece {
    Literal(String),
    Text(Arc<dyn PhysicalExpr>),
    /// `lpad(text, width, fill)`, the width at most [`WORD`].
    Padded {
        text: Arc<dyn PhysicalExpr>,
        width: usize,
        fill: u8,
    },
}

/// `||`, `concat` or `concat_ws` over text.
pub(super) fn recognise(expr: &Arc<dyn PhysicalExpr>, schema: &Schema) -> Result<Option<Arc<dyn PhysicalExpr>>> {
    let (parts, separator, skips_nulls) = if let Some(binary) = expr.downcast_ref::<BinaryExpr>() {
        if *binary.op() != Operator::StringConcat {
            return Ok(None);
        }
        (vec![binary.left(), binary.right()], None, false)
    } else if let Some(call) = expr.downcast_ref::<ScalarFunctionExpr>() {
        match (call.name(), call.args()) {
            ("concat", args) => (args.iter().collect(), None, true),
            ("concat_ws", [separator, args @ ..]) => match text_literal(separator) {
                Some(separator) => (args.iter().collect(), Some(separator), true),
                None => return Ok(None),
            },
            _ => return Ok(None),
        }
    } else {
        return Ok(None);
    };
    if expr.data_type(schema)? != DataType::Utf8 {
        return Ok(None);
    }
    let mut pieces = vec![];
    for (i, part) in parts.iter().enumerate() {
        if part.data_type(schema)? != DataType::Utf8 {
            return Ok(None);
        }
        if i > 0
            && let Some(separator) = &separator
        {
            pieces.push(Piece::Literal(separator.clone()));
        }
        match part.downcast_ref::<JoinText>() {
            Some(inner) if inner.skips_nulls == skips_nulls => pieces.extend(inner.pieces.iter().cloned()),
            _ => pieces.push(piece(part)),
        }
    }
    // Without the fast ways to its parts, which would all be tried again.
    let children = expr.children().into_iter().map(|c| c.downcast_ref::<JoinText>().map_or(c, |j| &j.slow).clone());
    let slow = expr.clone().with_new_children(children.collect())?;
    Ok((pieces.len() > 1).then(|| Arc::new(JoinText { pieces, skips_nulls, slow }) as Arc<dyn PhysicalExpr>))
}

fn piece(expr: &Arc<dyn PhysicalExpr>) -> Piece {
    if let Some(text) = text_literal(expr) {
        return Piece::Literal(text);
    }
    padded(expr).unwrap_or_else(|| Piece::Text(expr.clone()))
}

fn padded(expr: &Arc<dyn PhysicalExpr>) -> Option<Piece> {
    let call = expr.downcast_ref::<ScalarFunctionExpr>().filter(|call| call.name() == "lpad")?;
    let (text, width, fill) = match call.args() {
        [text, width] => (text, width, " ".to_string()),
        [text, width, fill] => (text, width, text_literal(fill)?),
        _ => return None,
    };
    let ScalarValue::Int64(Some(width)) = width.downcast_ref::<Literal>()?.value() else { return None };
    let width = usize::try_from(*width).ok().filter(|w| *w <= WORD)?;
    match fill.as_bytes() {
        [fill] if fill.is_ascii() => Some(Piece::Padded { text: text.clone(), width, fill: *fill }),
        _ => None,
    }
}

fn text_literal(expr: &Arc<dyn PhysicalExpr>) -> Option<String> {
    match expr.downcast_ref::<Literal>()?.value() {
        ScalarValue::Utf8(Some(text)) => Some(text.clone()),
        _ => None,
    }
}

/// A piece with its values for a batch.
enum Source {
    Literal(Vec<u8>),
    Text(StringArray),
    /// Padded text and a literal behind it, as far as both fit into a word: `00012-`.
    Padded {
        text: StringArray,
        width: usize,
        fill: u8,
        behind: u64,
        total: usize,
    },
}

impl JoinText {
    /// The pieces' values. `None`: something is among them that only the slow way knows.
    fn sources(&self, batch: &RecordBatch) -> Result<Option<Vec<Source>>> {
        let mut sources = vec![];
        for piece in &self.pieces {
            let text = match piece {
                Piece::Literal(text) => {
                    match sources.last_mut() {
                        Some(Source::Padded { width, behind, total, .. })
                            if width == total && *width + text.len() <= WORD =>
                        {
                            *behind = pad(load(text.as_bytes(), 0, text.len()), *width, 0);
                            *total += text.len();
                        }
                        _ => sources.push(Source::Literal(text.as_bytes().to_vec())),
                    }
                    continue;
                }
                Piece::Text(expr) | Piece::Padded { text: expr, .. } => {
                    expr.evaluate(batch)?.into_array(batch.num_rows())?
                }
            };
            let Some(text) = text.as_string_opt::<i32>().cloned() else { return Ok(None) };
            if self.skips_nulls && text.null_count() > 0 {
                return Ok(None);
            }
            sources.push(match piece {
                // Characters are bytes then.
                Piece::Padded { width, fill, .. } if text.is_ascii() => {
                    Source::Padded { text, width: *width, fill: *fill, behind: 0, total: *width }
                }
                Piece::Padded { .. } => return Ok(None),
                _ => Source::Text(text),
            });
        }
        Ok(Some(sources))
    }
}

/// Bytes of all rows together.
fn length(sources: &[Source], rows: usize) -> u64 {
    let bytes = sources.iter().map(|s| match s {
        Source::Literal(text) => text.len() * rows,
        Source::Text(text) => match text.value_offsets() {
            [first, .., last] => (last - first) as usize,
            _ => 0,
        },
        Source::Padded { total, .. } => total * rows,
    });
    bytes.sum::<usize>() as u64
}

/// Writes the rows; `None` if they take more than an array of text can hold.
fn join(sources: &[Source], rows: usize) -> Option<StringArray> {
    let bytes = length(sources, rows) as usize;
    i32::try_from(bytes).ok()?;
    let nulls = sources.iter().fold(None, |all, s| match s {
        Source::Literal(_) => all,
        Source::Text(text) | Source::Padded { text, .. } => NullBuffer::union(all.as_ref(), text.nulls()),
    });
    // Words are written whole: the last one may reach beyond the text.
    let mut out = vec![0u8; bytes + WORD];
    let mut at = 0;
    let mut offsets = Vec::with_capacity(rows + 1);
    offsets.push(0i32);
    for row in 0..rows {
        if nulls.as_ref().is_none_or(|n| n.is_valid(row)) {
            for source in sources {
                at += match source {
                    Source::Literal(text) => copy(&mut out, at, text, 0, text.len()),
                    Source::Text(text) => {
                        let (start, length) = range(text, row);
                        copy(&mut out, at, text.value_data(), start, length)
                    }
                    Source::Padded { text, width, fill, behind, total } => {
                        let (start, length) = range(text, row);
                        let length = length.min(*width);
                        let word = pad(load(text.value_data(), start, length), width - length, *fill);
                        store(&mut out, at, (word & mask(*width)) | behind);
                        *total
                    }
                };
            }
        }
        offsets.push(at as i32);
    }
    out.truncate(at);
    let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
    StringArray::try_new(offsets, Buffer::from_vec(out), nulls).ok()
}

#[inline(always)]
fn range(text: &StringArray, row: usize) -> (usize, usize) {
    let offsets = text.value_offsets();
    let start = offsets[row] as usize;
    (start, offsets[row + 1] as usize - start)
}

/// Copies `length` bytes, and perhaps some more behind them that the next piece will cover. Answers the length.
#[inline(always)]
fn copy(out: &mut [u8], at: usize, from: &[u8], start: usize, length: usize) -> usize {
    if length <= WORD {
        store(out, at, load(from, start, length));
    } else if let (Some(to), Some(from)) = (out.get_mut(at..at + length), from.get(start..start + length)) {
        to.copy_from_slice(from);
    }
    length
}

/// Up to eight bytes as a word, the first lowest, zeros behind.
#[inline(always)]
fn load(from: &[u8], start: usize, length: usize) -> u64 {
    if let Some(Ok(word)) = from.get(start..start + WORD).map(<[u8; WORD]>::try_from) {
        return u64::from_le_bytes(word) & mask(length);
    }
    let mut word = [0; WORD];
    if let (Some(to), Some(from)) = (word.get_mut(..length), from.get(start..start + length)) {
        to.copy_from_slice(from);
    }
    u64::from_le_bytes(word)
}

#[inline(always)]
fn store(out: &mut [u8], at: usize, word: u64) {
    if let Some(to) = out.get_mut(at..at + WORD) {
        to.copy_from_slice(&word.to_le_bytes());
    }
}

/// The lowest `bytes` bytes.
#[inline(always)]
fn mask(bytes: usize) -> u64 {
    if bytes >= WORD { u64::MAX } else { (1 << (8 * bytes)) - 1 }
}

/// The word behind `missing` bytes of `fill`.
#[inline(always)]
fn pad(word: u64, missing: usize, fill: u8) -> u64 {
    let fill = u64::from_le_bytes([fill; WORD]);
    if missing >= WORD { fill } else { (word << (8 * missing)) | (fill & mask(missing)) }
}

impl PhysicalExpr for JoinText {
    fn data_type(&self, _: &Schema) -> Result<DataType> {
        Ok(DataType::Utf8)
    }
    fn nullable(&self, schema: &Schema) -> Result<bool> {
        self.slow.nullable(schema)
    }
    fn evaluate(&self, batch: &RecordBatch) -> Result<ColumnarValue> {
        let sources = self.sources(batch)?;
        if let Some(bytes) = sources.as_deref().map(|s| length(s, batch.num_rows())).filter(|b| *b > MAX_BATCH) {
            return Err(DataFusionError::External(Box::new(too_much("||", bytes, true))));
        }
        match sources.and_then(|sources| join(&sources, batch.num_rows())) {
            Some(text) => Ok(ColumnarValue::Array(Arc::new(text))),
            None => self.slow.evaluate(batch),
        }
    }
    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.slow]
    }
    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn PhysicalExpr>>) -> Result<Arc<dyn PhysicalExpr>> {
        // Only the slow expression is rewritten from outside; who rewrites makes it fast again.
        match children.into_iter().next() {
            Some(slow) => Ok(slow),
            None => internal_err!("a joined text without its expression"),
        }
    }
    fn fmt_sql(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.slow.fmt_sql(f)
    }
}

impl fmt::Display for JoinText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.slow.fmt(f)
    }
}

impl PartialEq for JoinText {
    fn eq(&self, other: &JoinText) -> bool {
        self.slow.eq(&other.slow)
    }
}
impl Eq for JoinText {}
impl Hash for JoinText {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.slow.hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expr::compile;
    use arrow::array::{ArrayRef, StringArray};
    use proptest::prelude::*;
    use selvedge_node::{Span, Spanned};

    /// Values of an expression, by the fast way and by DataFusion's.
    fn both(batch: &RecordBatch, text: &str) -> (ArrayRef, ArrayRef) {
        let compiled = compile(&batch.schema(), &Spanned::new(text.to_string(), Span::default())).unwrap();
        let fast = compiled.physical();
        let join = fast.downcast_ref::<JoinText>().unwrap_or_else(|| panic!("{text} is not recognised: {fast:?}"));
        let slow = join.slow.evaluate(batch).unwrap().into_array(batch.num_rows()).unwrap();
        (compiled.evaluate(batch).unwrap(), slow)
    }

    proptest! {
        #[test]
        fn joins_as_datafusion_does(
            rows in prop::collection::vec((prop::option::of("[0-9]{0,10}"), prop::option::of("[a-zäé€]{0,9}")), 0..40),
            from in 0usize..5,
        ) {
            let a: StringArray = rows.iter().map(|r| r.0.as_deref()).collect();
            let b: StringArray = rows.iter().map(|r| r.1.as_deref()).collect();
            let batch = RecordBatch::try_from_iter_with_nullable([("a", Arc::new(a) as ArrayRef, true), ("b", Arc::new(b), true)]).unwrap();
            let from = from.min(batch.num_rows());
            let batch = batch.slice(from, batch.num_rows() - from);
            for text in [
                "a || b",
                "lpad(a, 5, '0') || '-' || lpad(a, 2) || 'a longer literal' || b",
                "lpad(b, 4, 'x') || a",
                "lpad(a, 0, '0') || b || lpad(a, 8, '*')",
                "concat(a, b, '!')",
                "concat_ws('-', lpad(a, 3, '0'), b, 'end')",
                "concat(a, 'é', b) || a",
            ] {
                let (fast, slow) = both(&batch, text);
                prop_assert_eq!(&fast, &slow, "{}", text);
            }
        }
    }
}
