//! ORC files: read by orc-rust, written by our own writer, which knows decimals, lists, structs and statistics.
