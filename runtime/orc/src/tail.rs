//! The end of a file, looked at before orc-rust does: what would send it round in circles or take all memory is refused here,
//! where it can still be an error. A stack that overflows cannot be caught.

use crate::stream::LARGEST_CHUNK;
use flate2::read::DeflateDecoder;
use orc_rust::proto::r#type::Kind;
use orc_rust::proto::{CompressionKind, Footer, PostScript, Type};
use prost::Message;
use std::io::Read;

/// Types below types.
const DEPTH: u32 = 100;

/// Checks the postscript, and the types in the footer where it can be read here (LZO and LZ4 cannot). `read` gives bytes of
/// the file.
pub fn check(length: u64, read: impl Fn(u64, u64) -> std::io::Result<bytes::Bytes>) -> Result<(), Wrong> {
    let tail = read(length.saturating_sub(256), length.min(256))?;
    let (Some(size), true) = (tail.last(), read(0, length.min(3))?[..] == *b"ORC") else {
        return Err(Wrong::Broken("it does not begin as one does".into()));
    };
    let rest = &tail[..tail.len() - 1];
    let Some(from) = rest.len().checked_sub(*size as usize) else { return broken("its end is missing") };
    let postscript = PostScript::decode(&rest[from..]).map_err(|_| Wrong::Broken("its end is missing".into()))?;
    if postscript.magic() != "ORC" {
        return broken("its end is missing");
    }
    if postscript.compression_block_size() >= LARGEST_CHUNK {
        return broken("its chunks are larger than there can be");
    }
    let end = length - 1 - u64::from(*size);
    let (footer, metadata) = (postscript.footer_length(), postscript.metadata_length());
    let Some(start) = end.checked_sub(footer).filter(|start| *start >= metadata) else {
        return broken("its footer is longer than the file");
    };
    let footer = match unpacked(&read(start, footer)?, postscript.compression()) {
        Some(bytes) => bytes?,
        None => return Ok(()),
    };
    let Ok(footer) = Footer::decode(&footer[..]) else { return broken("its footer cannot be read") };
    types(&footer.types)?;
    let rows = footer.stripes.iter().try_fold(0u64, |sum, stripe| sum.checked_add(stripe.number_of_rows()));
    if rows == Some(footer.number_of_rows()) { Ok(()) } else { broken("its stripes do not have the rows it promises") }
}

#[derive(Debug)]
pub enum Wrong {
    World(std::io::Error),
    Broken(String),
}

impl From<std::io::Error> for Wrong {
    fn from(e: std::io::Error) -> Wrong {
        Wrong::World(e)
    }
}

fn broken<T>(why: &str) -> Result<T, Wrong> {
    Err(Wrong::Broken(why.into()))
}

/// The chunks of a stream, unpacked; nothing for a compression that only orc-rust knows.
fn unpacked(mut bytes: &[u8], kind: CompressionKind) -> Option<Result<Vec<u8>, Wrong>> {
    let mut out = vec![];
    if kind == CompressionKind::None {
        return Some(Ok(bytes.to_vec()));
    }
    let bad = || Some(broken("its footer cannot be unpacked"));
    while let [a, b, c, rest @ ..] = bytes {
        let header = u32::from_le_bytes([*a, *b, *c, 0]);
        let Some((chunk, rest)) = rest.split_at_checked(header as usize >> 1) else { return bad() };
        bytes = rest;
        if header & 1 == 1 {
            out.extend_from_slice(chunk);
            continue;
        }
        let unpacked = match kind {
            CompressionKind::Zlib => DeflateDecoder::new(chunk).take(LARGEST_CHUNK).read_to_end(&mut out).is_ok(),
            CompressionKind::Zstd => {
                zstd::Decoder::new(chunk).is_ok_and(|reader| reader.take(LARGEST_CHUNK).read_to_end(&mut out).is_ok())
            }
            CompressionKind::Snappy => {
                let short = snap::raw::decompress_len(chunk).is_ok_and(|length| (length as u64) < LARGEST_CHUNK);
                let done = short.then(|| snap::raw::Decoder::new().decompress_vec(chunk)).and_then(Result::ok);
                done.map(|bytes| out.extend(bytes)).is_some()
            }
            _ => return None,
        };
        if !unpacked {
            return bad();
        }
    }
    Some(Ok(out))
}

/// The types are a tree, each parent before its children.
fn types(types: &[Type]) -> Result<(), Wrong> {
    let mut depth: Vec<Option<u32>> = vec![None; types.len()];
    match types.first() {
        Some(root) if root.kind() == Kind::Struct => depth[0] = Some(0),
        _ => return broken("its types do not begin with a struct"),
    }
    for (at, ty) in types.iter().enumerate() {
        let Some(own) = depth[at] else { return broken("one of its types belongs to no column") };
        for child in &ty.subtypes {
            match depth.get_mut(*child as usize) {
                Some(below @ None) if own < DEPTH => *below = Some(own + 1),
                _ => return broken("its types run in circles"),
            }
        }
        let decimal = (1..=38).contains(&ty.precision()) && ty.scale() <= ty.precision();
        match ty.kind() {
            Kind::Decimal if !decimal => return broken("it has a decimal of more digits than there can be"),
            Kind::Struct if at > 0 && ty.subtypes.is_empty() => return broken("it has a struct without fields"),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(kind: Kind, subtypes: &[u32]) -> Type {
        Type { kind: Some(kind.into()), subtypes: subtypes.to_vec(), ..Default::default() }
    }

    #[test]
    fn types_that_are_no_tree_are_refused() {
        assert!(
            types(&[node(Kind::Struct, &[1, 2]), node(Kind::Int, &[]), node(Kind::List, &[3]), node(Kind::Int, &[])])
                .is_ok()
        );
        assert!(types(&[node(Kind::Struct, &[])]).is_ok());
        for wrong in [
            vec![],
            vec![node(Kind::Int, &[])],
            vec![node(Kind::Struct, &[0])],
            vec![node(Kind::Struct, &[1]), node(Kind::List, &[1])],
            vec![node(Kind::Struct, &[1]), node(Kind::List, &[0])],
            vec![node(Kind::Struct, &[1, 1]), node(Kind::Int, &[])],
            vec![node(Kind::Struct, &[9])],
            vec![node(Kind::Struct, &[1]), node(Kind::Struct, &[])],
            vec![node(Kind::Struct, &[1]), node(Kind::Decimal, &[])],
        ] {
            assert!(types(&wrong).is_err(), "{wrong:?}");
        }
        let deep: Vec<Type> = (1..200).map(|n| node(Kind::Struct, &[n])).collect();
        assert!(types(&deep).is_err());
    }
}
