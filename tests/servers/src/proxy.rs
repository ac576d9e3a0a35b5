//! A proxy for HTTP that cuts connections where a test says: the faults of networks that no emulator has.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    Pass,
    /// The connection is cut, and the server never hears of it.
    Refuse,
    /// The server does it, and the connection is cut before its answer.
    Lose,
}

pub struct Proxy {
    pub port: u16,
    count: Arc<AtomicUsize>,
}

impl Proxy {
    /// `decide` is asked for each request, with its number from 0 and its first line.
    pub fn start(to: u16, decide: impl Fn(usize, &str) -> Act + Send + Sync + 'static) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap_or_else(|e| panic!("{e}"));
        let port = listener.local_addr().unwrap_or_else(|e| panic!("{e}")).port();
        let count = Arc::new(AtomicUsize::new(0));
        let (counted, decide) = (count.clone(), Arc::new(decide));
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (counted, decide) = (counted.clone(), decide.clone());
                std::thread::spawn(move || {
                    // A connection that breaks is nothing but that.
                    let _ = serve(&client, to, &counted, &*decide);
                    let _ = client.shutdown(Shutdown::Both);
                });
            }
        });
        Proxy { port, count }
    }

    pub fn requests(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }
}

fn serve(client: &TcpStream, to: u16, count: &AtomicUsize, decide: &dyn Fn(usize, &str) -> Act) -> io::Result<()> {
    client.set_nodelay(true)?;
    let mut from_client = BufReader::new(client);
    loop {
        let head = head(&mut from_client)?;
        let Some(line) = head.lines().next().map(str::to_string) else { return Ok(()) };
        let act = decide(count.fetch_add(1, Ordering::SeqCst), &line);
        if act == Act::Refuse {
            return Ok(());
        }
        let server = TcpStream::connect(("127.0.0.1", to))?;
        server.set_nodelay(true)?;
        (&server).write_all(head.as_bytes())?;
        body(&head, &mut from_client, &mut &server)?;
        let mut from_server = BufReader::new(&server);
        let answer = self::head(&mut from_server)?;
        if act == Act::Lose {
            return Ok(());
        }
        let mut to_client = client;
        to_client.write_all(answer.as_bytes())?;
        let status = answer.split(' ').nth(1).unwrap_or_default();
        if !line.starts_with("HEAD ") && !["204", "304"].contains(&status) {
            body(&answer, &mut from_server, &mut to_client)?;
        }
    }
}

/// Up to the empty line. Nothing: the connection has ended.
fn head(from: &mut impl BufRead) -> io::Result<String> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if from.read_line(&mut head)? == 0 {
            return Ok(String::new());
        }
    }
    Ok(head)
}

fn body(head: &str, from: &mut impl BufRead, to: &mut impl Write) -> io::Result<()> {
    let field = |name: &str| {
        let found = head.lines().find_map(|l| l.split_once(':').filter(|(n, _)| n.eq_ignore_ascii_case(name)));
        found.map(|(_, value)| value.trim().to_string())
    };
    if field("transfer-encoding").is_some_and(|t| t.eq_ignore_ascii_case("chunked")) {
        loop {
            let mut size = String::new();
            from.read_line(&mut size)?;
            to.write_all(size.as_bytes())?;
            let bytes = u64::from_str_radix(size.trim(), 16).map_err(io::Error::other)?;
            // The chunk and the end of its line; of the last one the line alone.
            io::copy(&mut from.take(bytes + 2), to)?;
            if bytes == 0 {
                return Ok(());
            }
        }
    }
    let bytes = field("content-length").and_then(|l| l.parse().ok()).unwrap_or(0);
    io::copy(&mut from.take(bytes), to)?;
    Ok(())
}
