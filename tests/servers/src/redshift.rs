//! A stand-in for Redshift: PostgreSQL behind a proxy that knows Redshift's COPY and refuses what Redshift refuses. It is not Redshift.
//!
//! What it does of Redshift's own, on the client's own session:
//! - `COPY table FROM 's3://…' IAM_ROLE … | ACCESS_KEY_ID … SECRET_ACCESS_KEY … FORMAT [AS] PARQUET MANIFEST`: reads the manifest and its Parquet
//!   files, compares lengths, number and types of columns, and copies the rows.
//! - `DISTSTYLE`, `DISTKEY`, `SORTKEY`, `ENCODE` are let be; keys are taken out, as Redshift does not enforce them; VARCHAR counts bytes;
//!   SUPER is jsonb, VARBYTE bytea; `GETDATE()` and `JSON_PARSE()` are functions.
//! - What PostgreSQL takes and Redshift does not is refused, and aborts the transaction: see [`REFUSED`].
//!
//! Where it is unlike Redshift: isolation is PostgreSQL's (read committed; Redshift's is serializable or snapshot, and ends one of two
//! transactions in conflict); `information_schema` says `jsonb` and `bytea`; COPY has no MAXERROR, no `stl_load_errors`, and reads no other
//! formats; roles are believed; numbers and times print as PostgreSQL prints them; nothing is distributed, sorted, compressed or vacuumed.

use crate::postgres::Postgres;
use crate::proxy::Act;
use arrow::array::{Array, RecordBatch};
use arrow::datatypes::{DataType, TimeUnit};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use regex::{Regex, RegexSet};
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

/// What Redshift does not know, though PostgreSQL does.
pub const REFUSED: &[&str] = &[
    r"\bON CONFLICT\b",
    r"\bRETURNING\b",
    r"\bCREATE (UNIQUE )?INDEX\b",
    r"\bDISTINCT ON\b",
    r"\bSERIAL\b",
    r"\bARRAY\[",
    r"\[\]",
    r"\bJSONB?\b",
    r"\bBYTEA\b",
    r"\bTEXT\[",
    r"^DO\b",
    r"\bSAVEPOINT\b",
    r"\bPG_ADVISORY",
    r"\bLATERAL\b",
    r"\bFOR UPDATE\b",
    r"\bIN (ACCESS|ROW|SHARE|EXCLUSIVE)\b.*\bMODE\b",
    r"\bFROM STDIN\b",
    r"\bTO STDOUT\b",
    r"\bON COMMIT\b",
    r"\bUNLOGGED\b",
    r"\bADD COLUMN\b.*,.*\bADD COLUMN\b",
    // It would commit the transaction.
    r"^TRUNCATE\b",
    r"\bSET (INTERVALSTYLE|BYTEA_OUTPUT|IDLE_IN_TRANSACTION_SESSION_TIMEOUT)\b",
    // The target of MERGE has no alias, and both clauses are needed.
    r"^MERGE INTO \S+ (AS )?(?-u:\w+) USING\b",
];

/// Gives the bytes of an object by its URL.
pub type Fetch = dyn Fn(&str) -> Option<Vec<u8>> + Send + Sync;
type Decide = dyn Fn(usize, &str) -> Act + Send + Sync;

pub struct RedshiftStandIn {
    pub port: u16,
    count: Arc<AtomicUsize>,
}

struct Shared {
    to: u16,
    count: Arc<AtomicUsize>,
    fetch: Box<Fetch>,
    decide: Box<Decide>,
}

impl RedshiftStandIn {
    /// Before this PostgreSQL. `decide` is asked for each statement, with its number from 0.
    pub fn start(
        behind: &Postgres,
        fetch: impl Fn(&str) -> Option<Vec<u8>> + Send + Sync + 'static,
        decide: impl Fn(usize, &str) -> Act + Send + Sync + 'static,
    ) -> RedshiftStandIn {
        static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
        let one = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        behind.sql(
            "SET allow_system_table_mods = on; \
             CREATE OR REPLACE FUNCTION pg_catalog.getdate() RETURNS timestamp LANGUAGE sql AS 'SELECT now()::timestamp(0)'; \
             CREATE OR REPLACE FUNCTION pg_catalog.json_parse(text) RETURNS jsonb LANGUAGE sql AS 'SELECT $1::jsonb'",
        );
        drop(one);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap_or_else(|e| panic!("{e}"));
        let port = listener.local_addr().unwrap_or_else(|e| panic!("{e}")).port();
        let count = Arc::new(AtomicUsize::new(0));
        let (fetch, decide) = (Box::new(fetch), Box::new(decide));
        let shared = Arc::new(Shared { to: behind.port, count: count.clone(), fetch, decide });
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let shared = shared.clone();
                std::thread::spawn(move || {
                    let Ok(server) = TcpStream::connect(("127.0.0.1", shared.to)) else { return };
                    // A connection that breaks is nothing but that.
                    let _ = Session { client: &client, server: &server, shared: &shared }.serve();
                    let _ = client.shutdown(Shutdown::Both);
                    let _ = server.shutdown(Shutdown::Both);
                });
            }
        });
        RedshiftStandIn { port, count }
    }

    /// Statements so far.
    pub fn statements(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }
}

