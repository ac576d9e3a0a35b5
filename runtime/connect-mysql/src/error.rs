//! What a server says, and the way out.

use mysql_async::{DriverError, Error as Told};
use selvedge_node::Error;

/// An error of a server or on the way to it. The codes are those of the *MySQL Server Error Reference*.
pub fn error(doing: &str, place: &str, e: &Told) -> Error {
    match e {
        Told::Server(e) => {
            let told = Error::world(format!("{doing} {place}: {} (error {})", e.message, e.code));
            match e.code {
                1045 | 1698 | 1130 | 1044 => {
                    told.help("check user and password, and from which hosts that user may come")
                }
                1049 => told.help("check `database`, or what the user may see"),
                1142 | 1143 | 1227 => told.help("grant the user SELECT on the tables that are read"),
                1146 | 1054 => told.help("has the table been changed since the graph was planned?"),
                1040 | 1203 | 1205 | 1213 | 1226 => told.help("the server is busy").retryable(),
                1317 | 1053 | 3169 | 1927 => {
                    told.help("somebody has ended the connection on the server; run again").retryable()
                }
                3024 => told.help("the server limits how long a query may take (max_execution_time)"),
                _ => told,
            }
        }
        Told::Driver(DriverError::NoClientSslFlagFromServer) => {
            Error::world(format!("{doing} {place}: the server does not encrypt"))
                .help("tls: Prefer or Disable, or have the server encrypt")
        }
        Told::Io(mysql_async::IoError::Tls(e)) => Error::world(format!("{doing} {place}: {e}"))
            .help("check the certificate of the server: tls: VerifyFull(ca: \"ca.pem\") names its authority"),
        Told::Io(mysql_async::IoError::Io(e)) => Error::world(format!("{doing} {place}: {e}"))
            .help("check host and port, and that the server runs")
            .retryable(),
        Told::Driver(DriverError::ConnectionClosed) => Error::world(format!("{doing} {place}: the connection broke"))
            .help("does the server still run? Run again: what is saved is gone on from")
            .retryable(),
        Told::Url(e) => Error::graph(format!("{doing} {place}: {e}")),
        other => Error::world(format!("{doing} {place}: {other}")),
    }
}
