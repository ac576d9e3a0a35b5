//! Hash exchange: the rows of a batch spread over the parallel instances of a keyed node.

use arrow::array::{RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use selvedge_node::{Error, Result};

/// The instance, `0..n`, that owns a key. `n` may be any number up to 65536.
#[inline(always)]
pub fn instance_of(hash: u128, n: usize) -> usize {
    // The top 32 bits as a fraction of 1, times n (Lemire's reduction): even for any n.
    (((hash >> 96) as u64 * n as u64) >> 32) as usize
}

/// Parts a batch by its rows' hashes: `n` batches, empty ones among them, rows in their order. A batch that goes to one
/// instance whole is not copied.
pub fn scatter(batch: &RecordBatch, hashes: &[u128], n: usize) -> Result<Vec<RecordBatch>> {
    if hashes.len() != batch.num_rows() {
        return Err(Error::bug(format!("{} hashes for {} rows", hashes.len(), batch.num_rows())));
    }
    if n <= 1 {
        return Ok(vec![batch.clone()]);
    }
    // Room for an even share: a counting pass would read the hashes twice to save a rare growth.
    let share = batch.num_rows() / n + batch.num_rows() / (4 * n) + 8;
    let mut rows: Vec<Vec<u32>> = (0..n).map(|_| Vec::with_capacity(share)).collect();
    for (row, &hash) in hashes.iter().enumerate() {
        rows[instance_of(hash, n)].push(row as u32);
    }
    rows.into_iter()
        .map(|rows| match rows.len() {
            0 => Ok(batch.slice(0, 0)),
            all if all == batch.num_rows() => Ok(batch.clone()),
            _ => Ok(take_record_batch(batch, &UInt32Array::from(rows))?),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RowHasher;
    use arrow::array::{Int64Array, StringArray};
    use std::sync::Arc;

    fn batch(rows: i64) -> RecordBatch {
        let ids = Int64Array::from_iter_values(0..rows);
        let names = StringArray::from_iter((0..rows).map(|i| (i % 7 != 0).then(|| format!("name {}", i % 100))));
        RecordBatch::try_from_iter([("id", Arc::new(ids) as _), ("name", Arc::new(names) as _)]).unwrap()
    }

    fn hashes(batch: &RecordBatch, columns: &[usize]) -> Vec<u128> {
        let mut out = vec![];
        RowHasher::new(&batch.schema(), columns).unwrap().hash(batch, &mut out);
        out
    }

    #[test]
    fn every_row_goes_to_one_part_evenly_and_equal_keys_meet() {
        let all = batch(10_000);
        for n in [1, 2, 3, 7] {
            let parts = scatter(&all, &hashes(&all, &[0]), n).unwrap();
            assert_eq!(parts.len(), n);
            assert_eq!(parts.iter().map(|p| p.num_rows()).sum::<usize>(), 10_000);
            for part in &parts {
                assert!(part.num_rows() > 10_000 / n * 8 / 10, "{n} parts, one of {}", part.num_rows());
            }
            let by_name = scatter(&all, &hashes(&all, &[1]), n).unwrap();
            let of_name: Vec<std::collections::HashSet<Option<String>>> = by_name
                .iter()
                .map(|p| {
                    let names = p.column(1).as_any().downcast_ref::<StringArray>().unwrap();
                    names.iter().map(|v| v.map(str::to_string)).collect()
                })
                .collect();
            assert_eq!(
                of_name.iter().map(|s| s.len()).sum::<usize>(),
                of_name.iter().flatten().collect::<std::collections::HashSet<_>>().len()
            );
        }
    }

    #[test]
    fn a_batch_of_one_key_is_shared_and_an_empty_one_stays_empty() {
        let all = batch(10);
        let parts = scatter(&all, &[1 << 127; 10], 2).unwrap();
        assert_eq!((parts[0].num_rows(), &parts[1]), (0, &all));
        assert!(scatter(&all.slice(0, 0), &[], 3).unwrap().iter().all(|p| p.num_rows() == 0));
        assert!(scatter(&all, &[1], 2).is_err());
    }
}
