//! One file a command; each answers with the exit code.

mod bookmark;
mod check;
mod compare;
mod completions;
mod crawl;
mod crawl_target;
mod doctor;
mod r#gen;
mod nodes;
mod plan;
mod plugin;
mod run;
mod test;
mod up;
mod why;

use crate::cli::Command;

/// The graph, or the command line, is wrong.
pub const WRONG: u8 = 2;
pub const FAILED: u8 = 1;

pub fn dispatch(command: Command) -> u8 {
    match command {
        Command::Run(args) => run::run(&args),
        Command::Check(args) => check::check(&args),
        Command::Doctor(args) => doctor::doctor(&args),
        Command::Plan(args) => plan::plan(&args),
        Command::Nodes(args) => nodes::nodes(&args),
        Command::Crawl(args) => crawl::crawl(&args),
        Command::Test(args) => test::test(&args),
        Command::Up { graphs } => up::up(&graphs),
        Command::Why(args) => why::why(&args),
        Command::Bookmark(command) => bookmark::bookmark(&command),
        Command::Plugin(command) => plugin::plugin(&command),
        Command::Gen(args) => r#gen::generate(&args),
        Command::Completions { shell } => completions::completions(shell),
    }
}
