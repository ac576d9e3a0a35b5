//! Schema files: written by `selvedge crawl`, compared with the data, used by sources, and taken apart by `ResolveChoice`.

use crate::harness::{Place, Ran, json};

const CONNECTIONS: &str = r#"Connections(profiles: {"local": {
    "lake": Folder(path: "lake"), "db": Sqlite(path: "shop.db"), "out": Folder(path: "out"),
}})"#;

/// A lake of NDJSON and CSV, and a database, whose types are not all clear.
fn place() -> Place {
    let place = Place::new();
    place.write("connections.ron", CONNECTIONS);
    place.write(
        "lake/orders/a.ndjson",
        r#"{"id":1,"price":12,"items":[{"sku":"a","n":1}]}
{"id":2,"price":"1.5","items":[{"sku":7,"n":2}]}
"#,
    );
    place.write("lake/orders/b.ndjson", "{\"id\":3,\"price\":\"N/A\",\"items\":[]}\n");
    place.write("lake/shops.csv", "shop;opened;staff\nnorth;2024-03-01;7\nsouth;2024-04-01;\n");
    let db = rusqlite::Connection::open(place.path("shop.db")).unwrap();
    db.execute_batch(
        "CREATE TABLE stock (sku TEXT NOT NULL, qty INTEGER, seen DATE, note);
         INSERT INTO stock VALUES ('a', 5, '2024-03-01', 'x'), ('b', 'many', '2024-03-02', 1.5), ('c', null, null, null);",
    )
    .unwrap();
    place
}

