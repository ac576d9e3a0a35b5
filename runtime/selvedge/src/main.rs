//! The `selvedge` binary: everything is in the library, so that tests can call it in process.

use std::process::ExitCode;

/// Fewer page faults and less fragmentation than the system's allocator under many threads of short-lived buffers.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    selvedge::main_with(std::env::args_os())
}
