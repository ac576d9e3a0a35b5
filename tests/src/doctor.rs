//! `selvedge doctor`: who answers, who lets us write, and what to do about those who do not.

use crate::harness::Place;
use selvedge_servers::{NOBODY, OBJECTS_KEY, OBJECTS_SECRET, objects};

const GRAPH: &str = r#"Graph(name: "copy", nodes: {
    "raw": Files(connection: "landing", path: "*.csv", format: Csv(), schema: "raw.ron"),
    "out": Files(input: "raw", connection: "lake", path: "clean"),
    "stock": Table(connection: "db", table: "stock"),
    "again": Files(input: "stock", connection: "lake", path: "stock"),
})"#;

fn place(url: &str, port: u16, secret: &str) -> Place {
    let place = Place::with(GRAPH);
    place.write("raw.ron", r#"Schema(from: "landing", object: Files(connection: "landing", path: "*.csv", format: Csv()), columns: {"id": Column(type: Int64)})"#);
    place.write("landing/a.csv", "id\n1\n");
    let connections = format!(
        r#"Connections(profiles: {{"local": {{
            "landing": Folder(path: "landing"),
            "db": Sqlite(path: "shop.db"),
            "lake": ObjectStore(url: "{url}", endpoint: "http://127.0.0.1:{port}", region: "us-east-1", access_key: "{OBJECTS_KEY}", secret_key: "{secret}", retries: 1),
        }}}})"#
    );
    place.write("connections.ron", connections);
    rusqlite::Connection::open(place.path("shop.db")).unwrap().execute("create table stock (id integer)", []).unwrap();
    place
}

#[test]
fn what_is_well_is_said_and_left_as_it_was() {
    let place = place(&objects().url(), objects().port, OBJECTS_SECRET);
    let ran = place.selvedge(&["doctor", "graph.ron"]).code(0);
    let ran = ran.prints("ok      lake: ObjectStore, objects were written, read and removed at s3://tests/");
    let ran = ran.prints("ok      landing: Folder, folder ").prints("ok      db: Sqlite, 1 tables in ");
    ran.prints("ok      every schema of `copy` fits");
    let names = |folder: &str| place.files(folder).len();
    assert_eq!((names("landing"), names("clean")), (1, 0));
}

#[test]
fn each_failure_says_what_to_do() {
    let failed = |place: &Place| place.selvedge(&["doctor", "graph.ron"]).code(2);
    let wrong = failed(&place(&objects().url(), objects().port, "another-s3cr3t"));
    let wrong = wrong.prints("FAILED  lake: ObjectStore, ").prints("check access_key and secret_key");
    assert!(!wrong.to_string().contains("s3cr3t"), "{wrong}");
    let nobody = failed(&place("s3://tests", NOBODY, OBJECTS_SECRET));
    nobody.prints("FAILED  lake: ObjectStore, ").prints("check the endpoint and the network");
    let bucket = failed(&place("s3://there-is-none", objects().port, OBJECTS_SECRET));
    bucket.prints("FAILED  lake: ObjectStore, ").prints("check the bucket");
    let here = place("s3://tests", objects().port, OBJECTS_SECRET);
    std::fs::remove_dir_all(here.path("landing")).unwrap();
    std::fs::remove_file(here.path("shop.db")).unwrap();
    let ran = failed(&here).prints("FAILED  landing: Folder, there is no folder ");
    ran.prints("FAILED  db: Sqlite, there is no database at ");
}
