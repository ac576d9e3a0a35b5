//! Prepared statements that own their connection, and the only unsafe code of this crate.
//!
//! `rusqlite::Statement` borrows its connection, so a reader that lives for many batches could not hold both. It also copies
//! every text that is bound. Here cells are borrowed: from SQLite until the next step, and from Arrow during one insert.

use rusqlite::{Connection, ffi};
use std::ffi::{CStr, c_int, c_void};
use std::ptr::{NonNull, null_mut};

/// One value in SQLite's five storage classes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Cell<'a> {
    Null,
    Int(i64),
    Real(f64),
    /// Usually UTF-8, but SQLite does not check.
    Text(&'a [u8]),
    Blob(&'a [u8]),
}

/// A prepared statement and the connection that it belongs to. Field order matters nowhere: `drop` finalizes first.
pub struct Cursor {
    statement: NonNull<ffi::sqlite3_stmt>,
    connection: Connection,
    columns: usize,
    parameters: usize,
}

// SAFETY: the statement is reached through this value only, and so is its connection but for `&self.connection`, which is
// not `Sync`. SQLite is built thread-safe: a connection may move between threads when none uses it.
unsafe impl Send for Cursor {}

impl Drop for Cursor {
    fn drop(&mut self) {
        // SAFETY: made by sqlite3_prepare_v2, finalized once, before the connection closes.
        unsafe { ffi::sqlite3_finalize(self.statement.as_ptr()) };
    }
}

impl Cursor {
    /// Prepares one statement.
    pub fn new(connection: Connection, sql: &str) -> Result<Cursor, rusqlite::Error> {
        let length = c_int::try_from(sql.len()).map_err(|_| failure(ffi::SQLITE_TOOBIG, None))?;
        let mut statement = null_mut();
        // SAFETY: the connection is open; `sql` is valid for `length` bytes; the statement is checked for null below.
        let code = unsafe {
            ffi::sqlite3_prepare_v2(connection.handle(), sql.as_ptr().cast(), length, &mut statement, null_mut())
        };
        match NonNull::new(statement) {
            Some(statement) if code == ffi::SQLITE_OK => {
                // SAFETY: a valid statement.
                let (columns, parameters) = unsafe {
                    let statement = statement.as_ptr();
                    (
                        ffi::sqlite3_column_count(statement) as usize,
                        ffi::sqlite3_bind_parameter_count(statement) as usize,
                    )
                };
                Ok(Cursor { statement, connection, columns, parameters })
            }
            _ => Err(last_error(&connection, code)),
        }
    }

    /// Goes to the next row; `false` after the last.
    pub fn step(&mut self) -> Result<bool, rusqlite::Error> {
        // SAFETY: a valid statement; cells borrowed from the last row ended with the borrow of `self`.
        match unsafe { ffi::sqlite3_step(self.statement.as_ptr()) } {
            ffi::SQLITE_ROW => Ok(true),
            ffi::SQLITE_DONE => Ok(false),
            code => Err(last_error(&self.connection, code)),
        }
    }

    /// As [`step`](Cursor::step), but asks `stop` now and then, within a row too, and leaves with an interruption when it
    /// says so. The statement then starts anew.
    pub fn step_unless(&mut self, mut stop: &mut dyn FnMut() -> bool) -> Result<bool, rusqlite::Error> {
        let handle = |cursor: &Cursor| {
            // SAFETY: the connection is open as long as its cursor.
            unsafe { cursor.connection.handle() }
        };
        let context = (&raw mut stop).cast();
        // SAFETY: `stop` outlives the step, the only call that asks it, and is taken back right behind it.
        unsafe { ffi::sqlite3_progress_handler(handle(self), ASKED_EVERY, Some(ask), context) };
        let stepped = self.step();
        // SAFETY: as above.
        unsafe { ffi::sqlite3_progress_handler(handle(self), 0, None, null_mut()) };
        stepped
    }

    /// A cell of the current row; null beyond the last column.
    pub fn cell(&self, column: usize) -> Cell<'_> {
        if column >= self.columns {
            return Cell::Null;
        }
        let (statement, column) = (self.statement.as_ptr(), column as c_int);
        // SAFETY: a valid statement and column. The pointers live until the next step, which needs `&mut self`. The length
        // is asked for after the pointer, as SQLite demands; both are of the stored class, so nothing is converted.
        unsafe {
            match ffi::sqlite3_column_type(statement, column) {
                ffi::SQLITE_INTEGER => Cell::Int(ffi::sqlite3_column_int64(statement, column)),
                ffi::SQLITE_FLOAT => Cell::Real(ffi::sqlite3_column_double(statement, column)),
                ffi::SQLITE_TEXT => {
                    let start = ffi::sqlite3_column_text(statement, column);
                    Cell::Text(bytes(start, ffi::sqlite3_column_bytes(statement, column)))
                }
                ffi::SQLITE_BLOB => {
                    let start = ffi::sqlite3_column_blob(statement, column).cast();
                    Cell::Blob(bytes(start, ffi::sqlite3_column_bytes(statement, column)))
                }
                _ => Cell::Null,
            }
        }
    }

    /// Binds one value for good, before the first step. Text and blobs are copied. Parameters count from 1.
    pub fn bind(&mut self, parameter: usize, cell: Cell) -> Result<(), rusqlite::Error> {
        // SAFETY: SQLite copies what it is given.
        let code = unsafe { bind(self.statement, parameter, cell, ffi::SQLITE_TRANSIENT()) };
        if code == ffi::SQLITE_OK { Ok(()) } else { Err(last_error(&self.connection, code)) }
    }

    /// Runs the statement, which gives no rows, with these parameters. Nothing is copied.
    pub fn run<'a>(&mut self, cells: impl Iterator<Item = Cell<'a>>) -> Result<(), rusqlite::Error> {
        let statement = self.statement;
        let (mut code, mut bound) = (ffi::SQLITE_OK, 0);
        for (i, cell) in cells.enumerate() {
            // SAFETY: the bytes outlive `'a`, thus this call. No later step sees them: none is made before all parameters
            // are bound anew.
            code = unsafe { bind(statement, i + 1, cell, ffi::SQLITE_STATIC()) };
            if code != ffi::SQLITE_OK {
                break;
            }
            bound += 1;
        }
        if bound != self.parameters && code == ffi::SQLITE_OK {
            code = ffi::SQLITE_RANGE;
        }
        // SAFETY: a valid statement, bound above.
        unsafe {
            if code == ffi::SQLITE_OK {
                code = ffi::sqlite3_step(statement.as_ptr());
            }
            let error = (code != ffi::SQLITE_DONE).then(|| last_error(&self.connection, code));
            ffi::sqlite3_reset(statement.as_ptr());
            match error {
                None => Ok(()),
                Some(error) => Err(error),
            }
        }
    }

    /// Closes the statement and hands the connection back.
    pub fn into_connection(self) -> Connection {
        let this = std::mem::ManuallyDrop::new(self);
        // SAFETY: finalized once, as `drop` will not run; the connection is moved out once.
        unsafe {
            ffi::sqlite3_finalize(this.statement.as_ptr());
            std::ptr::read(&this.connection)
        }
    }
}

