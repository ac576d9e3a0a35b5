//! The `selvedge` binary as the tests run it: the same library entry as runtime/selvedge/src/main.rs.

use std::process::ExitCode;

fn main() -> ExitCode {
    selvedge::main_with(std::env::args_os())
}