fn read(place: &Place, name: &str) -> String {
    std::fs::read_to_string(place.path(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

#[track_caller]
fn prints(ran: Ran, lines: &[&str]) {
    let found: Vec<&str> = ran.stdout.lines().collect();
    assert_eq!(found, lines, "{ran}");
}

#[test]
fn a_folder_and_a_database_become_schema_files() {
    let place = place();
    let ran = place.selvedge(&["crawl", "lake"]).code(0);
    prints(ran, &["schemas/lake/orders.ron: new, 3 columns", "schemas/lake/shops.ron: new, 3 columns"]);
    assert_eq!(
        read(&place, "schemas/lake/orders.ron"),
        r#"// Written by `selvedge crawl`, which keeps it up to date but for columns with `pinned: true`.
Schema(
    from: "lake",
    object: Files(connection: "lake", path: "orders/*.ndjson", format: Ndjson()),
    crawled: Sample(1000),
    columns: {
        "id": Column(type: Int64),
        "price": Column(type: Choice([Int64, Utf8])),
        "items": Column(type: List(Struct({"sku": Choice([Int64, Utf8]), "n": Int64}))),
    },
)
"#
    );
    let shops = read(&place, "schemas/lake/shops.ron");
    for line in [
        r#"object: Files(connection: "lake", path: "shops.csv", format: Csv(delimiter: ';')),"#,
        r#""opened": Column(type: Date),"#,
        r#""staff": Column(type: Int64),"#,
    ] {
        assert!(shops.contains(line), "{shops}");
    }
    place.selvedge(&["crawl", "db"]).code(0);
    let stock = read(&place, "schemas/db/stock.ron");
    for line in [
        r#"object: Table(connection: "db", table: "stock"),"#,
        r#""sku": Column(type: Utf8, nullable: false),"#,
        r#""qty": Column(type: Choice([Int64, Utf8])),"#,
        r#""seen": Column(type: Date),"#,
        r#""note": Column(type: Choice([Float64, Utf8])),"#,
    ] {
        assert!(stock.contains(line), "{stock}");
    }
}

#[test]
fn a_second_crawl_changes_no_byte() {
    let place = place();
    for connection in ["lake", "db"] {
        place.selvedge(&["crawl", connection]).code(0);
    }
    let before: Vec<_> = place.files("schemas").iter().map(|f| std::fs::read(f).unwrap()).collect();
    // Nor do comments and the hand of an author, as long as nothing is contradicted.
    let mine = read(&place, "schemas/lake/shops.ron").replace("Schema(", "/* ours */ Schema(");
    place.write("schemas/lake/shops.ron", &mine);
    for connection in ["lake", "db"] {
        let ran = place.selvedge(&["crawl", connection]).code(0);
        assert!(ran.stdout.lines().all(|l| l.contains(": unchanged, ")), "{ran}");
        place.selvedge(&["crawl", connection, "--check"]).code(0);
    }
    assert_eq!(read(&place, "schemas/lake/shops.ron"), mine);
    std::fs::remove_file(place.path("schemas/lake/shops.ron")).unwrap();
    let missing = place.selvedge(&["crawl", "lake", "--check"]).code(1);
    assert!(missing.stdout.contains("shops.ron: is missing, 3 columns"), "{missing}");
    assert!(!place.path("schemas/lake/shops.ron").exists());
    place.selvedge(&["crawl", "lake"]).code(0);
    let after: Vec<_> = place.files("schemas").iter().map(|f| std::fs::read(f).unwrap()).collect();
    assert_eq!(after, before);
}

#[test]
fn drift_is_told_in_each_direction_and_met_as_the_policy_says() {
    let place = place();
    place.selvedge(&["crawl", "lake"]).code(0);
    let old = read(&place, "schemas/lake/shops.ron");
    place.write("lake/shops.csv", "shop;staff;city\nnorth;few;Kiel\n");
    let drift = ["  - opened: Date", "  ~ staff: Int64 → Utf8", "  + city: Utf8"];
    let differs = "schemas/lake/shops.ron: differs from the data, 3 columns";
    let unchanged = "schemas/lake/orders.ron: unchanged, 3 columns";
    let told = [unchanged, differs, drift[0], drift[1], drift[2]];
    prints(place.selvedge(&["crawl", "lake", "--check"]).code(1), &told);
    prints(place.selvedge(&["crawl", "lake", "--update", "log"]).code(0), &told);
    assert_eq!(read(&place, "schemas/lake/shops.ron"), old);

    place.selvedge(&["crawl", "lake", "--update", "add-columns"]).code(0);
    let added = old.replace(
        "staff\": Column(type: Int64),\n",
        "staff\": Column(type: Int64),\n        \"city\": Column(type: Utf8),\n",
    );
    assert_eq!(read(&place, "schemas/lake/shops.ron"), added);

    let ran = place.selvedge(&["crawl", "lake"]).code(0);
    assert!(ran.stdout.contains("shops.ron: updated, 3 columns\n  - opened: Date\n  ~ staff: Int64 → Utf8\n"), "{ran}");
    let now = read(&place, "schemas/lake/shops.ron");
    assert!(now.contains("\"staff\": Column(type: Utf8)") && !now.contains("opened"), "{now}");
    place.selvedge(&["crawl", "lake", "--check"]).code(0);
}

#[test]
fn what_is_gone_is_deprecated_deleted_or_left() {
    let place = place();
    place.selvedge(&["crawl", "lake"]).code(0);
    let shops = read(&place, "lake/shops.csv");
    let schema = read(&place, "schemas/lake/shops.ron");
    std::fs::remove_file(place.path("lake/shops.csv")).unwrap();
    let ran = place.selvedge(&["crawl", "lake", "--check"]).code(1);
    assert!(ran.stdout.contains("schemas/lake/shops.ron: its object is gone"), "{ran}");
    place.selvedge(&["crawl", "lake", "--check", "--deleted", "ignore"]).code(0);
    place.selvedge(&["crawl", "lake", "--deleted", "ignore"]).code(0);
    assert_eq!(read(&place, "schemas/lake/shops.ron"), schema);

    place.selvedge(&["crawl", "lake"]).code(0);
    assert!(read(&place, "schemas/lake/shops.ron").contains("    deprecated: true,\n"));
    place.selvedge(&["crawl", "lake", "--check"]).code(0);
    let graph = r#"Graph(nodes: {
        "shops": Files(connection: "lake", path: "shops.csv", format: Csv(delimiter: ';'), schema: "schemas/lake/shops.ron"),
        "none": Null(input: "shops"),
    })"#;
    place.write("graph.ron", graph);
    place.selvedge(&["check", "graph.ron"]).code(0).says("schemas/lake/shops.ron is deprecated");

    place.write("lake/shops.csv", &shops);
    let back = place.selvedge(&["crawl", "lake"]).code(0);
    assert!(back.stdout.contains("no longer deprecated"), "{back}");
    assert_eq!(read(&place, "schemas/lake/shops.ron"), schema);

    std::fs::remove_file(place.path("lake/shops.csv")).unwrap();
    place.selvedge(&["crawl", "lake", "--deleted", "delete"]).code(0);
    assert!(!place.path("schemas/lake/shops.ron").exists());
    // A disk that is not there is no lake that was emptied.
    std::fs::rename(place.path("lake"), place.path("away")).unwrap();
    place.selvedge(&["crawl", "lake", "--deleted", "delete"]).code(2).says("there is no folder");
    assert!(place.path("schemas/lake/orders.ron").exists());
}

const GRAPH: &str = r#"Graph(name: "shop", nodes: {
    "orders": Files(connection: "lake", path: "orders/*.ndjson", format: Ndjson(), schema: "schemas/orders.ron"),
    "stock": Table(connection: "db", table: "stock", schema: "schemas/stock.ron"),
    "made": Generate(shape: Counter, rows: 3),
    "priced": SchemaEdit(input: "orders", edits: [
        ResolveChoice("price", Cast(Float64), on_error: Reject), ResolveChoice("items[].sku", Project(Utf8)),
    ]),
    "counted": SchemaEdit(input: "stock", edits: [ResolveChoice("qty", MakeCols), ResolveChoice("note", MakeStruct)]),
    "a": Files(input: "priced", connection: "out", path: "orders", format: Ndjson()),
    "b": Files(input: "counted", connection: "out", path: "stock", format: Ndjson()),
    "bad": Files(input: ["orders.errors", "priced.errors", "stock.errors"], connection: "out", path: "bad", format: Ndjson()),
    "c": Null(input: "made"),
})"#;

