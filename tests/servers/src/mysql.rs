//! MySQL itself: Debian's unstable release has it and the stable one has not, so it is unpacked into a folder and run with its own C library.

use crate::install::{across_programs, cache};
use crate::mariadb::{PASSWORD, copy};
use crate::process::{Process, folder, free_port};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// A running server with the database `shop` and a user `app` that may do all.
pub struct MySql {
    pub port: u16,
    pub folder: PathBuf,
    programs: PathBuf,
    _process: Process,
}

/// Packages with their signatures checked, into `$1/root`; nothing is installed.
const UNPACK: &str = r#"
set -e
mkdir -p "$1/apt/lists/partial" "$1/apt/archives/partial" "$1/root"
: > "$1/apt/status"
uri=$(apt-get indextargets --format '$(REPO_URI)' | head -1)
echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $uri sid main" > "$1/apt/sources.list"
apt="apt-get -q -o Dir::Etc::SourceList=$1/apt/sources.list -o Dir::Etc::SourceParts=/dev/null -o Dir::Etc::Preferences=/dev/null
    -o Dir::Etc::PreferencesParts=/dev/null -o Dir::State::Lists=$1/apt/lists -o Dir::State::status=$1/apt/status -o Dir::Cache=$1/apt
    -o Debug::NoLocking=1 -o Acquire::Languages=none -o APT::Sandbox::User=root -o Acquire::http::Timeout=30 -o Acquire::Retries=1"
$apt update
$apt -y -d --no-install-recommends install mysql-server-core mysql-client-core
for package in "$1"/apt/archives/*.deb; do dpkg-deb -x "$package" "$1/root"; done
rm -r "$1/apt"
"#;

/// The server of this test program; `None`, and a line that says so, where it cannot be fetched.
pub fn mysql() -> Option<&'static MySql> {
    static ONE: OnceLock<Option<MySql>> = OnceLock::new();
    ONE.get_or_init(|| match programs() {
        Ok(programs) => Some(MySql::start(programs)),
        Err(why) => {
            // Past the capture of tests' output: whoever runs them is to see it.
            let line = format!("SKIPPED: MySQL cannot be fetched, MariaDB alone is tested: {why}\n");
            let _ = std::io::Write::write_all(&mut std::io::stderr(), line.as_bytes());
            None
        }
    })
    .as_ref()
}

impl MySql {
    fn start(programs: PathBuf) -> MySql {
        let folder = folder("mysql");
        copy(&template(&programs), &folder.join("data"));
        // Else two servers would have one name.
        let _ = std::fs::remove_file(folder.join("data/auto.cnf"));
        let init = format!(
            "CREATE DATABASE shop;\nCREATE USER app@127.0.0.1 IDENTIFIED BY '{PASSWORD}';\nGRANT ALL ON *.* TO app@127.0.0.1;\n"
        );
        std::fs::write(folder.join("init.sql"), init).unwrap_or_else(|e| panic!("{e}"));
        let port = free_port();
        let mut server = server(&programs, &folder.join("data"));
        server.arg(format!("--socket={}", folder.join("s.sock").display())).arg(format!("--port={port}"));
        server.arg(format!("--init-file={}", folder.join("init.sql").display()));
        server.args(["--bind-address=127.0.0.1", "--skip-name-resolve", "--server-id=1", "--log-bin=binlog"]);
        server.args(["--binlog-row-image=FULL", "--binlog-row-metadata=FULL", "--gtid-mode=ON"]);
        server.args(["--enforce-gtid-consistency=ON", "--innodb-buffer-pool-size=64M", "--performance-schema=OFF"]);
        server.args(["--max-allowed-packet=64M", "--local-infile=1"]);
        let mut process = Process::start("mysqld", server, &folder.join("log"));
        process.ready(port, || client(&programs, port, "select 1").is_ok_and(|o| o.status.success()));
        MySql { port, folder, programs, _process: process }
    }

    /// Runs SQL in `shop` and answers the rows, columns parted by tabs.
    pub fn sql(&self, sql: &str) -> String {
        let ran = client(&self.programs, self.port, sql).unwrap_or_else(|e| panic!("mysql: {e}"));
        assert!(ran.status.success(), "{sql}\n{}", String::from_utf8_lossy(&ran.stderr));
        String::from_utf8_lossy(&ran.stdout).into_owned()
    }
}

/// The folder of the programs, fetched once.
fn programs() -> Result<PathBuf, String> {
    let _others = across_programs();
    let made = cache().join("mysql");
    if !made.is_dir() {
        let new = cache().join("mysql.new");
        let _ = std::fs::remove_dir_all(&new);
        let ran = Command::new("bash").args(["-c", UNPACK, "unpack"]).arg(&new).output().map_err(|e| e.to_string())?;
        if !ran.status.success() {
            let said = String::from_utf8_lossy(&ran.stderr).into_owned();
            return Err(said.lines().last().unwrap_or("apt-get failed").to_string());
        }
        std::fs::rename(&new, &made).map_err(|e| e.to_string())?;
    }
    Ok(made.join("root"))
}

/// A program of the folder, with the C library that it was built for.
fn program(root: &Path, name: &str) -> Command {
    let libraries = root.join("usr/lib/x86_64-linux-gnu");
    let mut command = Command::new(libraries.join("ld-linux-x86-64.so.2"));
    command.arg("--library-path").arg(&libraries).arg(root.join(name)).arg("--no-defaults");
    command
}

fn server(root: &Path, data: &Path) -> Command {
    let mut server = program(root, "usr/sbin/mysqld");
    server.args(["--secure-file-priv=", "--mysqlx=OFF"]);
    let user = Command::new("id").arg("-un").output().map(|o| String::from_utf8_lossy(&o.stdout).trim().to_string());
    server.arg(format!("--user={}", user.unwrap_or_default()));
    server.arg(format!("--basedir={}", root.join("usr").display()));
    server.arg(format!("--lc-messages-dir={}", root.join("usr/share/mysql").display()));
    server.arg(format!("--plugin-dir={}", root.join("usr/lib/mysql/plugin").display()));
    server.arg(format!("--datadir={}", data.display()));
    server
}

/// A folder of data as a new installation has it, made once.
fn template(root: &Path) -> PathBuf {
    let _others = across_programs();
    let made = cache().join("mysql-data");
    if !made.is_dir() {
        let new = cache().join("mysql-data.new");
        let _ = std::fs::remove_dir_all(&new);
        let mut install = server(root, &new);
        let ran = install.args(["--initialize-insecure", "--innodb-redo-log-capacity=16M"]).output();
        let ran = ran.unwrap_or_else(|e| panic!("mysqld --initialize: {e}"));
        assert!(ran.status.success(), "mysqld --initialize: {}", String::from_utf8_lossy(&ran.stderr));
        std::fs::rename(&new, &made).unwrap_or_else(|e| panic!("{e}"));
    }
    made
}

fn client(root: &Path, port: u16, sql: &str) -> std::io::Result<std::process::Output> {
    let mut client = program(root, "usr/bin/mysql");
    client.args(["--protocol=tcp", "-h127.0.0.1", "-uapp", "-N", "--default-character-set=utf8mb4"]);
    client.arg(format!("-P{port}")).arg(format!("-p{PASSWORD}")).args(["shop", "-e", sql]).output()
}
