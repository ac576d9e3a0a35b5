//! moto: an emulator of AWS's smaller services. It believes every signature.

use crate::install::python;
use crate::process::{Process, folder, free_port};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::sync::OnceLock;

pub struct Moto {
    pub port: u16,
    _process: Process,
}

impl Moto {
    fn start() -> Moto {
        let packages = python(&["moto[server]==5.2.5"]);
        let folder = folder("moto");
        let port = free_port();
        let mut server = Command::new("python3");
        server.args(["-m", "moto.server", "-H", "127.0.0.1", "-p", &port.to_string()]);
        server.env("PYTHONPATH", packages).current_dir(&folder);
        let mut process = Process::start("moto", server, &folder.join("log"));
        process.ready(port, || request(port, "GET", "/moto-api/data.json", "", "").starts_with("HTTP/1.1 200"));
        Moto { port, _process: process }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// A call of a service that speaks JSON, such as `secretsmanager.CreateSecret`.
    pub fn call(&self, target: &str, body: &str) {
        let service = target.split('.').next().unwrap_or_default().trim_start_matches("Amazon").to_lowercase();
        let headers = format!(
            "X-Amz-Target: {target}\r\nContent-Type: application/x-amz-json-1.1\r\nAuthorization: AWS4-HMAC-SHA256 Credential=AK/20260101/eu-west-1/{service}/aws4_request, SignedHeaders=host, Signature=0\r\n"
        );
        let told = request(self.port, "POST", "/", &headers, body);
        assert!(told.starts_with("HTTP/1.1 200"), "{target}: {told}");
    }
}

/// The emulator of this test program.
pub fn moto() -> &'static Moto {
    static ONE: OnceLock<Moto> = OnceLock::new();
    ONE.get_or_init(Moto::start)
}

fn request(port: u16, method: &str, path: &str, headers: &str, body: &str) -> String {
    let asked = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    asked().unwrap_or_default()
}