#[test]
fn the_sources_of_a_graph_are_crawled_and_it_is_then_checked_without_its_data() {
    let place = place();
    place.write("graph.ron", GRAPH);
    place.selvedge(&["check", "graph.ron"]).code(2).says("cannot read the schema file schemas/orders.ron");
    let ran = place.selvedge(&["crawl", "graph.ron"]).code(0);
    prints(
        ran,
        &[
            "`made` is passed over: Generate reads no table and no files",
            "schemas/orders.ron: new, 3 columns",
            "schemas/stock.ron: new, 4 columns",
        ],
    );
    place.selvedge(&["run", "graph.ron", "--quiet"]).code(0);
    assert_eq!(
        place.published("out/orders"),
        [r#"{"id":1,"price":12.0,"items":[{"sku":"a","n":1}]}"#, r#"{"id":2,"price":1.5,"items":[{"sku":"7","n":2}]}"#]
    );
    assert_eq!(
        place.published("out/stock"),
        [
            r#"{"sku":"a","qty_int64":5,"seen":"2024-03-01","note":{"utf8":"x"}}"#,
            r#"{"sku":"b","qty_utf8":"many","seen":"2024-03-02","note":{"float64":1.5}}"#,
            r#"{"sku":"c"}"#
        ]
    );
    let bad = place.published("out/bad");
    assert!(bad.len() == 1 && bad[0].contains("cannot read `N/A` in column `price` as Float64"), "{bad:?}");

    std::fs::rename(place.path("lake"), place.path("lake-away")).unwrap();
    std::fs::rename(place.path("shop.db"), place.path("shop-away.db")).unwrap();
    place.selvedge(&["check", "graph.ron"]).code(0);
    let plan = place.selvedge(&["plan", "graph.ron"]).code(0);
    assert!(plan.stdout.contains("the columns are those of the schema file"), "{plan}");
    place.write(
        "wrong.ron",
        GRAPH
            .replace("\"priced\",", "\"sharp\",")
            .replace("\"made\": ", "\"sharp\": Filter(input: \"priced\", where: \"prize > 1\"),\n    \"made\": "),
    );
    place.selvedge(&["check", "wrong.ron"]).code(2).says("prize");
    let ran = place.selvedge(&["run", "graph.ron", "--report", "r.json"]).code(1).says("orders/*.ndjson");
    assert_eq!(json(&place.path("r.json"))["error"]["fault"], "world", "{ran}");
}

#[test]
fn data_that_contradicts_its_schema_file_stops_the_check_or_goes_to_errors() {
    let place = place();
    place.write("graph.ron", GRAPH);
    place.selvedge(&["crawl", "graph.ron", "--full"]).code(0);
    assert!(read(&place, "schemas/orders.ron").contains("\"id\": Column(type: Int64, nullable: false)"));
    place.write(
        "lake/orders/c.ndjson",
        "{\"id\":4,\"price\":true,\"items\":[]}\n{\"id\":5.5,\"price\":1,\"items\":[]}\n{\"price\":2,\"items\":[]}\n{\"id\":7,\"price\":2,\"items\":[{\"sku\":[]}]}\n",
    );
    let db = rusqlite::Connection::open(place.path("shop.db")).unwrap();
    db.execute_batch("INSERT INTO stock VALUES ('d', x'00', null, null)").unwrap();
    place.selvedge(&["run", "graph.ron", "--quiet"]).code(0);
    let bad = place.published("out/bad").join("\n");
    for told in [
        "c.ndjson:1: field `price`: true is none of Int64, Utf8",
        "c.ndjson:2: cannot read `5.5` in column `id` as Int64",
        "null in column `id`, which schemas/orders.ron says is never null",
        "c.ndjson:4: field `items.sku`: [] is none of Int64, Utf8",
        "but holds a blob of 1 bytes",
    ] {
        assert!(bad.contains(told), "{told}: {bad}");
    }
    db.execute_batch("ALTER TABLE stock DROP COLUMN seen").unwrap();
    place.selvedge(&["check", "graph.ron"]).code(2).says("no column named `seen` in the table stock of");
}

#[test]
fn a_broken_schema_file_is_told_with_its_line() {
    let place = place();
    place.write("graph.ron", GRAPH);
    place.selvedge(&["crawl", "graph.ron"]).code(0);
    let orders = read(&place, "schemas/orders.ron")
        .replace("Choice([Int64, Utf8])),\n        \"items\"", "Choice([Int46, Utf8])),\n        \"items\"");
    place.write("schemas/orders.ron", orders);
    for words in [&["check", "graph.ron"][..], &["crawl", "graph.ron"], &["crawl", "graph.ron", "--check"]] {
        let ran = place.selvedge(words).code(2).says("schemas/orders.ron:8:");
        assert!(ran.stderr.contains("`Int64`"), "{ran}");
    }
}

#[test]
fn a_crawl_looks_as_far_as_it_is_told_and_remembers_it() {
    let place = place();
    let mut rows: String = (0..2000).map(|n| format!("{{\"n\":{n}}}\n")).collect();
    rows.push_str("{\"n\":\"last\"}\n");
    place.write("lake/long/a.ndjson", rows);
    let ty = |words: &[&str]| {
        place.selvedge(&[&["crawl", "lake"], words].concat()).code(0);
        let file = read(&place, "schemas/lake/long.ron");
        let line = |start: &str| file.lines().map(str::trim).find(|l| l.starts_with(start)).unwrap().to_string();
        (line("crawled"), line("\"n\""))
    };
    let sampled = ("crawled: Sample(1000),".to_string(), "\"n\": Column(type: Int64),".to_string());
    let full =
        ("crawled: Full,".to_string(), "\"n\": Column(type: Choice([Int64, Utf8]), nullable: false),".to_string());
    assert_eq!(ty(&[]), sampled);
    assert_eq!(ty(&["--full"]), full);
    assert_eq!(ty(&[]), full);
    place.selvedge(&["crawl", "lake", "--check"]).code(0);
    assert_eq!(ty(&["--sample", "2001"]).0, "crawled: Sample(2001),");
    place.selvedge(&["crawl", "lake", "--sample", "0"]).code(2);
    place.selvedge(&["crawl", "lake", "--sample", "5", "--full"]).code(2);
}

#[test]
fn what_cannot_be_crawled() {
    let place = place();
    place.selvedge(&["crawl", "lak"]).code(2).says("did you mean `lake`?");
    place.selvedge(&["crawl", "lake", "--profile", "moon"]).code(2).says("moon");
    place.selvedge(&["crawl", "lake", "--out", "s"]).code(0);
    place.write("lake/stock.csv", "a\n1\n");
    place.selvedge(&["crawl", "db", "--out", "s"]).code(0);
    place.selvedge(&["crawl", "lake", "--out", "s"]).code(2).says("stock.ron is of `db`");
    // One damaged file does not hide the others.
    place.write("lake/broken.parquet", "no parquet");
    let ran = place.selvedge(&["crawl", "lake"]).code(1).says("broken.parquet is no whole Parquet file");
    assert!(ran.stdout.contains("schemas/lake/orders.ron: new"), "{ran}");
    assert!(!place.path("schemas/lake/broken.ron").exists());
    let bare = Place::new();
    bare.selvedge(&["crawl", "lake"]).code(2).says("connections.ron");
}

#[test]
fn files_of_one_column_and_two_types_are_read_as_a_choice() {
    let place = place();
    place.write(
        "write.ron",
        r#"Graph(nodes: {
            "rows": Generate(shape: Counter, rows: 3),
            "text": SchemaEdit(input: "rows", edits: [Cast("n", Utf8)]),
            "a": Files(input: "rows", path: "lake/mixed/a", format: Parquet()),
            "b": Files(input: "text", path: "lake/mixed/b", format: Parquet()),
        })"#,
    );
    let ran = place.selvedge(&["run", "write.ron"]);
    let ran = ran.code(0);
    place.write(
        "graph.ron",
        r#"Graph(nodes: {
            "rows": Files(connection: "lake", path: "mixed", format: Parquet, schema: "schemas/rows.ron"),
            "one": SchemaEdit(input: "rows", edits: [ResolveChoices(Cast(Int64))]),
            "out": Files(input: "one", path: "out/n", format: Csv(header: false)),
        })"#,
    );
    place.selvedge(&["crawl", "graph.ron"]).code(0);
    let schema = read(&place, "schemas/rows.ron");
    assert!(schema.contains("Choice([Int64, Utf8])"), "{schema}\n{ran}");
    place.selvedge(&["run", "graph.ron", "--quiet"]).code(0);
    assert_eq!(place.published("out/n").len(), 6);
}

