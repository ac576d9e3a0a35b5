//! What a server says, and the way out.

use selvedge_node::Error;
use std::error::Error as _;
use tokio_postgres::error::SqlState;

/// An error of a server or on the way to it. The codes are those of *PostgreSQL Error Codes* (Appendix A).
pub fn error(doing: &str, place: &str, e: &tokio_postgres::Error) -> Error {
    let Some(db) = e.as_db_error() else {
        // The library says what it was doing, and its source what went wrong.
        let why = e.source().map_or_else(|| e.to_string(), |inner| inner.to_string());
        let told = Error::world(format!("{doing} {place}: {why}"));
        return match e.is_closed() || why.contains("TLS") {
            true if why.contains("TLS") => told.help("tls: Prefer or Disable, or have the server encrypt"),
            _ => told.help("check host and port, and that the server runs").retryable(),
        };
    };
    let detail = db.detail().map(|d| format!(" ({d})")).unwrap_or_default();
    let told = Error::world(format!("{doing} {place}: {}{detail}", db.message()));
    match db.code() {
        c if [SqlState::INVALID_PASSWORD, SqlState::INVALID_AUTHORIZATION_SPECIFICATION].contains(c) => {
            told.help("check user and password, and pg_hba.conf of the server")
        }
        c if *c == SqlState::INVALID_CATALOG_NAME => told.help("check `database`"),
        c if *c == SqlState::INSUFFICIENT_PRIVILEGE => {
            told.help("grant the user what it needs on the schema and its tables")
        }
        c if [SqlState::UNDEFINED_TABLE, SqlState::UNDEFINED_COLUMN].contains(c) => {
            told.help("has the table been changed since the graph was planned?")
        }
        c if *c == SqlState::DISK_FULL => told.help("free some disk space on the server"),
        c if c.code().starts_with("23") => told.help(
            "the table's own rules refuse a row, and nothing was loaded: put the rows right before, or drop the rule",
        ),
        c if ["40", "53", "57"].iter().any(|class| c.code().starts_with(class)) => {
            told.help("the server was busy or restarted; run again").retryable()
        }
        _ => told,
    }
}
