//! What went wrong while rows move: whose fault it is and whether trying again can help.

use std::fmt;

pub type Result<T> = std::result::Result<T, Error>;

/// Whose fault an error is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The graph asks for something that cannot be done.
    Graph,
    /// A row or a file is not what the graph says it is.
    Data,
    /// Disk, network, another system.
    World,
    /// Selvedge or a plugin is wrong.
    Bug,
    /// Nobody's: the run is stopping, and the node was told so.
    Stopped,
}

/// An error of a node. It never names the node itself: the layer above knows who and where.
#[derive(Debug, Clone)]
pub struct Error {
    pub fault: Fault,
    /// Whether the same call may succeed later.
    pub retry: bool,
    /// Lower case, no full stop: what was expected and what was found.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

impl Error {
    fn new(fault: Fault, message: impl Into<String>) -> Error {
        Error { fault, retry: false, message: message.into(), help: None }
    }
    pub fn graph(message: impl Into<String>) -> Error {
        Error::new(Fault::Graph, message)
    }
    pub fn data(message: impl Into<String>) -> Error {
        Error::new(Fault::Data, message)
    }
    pub fn world(message: impl Into<String>) -> Error {
        Error::new(Fault::World, message)
    }
    pub fn bug(message: impl Into<String>) -> Error {
        Error::new(Fault::Bug, message)
    }
    /// What `Out::send` answers when the run is stopping; a node passes it on with `?`.
    pub fn stopped() -> Error {
        Error::new(Fault::Stopped, "the run is stopping")
    }
    /// An I/O error and what was being done: `reading`, `/data/a.csv`.
    pub fn io(doing: &str, what: impl fmt::Display, error: &std::io::Error) -> Error {
        use std::io::ErrorKind::*;
        let e = Error::world(format!("{doing} {what}: {error}"));
        match error.kind() {
            StorageFull => e.help("free some disk space, or point the output, --state or --scratch at another disk"),
            PermissionDenied => e.help("check who may read or write it"),
            NotFound => e.help("check the path and the connection"),
            _ => e,
        }
    }
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Error {
        self.help = Some(help.into());
        self
    }
    /// Marks the error as one that a later try may not meet.
    #[must_use]
    pub fn retryable(mut self) -> Error {
        self.retry = true;
        self
    }
    /// Puts words before the message: `context: message`.
    #[must_use]
    pub fn context(mut self, context: impl fmt::Display) -> Error {
        self.message = format!("{context}: {}", self.message);
        self
    }
    pub fn is_stopped(&self) -> bool {
        self.fault == Fault::Stopped
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        if let Some(help) = &self.help {
            write!(f, " ({help})")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

/// Arrow kernels fail where a node hands them arrays that do not fit: that is the node's mistake unless it says otherwise.
impl From<arrow::error::ArrowError> for Error {
    fn from(e: arrow::error::ArrowError) -> Error {
        match e {
            arrow::error::ArrowError::IoError(message, io) => Error::io("reading or writing", message, &io),
            arrow::error::ArrowError::CsvError(m)
            | arrow::error::ArrowError::JsonError(m)
            | arrow::error::ArrowError::ParseError(m)
            | arrow::error::ArrowError::CastError(m) => Error::data(m),
            other => Error::bug(other.to_string()),
        }
    }
}
