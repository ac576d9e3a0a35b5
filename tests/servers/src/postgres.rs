//! PostgreSQL: the one that is there, or Debian's.

use crate::install::debian;
use crate::process::{Process, folder, free_port};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// A running server with the database `retail` and its owner `etl`, who has to show a password.
pub struct Postgres {
    pub port: u16,
    pub folder: PathBuf,
    programs: PathBuf,
    process: Process,
}

pub const PASSWORD: &str = "p@ss/w:ord";

impl Postgres {
    pub fn start() -> Postgres {
        let programs = programs();
        let folder = folder("postgres");
        std::fs::write(folder.join("pw"), PASSWORD).unwrap_or_else(|e| panic!("{e}"));
        if root() {
            // PostgreSQL refuses to run as root.
            let ran = Command::new("chown").args(["-R", "nobody"]).arg(&folder).status();
            assert!(ran.is_ok_and(|s| s.success()), "chown");
        }
        let mut init = as_nobody(&programs.join("initdb"));
        init.arg("-D").arg(folder.join("data")).arg(format!("--pwfile={}", folder.join("pw").display()));
        init.args(["-U", "etl", "-A", "scram-sha-256", "-E", "UTF8", "--locale=C", "--no-sync"]).current_dir("/");
        let ran = init.output().unwrap_or_else(|e| panic!("initdb: {e}"));
        assert!(ran.status.success(), "initdb: {}", String::from_utf8_lossy(&ran.stderr));
        let port = free_port();
        let process = run(&programs, &folder, port);
        let server = Postgres { port, folder, programs, process };
        server.in_database("postgres", "create database retail");
        server
    }

    /// Ends without a good-bye and comes again, on the same port with the same data.
    pub fn crash_and_restart(&mut self) {
        self.process.kill();
        let _ = std::fs::remove_file(self.folder.join("data/postmaster.pid"));
        self.process = run(&self.programs, &self.folder, self.port);
    }

    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Runs SQL in `retail` and answers the rows, columns parted by `|`.
    pub fn sql(&self, sql: &str) -> String {
        self.in_database("retail", sql)
    }

    fn in_database(&self, database: &str, sql: &str) -> String {
        let ran = client(&self.programs, self.port, database, sql).unwrap_or_else(|e| panic!("psql: {e}"));
        assert!(ran.status.success(), "{sql}\n{}", String::from_utf8_lossy(&ran.stderr));
        String::from_utf8_lossy(&ran.stdout).into_owned()
    }
}

/// The server of this test program.
pub fn postgres() -> &'static Postgres {
    static ONE: OnceLock<Postgres> = OnceLock::new();
    ONE.get_or_init(Postgres::start)
}

/// The folder with `postgres`, `initdb` and `psql`.
fn programs() -> PathBuf {
    let all = ["postgres", "initdb", "psql"];
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let debians = || {
        let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
        versions.map(|v| v.path().join("bin")).collect::<Vec<_>>()
    };
    folders.extend(debians());
    let complete = |f: &&PathBuf| all.iter().all(|p| f.join(p).is_file());
    if let Some(found) = folders.iter().find(complete) {
        return found.clone();
    }
    debian(&["postgresql"], "/usr/lib/postgresql");
    let debians = debians();
    debians.iter().find(complete).unwrap_or_else(|| panic!("no PostgreSQL in {debians:?}")).clone()
}

fn run(programs: &Path, folder: &Path, port: u16) -> Process {
    let mut server = as_nobody(&programs.join("postgres"));
    server.arg("-D").arg(folder.join("data")).arg("-p").arg(port.to_string()).current_dir("/");
    server.arg("-c").arg(format!("unix_socket_directories={}", folder.display()));
    for setting in ["listen_addresses=127.0.0.1", "wal_level=logical", "fsync=off", "full_page_writes=off"] {
        server.args(["-c", setting]);
    }
    for setting in ["synchronous_commit=on", "shared_buffers=64MB", "max_wal_size=4GB"] {
        server.args(["-c", setting]);
    }
    let mut process = Process::start("postgres", server, &folder.with_extension("log"));
    process.ready(port, || client(programs, port, "postgres", "select 1").is_ok_and(|o| o.status.success()));
    process
}

fn client(programs: &Path, port: u16, database: &str, sql: &str) -> std::io::Result<std::process::Output> {
    let mut client = Command::new(programs.join("psql"));
    client.env("PGPASSWORD", PASSWORD).args(["-XqtA", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-U", "etl"]);
    client.args(["-d", database, "-p"]).arg(port.to_string()).args(["-c", sql]).output()
}

fn root() -> bool {
    // SAFETY: always succeeds.
    unsafe { libc::geteuid() == 0 }
}

fn as_nobody(program: &Path) -> Command {
    if !root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=nobody", "--regid=nogroup", "--clear-groups", "--pdeathsig=KILL"]).arg(program);
    command
}