#[test]
fn a_stream_is_crawled_as_the_files_that_it_is() {
    let place = place();
    place.write("lake/mobile/1.ndjson", "{\"user\":\"a\",\"at\":1}\n{\"user\":7,\"at\":2}\n");
    place.write(
        "graph.ron",
        r#"Graph(name: "clicks", nodes: {
            "clicks": Stream(connection: "lake", path: "mobile/*.ndjson", schema: "schemas/clicks.ron"),
            "users": SchemaEdit(input: "clicks", edits: [ResolveChoice("user", Cast(Utf8))]),
            "none": Null(input: "users"),
        })"#,
    );
    place.selvedge(&["crawl", "graph.ron"]).code(0);
    let schema = read(&place, "schemas/clicks.ron");
    for line in [
        r#"object: Files(connection: "lake", path: "mobile/*.ndjson", format: Ndjson()),"#,
        r#""user": Column(type: Choice([Int64, Utf8])),"#,
    ] {
        assert!(schema.contains(line), "{schema}");
    }
    place.selvedge(&["check", "graph.ron"]).code(0);
    place.selvedge(&["crawl", "graph.ron", "--check"]).code(0);
}

#[test]
fn what_a_row_of_a_choice_was_comes_out_as_it_was() {
    let place = place();
    let lines = r#"{"v":1}
{"v":"1"}
{"v":-1.5}
{"v":true}
{"v":[1,2]}
{"v":{"a":"x"}}
{"v":null}
{"v":12345678901234567890}
{"v":9007199254740993}
"#;
    place.write("lake/any/a.ndjson", lines);
    place.write(
        "graph.ron",
        r#"Graph(nodes: {
            "rows": Files(connection: "lake", path: "any/*.ndjson", format: Ndjson(), schema: "schemas/rows.ron"),
            "out": Files(input: "rows", path: "out/any", format: Ndjson()),
        })"#,
    );
    place.selvedge(&["crawl", "graph.ron"]).code(0);
    let choice = "Choice([Boolean, Int64, Float64, Utf8, List(Int64), Struct({\"a\": Utf8})])";
    assert!(read(&place, "schemas/rows.ron").contains(choice), "{}", read(&place, "schemas/rows.ron"));
    place.selvedge(&["run", "graph.ron", "--quiet"]).code(0);
    assert_eq!(
        place.published("out/any"),
        [
            r#"{"v":{"boolean":true}}"#,
            r#"{"v":{"float64":-1.5}}"#,
            r#"{"v":{"int64":1}}"#,
            r#"{"v":{"int64":9007199254740993}}"#,
            r#"{"v":{"list":[1,2]}}"#,
            r#"{"v":{"struct":{"a":"x"}}}"#,
            r#"{"v":{"utf8":"1"}}"#,
            r#"{"v":{"utf8":"12345678901234567890"}}"#,
            r#"{}"#,
        ]
    );
}
