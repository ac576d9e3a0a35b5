//! `selvedge up`: servers that stand in for AWS, on this machine, until they are interrupted.

use selvedge_servers::Stack;
use std::fmt::Write;
use std::path::PathBuf;

fn main() {
    let graphs = PathBuf::from(std::env::args().nth(1).unwrap_or_else(|| "graphs".into()));
    if !graphs.join("inventory/data/retail.db").is_file() {
        eprintln!("error: there are no graphs of the retailer in {}", graphs.display());
        eprintln!("help: selvedge up FOLDER, the folder `graphs` of Selvedge's sources");
        std::process::exit(2);
    }
    // Before any thread starts: all of them let the signals be.
    let signals = waited_for();
    eprintln!(
        "starting MariaDB, an S3 server, a stand-in for Redshift and a search engine; what is missing is installed"
    );
    let stack = Stack::start(&graphs);
    let file = graphs.join("out/up.env");
    let mut text = String::from("# Written by `selvedge up`, for as long as it runs.\n");
    for (name, value) in stack.env() {
        // Writing to memory does not fail.
        let _ = writeln!(text, "export {name}='{}'", value.replace('\'', r"'\''"));
    }
    let written = std::fs::create_dir_all(graphs.join("out")).and_then(|()| std::fs::write(&file, text));
    if let Err(e) = written {
        eprintln!("error: writing {}: {e}", file.display());
        std::process::exit(1);
    }
    println!("They run. In another terminal:\n");
    println!("    . {}", file.display());
    println!("    selvedge run {} --profile aws --once\n", graphs.display());
    println!("Interrupt (Ctrl-C) to stop them; what they hold is gone then.");
    let mut signal = 0;
    // SAFETY: both point to values of this function.
    unsafe { libc::sigwait(&raw const signals, &raw mut signal) };
    let _ = std::fs::remove_file(&file);
    drop(stack);
    selvedge_servers::leave();
}

/// Blocks SIGINT and SIGTERM, so that they can be waited for.
fn waited_for() -> libc::sigset_t {
    // SAFETY: the set is made by sigemptyset before anything reads it.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, libc::SIGINT);
        libc::sigaddset(&raw mut set, libc::SIGTERM);
        libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut());
        set
    }
}