struct Session<'a> {
    client: &'a TcpStream,
    server: &'a TcpStream,
    shared: &'a Shared,
}

/// A message: its kind and its body.
type Message = (u8, Vec<u8>);

fn receive(mut from: &TcpStream) -> io::Result<Message> {
    let mut head = [0; 5];
    from.read_exact(&mut head)?;
    let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]);
    let mut body = vec![0; length as usize - 4];
    from.read_exact(&mut body)?;
    Ok((head[0], body))
}

fn send(mut to: &TcpStream, (kind, body): &Message) -> io::Result<()> {
    let mut bytes = vec![*kind];
    bytes.extend((body.len() as u32 + 4).to_be_bytes());
    bytes.extend(body);
    to.write_all(&bytes)
}

fn query(sql: &str) -> Message {
    (b'Q', [sql.as_bytes(), &[0]].concat())
}

fn said(kind: u8, severity: &str, code: &str, message: &str) -> Message {
    (kind, format!("S{severity}\0V{severity}\0C{code}\0M{message}\0\0").into_bytes())
}

impl Session<'_> {
    fn serve(&self) -> io::Result<()> {
        self.client.set_nodelay(true)?;
        self.server.set_nodelay(true)?;
        self.begin()?;
        loop {
            let message = receive(self.client)?;
            match message.0 {
                b'Q' => {
                    let text = String::from_utf8_lossy(&message.1).trim_end_matches('\0').to_string();
                    if !self.statement(&text)? {
                        return Ok(());
                    }
                }
                b'X' => return Ok(()),
                // Sync, or Flush: the server has something to say.
                b'S' => {
                    send(self.server, &message)?;
                    self.relay(true)?;
                }
                _ => send(self.server, &message)?,
            }
        }
    }

    /// Up to the first ReadyForQuery.
    fn begin(&self) -> io::Result<()> {
        let (mut client, mut server) = (self.client, self.server);
        loop {
            let mut length = [0; 4];
            client.read_exact(&mut length)?;
            let mut body = vec![0; u32::from_be_bytes(length) as usize - 4];
            client.read_exact(&mut body)?;
            // SSLRequest: no TLS here.
            if body == 80_877_103u32.to_be_bytes() {
                client.write_all(b"N")?;
                continue;
            }
            server.write_all(&[&length[..], &body].concat())?;
            break;
        }
        loop {
            let message = receive(server)?;
            send(client, &message)?;
            match (message.0, message.1.get(..4)) {
                (b'Z' | b'E', _) => return Ok(()),
                // It wants an answer: a password, or the next step of SCRAM.
                (b'R', Some(step))
                    if [3u32, 5, 10, 11].contains(&u32::from_be_bytes([step[0], step[1], step[2], step[3]])) =>
                {
                    send(server, &receive(client)?)?;
                }
                _ => {}
            }
        }
    }

    /// Passes answers on up to ReadyForQuery; whether an error was among them.
    fn relay(&self, show: bool) -> io::Result<bool> {
        let mut failed = false;
        loop {
            let message = receive(self.server)?;
            failed |= message.0 == b'E';
            if show {
                send(self.client, &message)?;
            }
            if message.0 == b'Z' {
                return Ok(failed);
            }
        }
    }

    /// Rows of a statement of our own, of one column.
    fn ask(&self, sql: &str) -> io::Result<std::result::Result<Vec<String>, Vec<u8>>> {
        send(self.server, &query(sql))?;
        let (mut rows, mut error) = (vec![], None);
        loop {
            let (kind, body) = receive(self.server)?;
            match kind {
                // Number of columns, length, bytes.
                b'D' => rows.push(String::from_utf8_lossy(&body[6..]).into_owned()),
                b'E' => error = Some(body),
                b'Z' => return Ok(error.map_or(Ok(rows), Err)),
                _ => {}
            }
        }
    }

    /// An error of Redshift's: the transaction is aborted, as after any other.
    fn refuse(&self, code: &str, message: &str) -> io::Result<()> {
        let _ = self.ask("SELECT 1/0")?;
        send(self.client, &said(b'E', "ERROR", code, message))?;
        self.ready()
    }

    /// ReadyForQuery, as the server's transaction stands.
    fn ready(&self) -> io::Result<()> {
        send(self.server, &query(""))?;
        loop {
            let message = receive(self.server)?;
            if message.0 == b'Z' {
                return send(self.client, &message);
            }
        }
    }

    /// One Query; `false`: the connection is cut.
    fn statement(&self, sql: &str) -> io::Result<bool> {
        let act = (self.shared.decide)(self.shared.count.fetch_add(1, Ordering::SeqCst), sql);
        if act == Act::Refuse {
            return Ok(false);
        }
        static COPY: LazyLock<Regex> = LazyLock::new(|| {
            let pattern = r"(?is)^\s*COPY\s+(\S+)\s+FROM\s+'(s3://[^']*)'\s+(?:IAM_ROLE\s+(?:default|'arn:aws:iam::[^']*')|ACCESS_KEY_ID\s+'[^']+'\s+SECRET_ACCESS_KEY\s+'[^']+'(?:\s+SESSION_TOKEN\s+'[^']+')?)\s+FORMAT\s+(?:AS\s+)?PARQUET\s+MANIFEST\s*;?\s*$";
            Regex::new(pattern).unwrap_or_else(|e| panic!("{e}"))
        });
        let show = act != Act::Lose;
        if let Some(found) = COPY.captures(sql) {
            match self.copy(&found[1], &found[2])? {
                Ok(rows) if show => {
                    let told =
                        format!("Load into table '{}' completed, {rows} record(s) loaded successfully.", &found[1]);
                    send(self.client, &said(b'N', "INFO", "00000", &told))?;
                    send(self.client, &(b'C', b"COPY\0".to_vec()))?;
                    self.ready()?;
                }
                Ok(_) => {}
                Err(why) => self.refuse("XX000", &why)?,
            }
            return Ok(show);
        }
        // What is in quotes is a name or a value.
        static QUOTED: LazyLock<Regex> =
            LazyLock::new(|| Regex::new(r#"'(?:[^']|'')*'|"(?:[^"]|"")*""#).unwrap_or_else(|e| panic!("{e}")));
        static STRANGE: LazyLock<RegexSet> = LazyLock::new(|| RegexSet::new(REFUSED).unwrap_or_else(|e| panic!("{e}")));
        let bare = QUOTED.replace_all(sql, "q").to_uppercase();
        for statement in bare.split(';').map(str::trim) {
            let odd = STRANGE.matches(statement).iter().next().and_then(|at| REFUSED.get(at));
            let merge = statement.starts_with("MERGE")
                && !(statement.contains("WHEN MATCHED THEN") && statement.contains("WHEN NOT MATCHED THEN"));
            let s3 = statement.starts_with("COPY") || statement.starts_with("UNLOAD");
            if odd.is_some() || merge || s3 {
                self.refuse("0A000", &format!("Redshift does not know this: {}", odd.copied().unwrap_or(statement)))?;
                return Ok(true);
            }
        }
        send(self.server, &query(&rewritten(sql)))?;
        self.relay(show)?;
        Ok(show)
    }

    /// Does what COPY says; the number of rows, or why not.
    fn copy(&self, table: &str, manifest: &str) -> io::Result<std::result::Result<usize, String>> {
        let found = format!(
            "SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE attrelid = '{table}'::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum"
        );
        let columns = match self.ask(&found)? {
            Ok(columns) => columns,
            Err(_) => return Ok(Err(format!("Cannot COPY into nonexistent table {table}"))),
        };
        let batches = match self.read(manifest, &columns) {
            Ok(batches) => batches,
            Err(why) => return Ok(Err(why)),
        };
        send(self.server, &query(&format!("COPY {table} FROM STDIN")))?;
        let started = receive(self.server)?;
        if started.0 != b'G' {
            self.relay(false)?;
            return Ok(Err("the transaction is aborted".into()));
        }
        let mut rows = 0;
        for batch in &batches {
            rows += batch.num_rows();
            send(self.server, &(b'd', text(batch)))?;
        }
        send(self.server, &(b'c', vec![]))?;
        let mut why = None;
        loop {
            let (kind, body) = receive(self.server)?;
            match kind {
                b'E' => why = Some(String::from_utf8_lossy(&body).replace('\0', " ")),
                b'Z' => return Ok(why.map_or(Ok(rows), Err)),
                _ => {}
            }
        }
    }

    fn read(&self, manifest: &str, columns: &[String]) -> std::result::Result<Vec<RecordBatch>, String> {
        let fetch = |url: &str| (self.shared.fetch)(url).ok_or(format!("The specified S3 object {url} does not exist"));
        let listed: serde_json::Value =
            serde_json::from_slice(&fetch(manifest)?).map_err(|e| format!("invalid manifest: {e}"))?;
        let mut batches = vec![];
        for entry in listed["entries"].as_array().ok_or("a manifest has entries")? {
            let url = entry["url"].as_str().ok_or("an entry has a url")?;
            let bytes = fetch(url)?;
            if entry["meta"]["content_length"].as_u64() != Some(bytes.len() as u64) {
                return Err(format!("the manifest has another content_length for {url}"));
            }
            let reader =
                ParquetRecordBatchReaderBuilder::try_new(bytes::Bytes::from(bytes)).map_err(|e| e.to_string())?;
            let schema = reader.schema().clone();
            if schema.fields().len() != columns.len() {
                return Err(format!(
                    "Unmatched number of columns between table and file: {} and {}",
                    columns.len(),
                    schema.fields().len()
                ));
            }
            for (field, column) in schema.fields().iter().zip(columns) {
                if !alike(field.data_type(), column) {
                    return Err(format!(
                        "incompatible Parquet schema for column '{}': {} into {column}",
                        field.name(),
                        field.data_type()
                    ));
                }
            }
            for batch in reader.build().map_err(|e| e.to_string())? {
                batches.push(batch.map_err(|e| e.to_string())?);
            }
        }
        Ok(batches)
    }
}

/// Whether Redshift takes this Parquet type for such a column: just that one.
fn alike(ty: &DataType, column: &str) -> bool {
    match ty {
        DataType::Boolean => column == "boolean",
        DataType::Int16 => column == "smallint",
        DataType::Int32 => column == "integer",
        DataType::Int64 => column == "bigint",
        DataType::Float32 => column == "real",
        DataType::Float64 => column == "double precision",
        DataType::Decimal128(p, s) => column == format!("numeric({p},{s})"),
        DataType::Utf8 => column.starts_with("character varying"),
        DataType::Binary => column == "bytea",
        DataType::Date32 => column == "date",
        DataType::Timestamp(TimeUnit::Microsecond, None) => column == "timestamp without time zone",
        _ => false,
    }
}

/// Rows in the text format of PostgreSQL's COPY.
fn text(batch: &RecordBatch) -> Vec<u8> {
    let options = FormatOptions::default();
    let columns: Vec<ArrayFormatter> = batch
        .columns()
        .iter()
        .map(|c| ArrayFormatter::try_new(c, &options).unwrap_or_else(|e| panic!("{e}")))
        .collect();
    let mut text = String::new();
    for row in 0..batch.num_rows() {
        for (at, column) in columns.iter().enumerate() {
            text += if at > 0 { "\t" } else { "" };
            match (batch.column(at).is_null(row), batch.column(at).data_type()) {
                (true, _) => text += "\\N",
                (_, DataType::Binary) => text += &format!("\\\\x{}", column.value(row)),
                _ => {
                    for c in column.value(row).to_string().chars() {
                        match c {
                            '\\' => text += "\\\\",
                            '\n' => text += "\\n",
                            '\r' => text += "\\r",
                            '\t' => text += "\\t",
                            c => text.push(c),
                        }
                    }
                }
            }
        }
        text.push('\n');
    }
    text.into_bytes()
}

/// Redshift's words in PostgreSQL's.
fn rewritten(sql: &str) -> String {
    static RULES: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
        let rules = [
            (r"(?i)\s+DISTSTYLE\s+\w+", ""),
            (r#"(?i)\s+DISTKEY\s*\([^)]*\)"#, ""),
            (r#"(?i)\s+(COMPOUND\s+|INTERLEAVED\s+)?SORTKEY\s*\([^)]*\)"#, ""),
            (r"(?i)\s+ENCODE\s+\w+", ""),
            (r#"(?i),\s*(PRIMARY KEY|UNIQUE)\s*\([^)]*\)"#, ""),
            (r"(?i)\bSUPER\b", "jsonb"),
            (r"(?i)\bVARBYTE\(\d+\)", "bytea"),
            (r"(?i)\bVARCHAR\(MAX\)", "VARCHAR(65535)"),
            // Redshift counts bytes.
            (r#"(?i)("(?:[^"]|"")*")\s+VARCHAR\((\d+)\)"#, "$1 VARCHAR($2) CHECK (octet_length($1) <= $2)"),
            (r"(?i)SET enable_case_sensitive_identifier = true", "SELECT 1"),
        ];
        rules.map(|(pattern, to)| (Regex::new(pattern).unwrap_or_else(|e| panic!("{e}")), to)).into()
    });
    let declares = sql.trim_start().to_uppercase();
    if !declares.starts_with("CREATE") && !declares.starts_with("ALTER") && !declares.starts_with("SET") {
        return sql.to_string();
    }
    RULES.iter().fold(sql.to_string(), |sql, (pattern, to)| pattern.replace_all(&sql, *to).into_owned())
}