/// Instructions of SQLite's machine between two questions: well under a millisecond.
pub const ASKED_EVERY: c_int = 4096;

/// SAFETY: `stop` points to the closure of a `step_unless` at work.
unsafe extern "C" fn ask(stop: *mut c_void) -> c_int {
    // SAFETY: by the caller's promise.
    let stop = unsafe { &mut *stop.cast::<&mut dyn FnMut() -> bool>() };
    stop().into()
}

/// SAFETY: `start` is null or valid for `length` bytes during `'a`.
unsafe fn bytes<'a>(start: *const u8, length: c_int) -> &'a [u8] {
    match usize::try_from(length) {
        // SAFETY: by the caller's promise.
        Ok(length) if !start.is_null() && length > 0 => unsafe { std::slice::from_raw_parts(start, length) },
        _ => &[],
    }
}

/// SAFETY: the bytes must live as `keep` promises to SQLite.
unsafe fn bind(
    statement: NonNull<ffi::sqlite3_stmt>,
    parameter: usize,
    cell: Cell,
    keep: ffi::sqlite3_destructor_type,
) -> c_int {
    let (statement, at) = (statement.as_ptr(), parameter as c_int);
    // A null pointer would bind null, not an empty value.
    let start = |bytes: &[u8]| if bytes.is_empty() { c"".as_ptr() } else { bytes.as_ptr().cast() };
    // SAFETY: a valid statement; SQLite checks `at`; the bytes are the caller's promise.
    unsafe {
        match cell {
            Cell::Null => ffi::sqlite3_bind_null(statement, at),
            Cell::Int(i) => ffi::sqlite3_bind_int64(statement, at, i),
            Cell::Real(x) => ffi::sqlite3_bind_double(statement, at, x),
            Cell::Text(t) => match c_int::try_from(t.len()) {
                Ok(length) => ffi::sqlite3_bind_text(statement, at, start(t), length, keep),
                Err(_) => ffi::SQLITE_TOOBIG,
            },
            Cell::Blob(b) => match c_int::try_from(b.len()) {
                Ok(length) => ffi::sqlite3_bind_blob(statement, at, start(b).cast(), length, keep),
                Err(_) => ffi::SQLITE_TOOBIG,
            },
        }
    }
}

