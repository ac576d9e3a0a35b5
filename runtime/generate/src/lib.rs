//! Being raised.
