//! The compiler of plugins in Rust, installed where it is missing.

use std::path::Path;
use std::process::Command;
use std::sync::Once;

/// Rust's standard library for WebAssembly: rustup's, or, where its server cannot be reached, Debian's.
pub fn rust() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let libs =
            Command::new("rustc").args(["--print", "target-libdir", "--target", "wasm32-wasip2"]).output().unwrap();
        if Path::new(String::from_utf8_lossy(&libs.stdout).trim()).is_dir() || Path::new("/usr/bin/wasm-ld").exists() {
            return;
        }
        let done = |command: &mut Command| command.status().is_ok_and(|s| s.success());
        let rustup = done(Command::new("rustup").args(["target", "add", "wasm32-wasip2"]));
        let debian = ["install", "-y", "--no-install-recommends", "rustc-web", "cargo-web", "rust-web-src", "lld"];
        assert!(rustup || done(Command::new("apt-get").args(debian)), "no Rust for WebAssembly can be installed");
    });
}