/// How many columns a table or a statement can have.
pub fn most_columns() -> Result<usize, rusqlite::Error> {
    let connection = Connection::open_in_memory()?;
    // SAFETY: the connection is open; a negative value only asks.
    let most = unsafe { ffi::sqlite3_limit(connection.handle(), ffi::SQLITE_LIMIT_COLUMN, -1) };
    Ok(usize::try_from(most).unwrap_or(0))
}

fn failure(code: c_int, message: Option<String>) -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(ffi::Error::new(code), message)
}

fn last_error(connection: &Connection, code: c_int) -> rusqlite::Error {
    // SAFETY: the connection is open; the message is a valid C string until the next call, and copied at once.
    let message = unsafe {
        let handle = connection.handle();
        CStr::from_ptr(ffi::sqlite3_errmsg(handle)).to_string_lossy().into_owned()
    };
    failure(code, Some(message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_of_every_class_come_back() {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch("create table t (a, b, c, d, e)").unwrap();
        let mut insert = Cursor::new(connection, "insert into t values (?, ?, ?, ?, ?)").unwrap();
        let rows = [
            [Cell::Null, Cell::Int(i64::MIN), Cell::Real(-0.5), Cell::Text("ü\0x".as_bytes()), Cell::Blob(&[0, 255])],
            [Cell::Text(b""), Cell::Blob(b""), Cell::Int(1), Cell::Null, Cell::Null],
        ];
        for row in rows {
            insert.run(row.into_iter()).unwrap();
        }
        let mut select = Cursor::new(insert.into_connection(), "select * from t where a is null or a = ?").unwrap();
        select.bind(1, Cell::Text(b"")).unwrap();
        for row in rows {
            assert!(select.step().unwrap());
            for (i, cell) in row.into_iter().enumerate() {
                assert_eq!(select.cell(i), cell);
            }
            assert_eq!(select.cell(5), Cell::Null);
        }
        assert!(!select.step().unwrap());
    }

    #[test]
    fn errors_have_sqlites_words_and_the_statement_goes_on() {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch("create table t (a integer not null)").unwrap();
        assert!(Cursor::new(Connection::open_in_memory().unwrap(), "selec 1").is_err());
        assert!(Cursor::new(Connection::open_in_memory().unwrap(), "").is_err());
        let mut insert = Cursor::new(connection, "insert into t values (?)").unwrap();
        let error = insert.run([Cell::Null].into_iter()).unwrap_err().to_string();
        assert!(error.contains("NOT NULL constraint failed: t.a"), "{error}");
        insert.run([Cell::Int(1)].into_iter()).unwrap();
        assert!(insert.run([Cell::Int(1), Cell::Int(2)].into_iter()).is_err());
        assert_eq!(insert.into_connection().changes(), 1);
    }

    #[test]
    fn a_step_that_never_ends_is_interrupted() {
        let connection = Connection::open_in_memory().unwrap();
        let endless = "WITH RECURSIVE t AS (SELECT 1 AS x UNION ALL SELECT x + 1 FROM t WHERE x > 0) SELECT x FROM t";
        let mut cursor = Cursor::new(connection, &format!("{endless} WHERE x < 0")).unwrap();
        let mut asked = 0;
        let stopped = cursor.step_unless(&mut || {
            asked += 1;
            asked == 3
        });
        assert_eq!(stopped.unwrap_err().sqlite_error_code(), Some(rusqlite::ErrorCode::OperationInterrupted));
        let mut cursor = Cursor::new(cursor.into_connection(), endless).unwrap();
        assert!(cursor.step_unless(&mut || false).unwrap() && cursor.step().unwrap());
        assert_eq!(cursor.cell(0), Cell::Int(2));
    }
}
