//! What tests need beside Rust, installed where it is missing: compilers of plugins, packages of Python.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, Once};

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

/// A program of a Debian package, told to be there by a call that succeeds.
pub fn debian(package: &str, call: &[&str]) {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _one = ONE_AT_A_TIME.lock();
    let there = || Command::new(call[0]).args(&call[1..]).output().is_ok_and(|o| o.status.success());
    let install = ["install", "-y", "--no-install-recommends", package];
    let installed = there() || Command::new("apt-get").args(install).output().is_ok_and(|o| o.status.success());
    assert!(installed && there(), "`{package}` can be neither found nor installed");
}

/// A folder with these Python packages and what they need, installed there once and not by every run of the tests.
pub fn python(packages: &[&str]) -> PathBuf {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _one = ONE_AT_A_TIME.lock();
    let temporary = env!("CARGO_TARGET_TMPDIR");
    let folder = Path::new(temporary).join(packages.join("-").replace("==", "-"));
    if !folder.is_dir() {
        // Cargo makes it when it builds, and it may have been emptied since.
        std::fs::create_dir_all(temporary).unwrap();
        let done = |command: &mut Command| command.status().is_ok_and(|s| s.success());
        let made = tempfile::tempdir_in(temporary).unwrap();
        let mut python = PathBuf::from("python3");
        // Debian leaves out pip, or venv, or both: one of them is enough.
        if !Command::new(&python).args(["-m", "pip", "--version"]).output().is_ok_and(|ran| ran.status.success()) {
            let venv = made.path().join("venv");
            assert!(done(Command::new(&python).args(["-m", "venv"]).arg(&venv)), "Python has neither pip nor venv");
            python = venv.join("bin/python3");
        }
        let installed = made.path().join("packages");
        let mut pip = Command::new(python);
        pip.args(["-m", "pip", "install", "--quiet", "--target"]).arg(&installed).args(packages);
        assert!(done(&mut pip), "{packages:?} cannot be installed");
        // Where another process was faster, its folder is as good.
        if std::fs::rename(&installed, &folder).is_err() {
            assert!(folder.is_dir(), "{} cannot be moved to {}", installed.display(), folder.display());
        }
    }
    folder
}
