//! The `selvedge` binary: everything is in the library, so that tests can call it in process.

use std::process::ExitCode;

fn main() -> ExitCode {
    selvedge::main_with(std::env::args_os())
}
