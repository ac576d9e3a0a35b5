//! `selvedge up`: servers for development, which are a program of their own, so that this one carries none of them.

use super::{FAILED, WRONG};
use crate::screen;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

pub fn up(graphs: &Path) -> u8 {
    let beside = std::env::current_exe().ok().and_then(|own| Some(own.parent()?.join("selvedge-up")));
    let Some(program) = beside.filter(|p| p.is_file()) else {
        screen::error("error: `selvedge-up` is not beside this program");
        screen::error("help: build it in Selvedge's sources: cargo build -p selvedge-servers");
        return WRONG;
    };
    let e = Command::new(&program).arg(graphs).exec();
    screen::error(&format!("error: starting {}: {e}", program.display()));
    FAILED
}
