//! MariaDB, as Debian has it.

use crate::install::{across_programs, cache, debian};
use crate::process::{Process, folder, free_port};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

pub const PASSWORD: &str = "p@ss/w:ord";

/// A running server with the database `shop`, a user `app` that may do all in it, and `repl` that may read it and the binlog.
pub struct MariaDb {
    pub port: u16,
    pub folder: PathBuf,
    process: Process,
}

impl MariaDb {
    pub fn start() -> MariaDb {
        debian(&["mariadb-server-core", "mariadb-client-core"], "/usr/sbin/mariadbd");
        let folder = folder("mariadb");
        copy(&template(), &folder.join("data"));
        // A statement on each line.
        let grants = format!(
            "CREATE DATABASE shop;\n\
             CREATE USER app@127.0.0.1 IDENTIFIED BY '{PASSWORD}';\n\
             GRANT ALL ON *.* TO app@127.0.0.1;\n\
             CREATE USER repl@127.0.0.1 IDENTIFIED BY '{PASSWORD}';\n\
             GRANT REPLICATION SLAVE, REPLICATION CLIENT, BINLOG MONITOR ON *.* TO repl@127.0.0.1;\n\
             GRANT SELECT ON shop.* TO repl@127.0.0.1;\n"
        );
        std::fs::write(folder.join("init.sql"), grants).unwrap_or_else(|e| panic!("{e}"));
        let port = free_port();
        let process = run(&folder, port, Some("init.sql"));
        MariaDb { port, folder, process }
    }

    /// Ends without a good-bye and comes again, on the same port with the same data.
    pub fn crash_and_restart(&mut self) {
        self.process.kill();
        self.process = run(&self.folder, self.port, None);
    }

    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Runs SQL in `shop` and answers the rows, columns parted by tabs.
    pub fn sql(&self, sql: &str) -> String {
        let ran = client(self.port, sql).unwrap_or_else(|e| panic!("mariadb: {e}"));
        assert!(ran.status.success(), "{sql}\n{}", String::from_utf8_lossy(&ran.stderr));
        String::from_utf8_lossy(&ran.stdout).into_owned()
    }
}

/// The server of this test program.
pub fn mariadb() -> &'static MariaDb {
    static ONE: OnceLock<MariaDb> = OnceLock::new();
    ONE.get_or_init(MariaDb::start)
}

/// A folder of data as a new installation has it, made once.
fn template() -> PathBuf {
    let _others = across_programs();
    let made = cache().join("mariadb");
    if !made.is_dir() {
        let new = cache().join("mariadb.new");
        let _ = std::fs::remove_dir_all(&new);
        let mut install = Command::new("mariadb-install-db");
        install.args(["--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db"]);
        install.arg(format!("--datadir={}", new.display())).arg(format!("--user={}", user()));
        let ran = install.output().unwrap_or_else(|e| panic!("mariadb-install-db: {e}"));
        assert!(ran.status.success(), "mariadb-install-db: {}", String::from_utf8_lossy(&ran.stderr));
        std::fs::rename(&new, &made).unwrap_or_else(|e| panic!("{e}"));
    }
    made
}

fn run(folder: &Path, port: u16, init: Option<&str>) -> Process {
    let mut server = Command::new("/usr/sbin/mariadbd");
    server.arg("--no-defaults").arg(format!("--user={}", user()));
    server.arg(format!("--datadir={}", folder.join("data").display()));
    server.arg(format!("--socket={}", folder.join("s.sock").display()));
    server.arg(format!("--pid-file={}", folder.join("pid").display()));
    server.arg(format!("--port={port}")).arg(format!("--log-bin={}", folder.join("data/binlog").display()));
    server.args(["--bind-address=127.0.0.1", "--skip-name-resolve", "--server-id=1", "--binlog-format=ROW"]);
    server.args(["--binlog-row-image=FULL", "--binlog-row-metadata=FULL", "--innodb-buffer-pool-size=64M"]);
    server.args(["--innodb-log-file-size=16M", "--innodb-flush-log-at-trx-commit=2", "--sync-binlog=0"]);
    server.args(["--character-set-server=utf8mb4", "--local-infile=1", "--max-allowed-packet=64M"]);
    if let Some(init) = init {
        server.arg(format!("--init-file={}", folder.join(init).display()));
    }
    let mut process = Process::start("mariadbd", server, &folder.join("log"));
    process.ready(port, || client(port, "select 1").is_ok_and(|o| o.status.success()));
    process
}

fn client(port: u16, sql: &str) -> std::io::Result<std::process::Output> {
    let mut client = Command::new("mariadb");
    client.args([
        "--no-defaults",
        "--protocol=tcp",
        "-h127.0.0.1",
        "-uapp",
        "-N",
        "--default-character-set=utf8mb4",
        "--local-infile=1",
    ]);
    client.arg(format!("-P{port}")).arg(format!("-p{PASSWORD}")).args(["shop", "-e", sql]).output()
}

fn user() -> String {
    let ran = Command::new("id").arg("-un").output().unwrap_or_else(|e| panic!("id: {e}"));
    String::from_utf8_lossy(&ran.stdout).trim().to_string()
}

pub(crate) fn copy(from: &Path, to: &Path) {
    let ran = Command::new("cp").arg("-a").args([from, to]).output().unwrap_or_else(|e| panic!("cp: {e}"));
    assert!(ran.status.success(), "cp: {}", String::from_utf8_lossy(&ran.stderr));
}
