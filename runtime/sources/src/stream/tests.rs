//! Shards that grow, are replaced, cut off and removed.
