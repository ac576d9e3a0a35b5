//! Real servers for tests, on free loopback ports, in temporary folders; installed where they are missing.
//!
//! Each is started once for a test program, at the first call, and dies with it whatever happens. A server is ready when it has
//! answered a real request, and it is checked that it listens on loopback only. Nothing is stopped by its name.

mod install;
mod mariadb;
mod moto;
mod mysql;
mod objects;
mod postgres;
mod process;
mod proxy;
mod redshift;
mod search;
mod stack;

pub use install::{debian, python};
pub use mariadb::{MariaDb, PASSWORD as MARIADB_PASSWORD, mariadb};
pub use moto::{Moto, moto};
pub use mysql::{MySql, mysql};
pub use objects::{KEY as OBJECTS_KEY, Objects, SECRET as OBJECTS_SECRET, objects};
pub use postgres::{PASSWORD as POSTGRES_PASSWORD, Postgres, postgres};
pub use process::{NOBODY, Process, folder, free_port, leave, until};
pub use proxy::{Act, Proxy};
pub use redshift::RedshiftStandIn;
pub use search::{Bulk, FakeSearch, Noida, noida};
pub use stack::Stack;

#[cfg(test)]
mod tests {
    #[test]
    fn servers_answer() {
        assert_eq!(crate::mariadb().sql("select 6 * 7"), "42\n");
        assert_eq!(crate::postgres().sql("select 6 * 7"), "42\n");
        assert_ne!(crate::objects().url(), crate::objects().url());
    }

    #[test]
    fn a_database_survives_its_crash() {
        let mut server = crate::MariaDb::start();
        server.sql("create table t (a int); insert into t values (7)");
        server.crash_and_restart();
        assert_eq!(server.sql("select a from t"), "7\n");
        let mut server = crate::Postgres::start();
        server.sql("create table t (a int); insert into t values (7)");
        server.crash_and_restart();
        assert_eq!(server.sql("select a from t"), "7\n");
    }
}
