//! Empty on purpose: every runtime crate depends on this one, so that `cargo test -p any` builds the third-party
//! crates with the same features as the whole workspace does, and never a second time.
