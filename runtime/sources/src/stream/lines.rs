//! Lines of plain text as rows of one column: logs that are taken apart further on.

use crate::output::Output;
use crate::overlong::RAW;
use arrow::array::StringBuilder;
use selvedge_node::{Rejection, prelude::*};
use std::io::{self, Read};

/// How lines become rows.
pub struct Plain {
    pub output: Output,
    pub max_record: usize,
}

impl Plain {
    pub fn new(column: &Column, shard: Option<&Column>, max_record: usize) -> std::result::Result<Plain, Problems> {
        let schema = Schema::new(vec![Field::new(column.value.clone(), DataType::Utf8, false)]);
        Ok(Plain { output: Output::new(&schema, shard, None)?, max_record })
    }

    /// Sends whole lines; answers how many there were, blank ones too. Those are no rows.
    pub fn send(&self, mut text: impl Read, bytes: u64, name: &str, before: u64, out: &mut dyn Out) -> Result<u64> {
        let mut buffer = vec![];
        // Of a line that is too long only its start is kept; it comes alone.
        let failed = |e: io::Error| Error::io("reading", name, &e);
        text.by_ref().take(self.max_record as u64 + 2).read_to_end(&mut buffer).map_err(failed)?;
        let (mut rows, mut line) = (StringBuilder::new(), 0);
        let cut = bytes > buffer.len() as u64;
        for text in buffer.split_inclusive(|byte| *byte == b'\n') {
            line += 1;
            let text = text.strip_suffix(b"\n").unwrap_or(text);
            let text = text.strip_suffix(b"\r").unwrap_or(text);
            if text.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            out.create("read", 1);
            let (code, what) = match std::str::from_utf8(text) {
                _ if cut || text.len() > self.max_record => {
                    let length = if cut { bytes as usize - 1 } else { text.len() };
                    (
                        "lines.record_too_long",
                        format!("a line of {length} bytes, where {} are allowed", self.max_record),
                    )
                }
                Ok(text) => {
                    rows.append_value(text);
                    continue;
                }
                Err(e) => ("lines.utf8", format!("not UTF-8, at byte {} of the line", e.valid_up_to() + 1)),
            };
            out.reject(Rejection {
                code: code.into(),
                message: format!("{name}:{}: {what}", before + line),
                raw: String::from_utf8_lossy(&text[..text.len().min(RAW)]).into_owned(),
            })?;
        }
        let rows = rows.finish();
        let count = rows.len();
        out.send(0, self.output.batch(vec![Arc::new(rows)], count, name, None)?)?;
        Ok(line)
    }
}
