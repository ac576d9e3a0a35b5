//! Bytes as numbers: the only unsafe code of this crate, besides what is generated.
#![allow(unsafe_code, reason = "views without a copy")]

use std::borrow::Cow;

mod sealed {
    /// # Safety
    /// Only for types without padding for which all bit patterns are values.
    pub unsafe trait Plain: Copy + Default + 'static {
        fn from_le(bytes: &[u8]) -> Self;
        fn put_le(self, into: &mut Vec<u8>);
    }
}
pub(crate) use sealed::Plain;

/// A number as it stands in a column's buffer.
pub trait Native: Plain {}

macro_rules! plain {
    ($($type:ty),*) => {$(
        // SAFETY: integers and floats have no padding, and all of their bit patterns are values.
        unsafe impl Plain for $type {
            fn from_le(bytes: &[u8]) -> $type {
                bytes.try_into().map(<$type>::from_le_bytes).unwrap_or_default()
            }
            fn put_le(self, into: &mut Vec<u8>) {
                into.extend_from_slice(&self.to_le_bytes());
            }
        }
        impl Native for $type {}
    )*};
}
plain!(i8, i16, i32, i64, i128, u8, u16, u32, u64, f32, f64);

/// The first `count` numbers of a buffer, without a copy where it is aligned; none where it is too short.
pub(crate) fn view<T: Native>(bytes: &[u8], count: usize) -> Option<Cow<'_, [T]>> {
    let bytes = bytes.get(..count.checked_mul(size_of::<T>())?)?;
    if cfg!(target_endian = "little") {
        // SAFETY: `Plain` types have no padding and no invalid bit patterns.
        let (before, all, after) = unsafe { bytes.align_to::<T>() };
        if before.is_empty() && after.is_empty() {
            return Some(Cow::Borrowed(all));
        }
    }
    Some(Cow::Owned(bytes.chunks_exact(size_of::<T>()).map(T::from_le).collect()))
}

/// Numbers as a buffer.
pub(crate) fn bytes<T: Native>(values: &[T]) -> Vec<u8> {
    if cfg!(target_endian = "little") {
        // SAFETY: `Plain` types have no padding, so that all of their bytes are initialised; bytes need no alignment.
        let (_, all, _) = unsafe { values.align_to::<u8>() };
        return all.to_vec();
    }
    let mut bytes = Vec::with_capacity(size_of_val(values));
    values.iter().for_each(|v| v.put_le(&mut bytes));
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn misaligned_buffers_are_copied() {
        let buffer = bytes(&[1_i64, -2, 3]);
        assert_eq!(view::<i64>(&buffer, 3).unwrap().as_ref(), [1, -2, 3]);
        let shifted: Vec<u8> = [0].into_iter().chain(buffer).collect();
        assert_eq!(view::<i64>(&shifted[1..], 3).unwrap().as_ref(), [1, -2, 3]);
        assert_eq!(view::<i64>(&shifted, 4), None);
        assert_eq!(view::<i64>(&shifted, usize::MAX), None);
        assert_eq!(view::<i128>(&[], 0).unwrap().as_ref(), [0_i128; 0]);
    }
}
