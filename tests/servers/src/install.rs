//! What is missing is installed: Debian packages where they belong, Python packages in a folder of the build's.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Packages of Debian, told to be there by a file. Their services are not started.
pub fn debian(packages: &[&str], file: &str) {
    let _one = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let _others = across_programs();
    if Path::new(file).exists() {
        return;
    }
    let apt =
        |arguments: &[&str]| Command::new("apt-get").args(arguments).env("DEBIAN_FRONTEND", "noninteractive").output();
    let mut install = vec!["install", "-y", "--no-install-recommends"];
    install.extend(packages);
    let mut ran = apt(&install);
    if !ran.as_ref().is_ok_and(|o| o.status.success()) {
        // The list of packages may be old, or none.
        let _ = apt(&["update"]);
        ran = apt(&install);
    }
    let said = ran.map_or_else(|e| e.to_string(), |o| String::from_utf8_lossy(&o.stderr).into_owned());
    assert!(
        Path::new(file).exists(),
        "{packages:?} can be neither found nor installed (as root: apt-get install): {said}"
    );
}

/// A folder with these Python packages and what they need, installed there once and not by every run of the tests.
pub fn python(packages: &[&str]) -> PathBuf {
    let _one = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let _others = across_programs();
    let folder = cache().join(packages.join("-").replace("==", "-"));
    if !folder.is_dir() {
        let made = cache().join("new");
        let _ = std::fs::remove_dir_all(&made);
        let done = |command: &mut Command| command.output().is_ok_and(|ran| ran.status.success());
        let mut python = PathBuf::from("python3");
        // Debian leaves out pip, or venv, or both: one of them is enough.
        if !done(Command::new(&python).args(["-m", "pip", "--version"])) {
            let venv = made.join("venv");
            assert!(done(Command::new(&python).args(["-m", "venv"]).arg(&venv)), "Python has neither pip nor venv");
            python = venv.join("bin/python3");
        }
        let installed = made.join("packages");
        let mut pip = Command::new(python);
        pip.args(["-m", "pip", "install", "--quiet", "--target"]).arg(&installed).args(packages);
        let ran = pip.output().unwrap_or_else(|e| panic!("pip: {e}"));
        assert!(ran.status.success(), "{packages:?}: {}", String::from_utf8_lossy(&ran.stderr));
        std::fs::rename(&installed, &folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
        let _ = std::fs::remove_dir_all(&made);
    }
    folder
}

/// Where installed things stay between runs: beside the test program, in the build's folder.
pub fn cache() -> PathBuf {
    let program = std::env::current_exe().unwrap_or_else(|e| panic!("{e}"));
    // target/debug/deps/program
    let target = program.ancestors().nth(3).unwrap_or_else(|| panic!("{} is not in a build", program.display()));
    let cache = target.join("servers");
    std::fs::create_dir_all(&cache).unwrap_or_else(|e| panic!("{}: {e}", cache.display()));
    cache
}

/// Held while something is installed: several test programs may want the same.
pub fn across_programs() -> std::fs::File {
    let path = cache().join("lock");
    let file = std::fs::File::create(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    file.lock().unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    file
}
