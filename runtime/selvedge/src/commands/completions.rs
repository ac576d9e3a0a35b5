//! `selvedge completions`

use crate::cli::Cli;
use clap::CommandFactory;

pub fn completions(shell: clap_complete::Shell) -> u8 {
    let mut script = vec![];
    clap_complete::generate(shell, &mut Cli::command(), "selvedge", &mut script);
    crate::screen::print(String::from_utf8_lossy(&script).trim_end());
    0
}
