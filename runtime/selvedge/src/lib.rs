//! The command line: the only crate that names concrete kinds and puts everything together.

mod catalogue;
mod cli;
mod commands;
mod connectors;
mod graphs;
mod progress;
mod recording;
mod reference;
mod screen;
mod signals;

pub use catalogue::catalogue;

use clap::Parser;
use std::ffi::OsString;
use std::process::ExitCode;

/// Runs one command line, program name first. 0 done, 1 failed, 2 the graph or the command line is wrong, 3 the ledger does
/// not balance.
pub fn main_with(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match cli::Cli::try_parse_from(args) {
        Ok(cli) => cli,
        Err(e) => {
            // A closed standard output is no reason to fail; help and version go there, errors to standard error.
            let _ = e.print();
            return ExitCode::from(if e.use_stderr() { 2 } else { 0 });
        }
    };
    screen::logging(&cli.log);
    quiet_panics();
    ExitCode::from(commands::dispatch(cli.command))
}

/// A panic in a node becomes that node's error in the report; the log keeps where it came from.
fn quiet_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, "a thread panicked: {panic}");
    }));
}
