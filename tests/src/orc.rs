//! ORC against the C++ library that pyarrow and pyorc bring: what it writes we read, what we write it reads, skips in and counts.

use crate::harness::Place;
use std::process::Command;

pub const PACKAGES: [&str; 2] = ["pyarrow==26.0.1", "pyorc==0.12.0"];

/// Every type, with nulls, in pyarrow's own words.
const TABLE: &str = r#"
import datetime, decimal, glob, json, sys
import pyarrow as pa
import pyarrow.orc as orc

def table(count):
    ids = range(count)
    some = lambda i, value: None if i % 7 == 3 else value
    number = decimal.Decimal
    hour = lambda start, i, micros: datetime.datetime(start, 1, 1) + datetime.timedelta(hours=i, microseconds=micros)
    column = lambda value, ty=None: pa.array([some(i, value(i)) for i in ids], ty)
    return pa.table({
        "id": pa.array(ids, pa.int64()),
        "bool": column(lambda i: i % 3 == 0, pa.bool_()),
        "i8": column(lambda i: i % 100 - 50, pa.int8()),
        "i16": column(lambda i: i % 60000 - 30000, pa.int16()),
        "i32": column(lambda i: i * 1000, pa.int32()),
        "f32": column(lambda i: i / 4, pa.float32()),
        "f64": column(lambda i: -i / 3, pa.float64()),
        "word": column(lambda i: f"word {i % 9}", pa.string()),
        "text": column(lambda i: f"row {i} ü", pa.string()),
        "binary": column(lambda i: b"x" * (i % 11), pa.binary()),
        "date": column(lambda i: datetime.date(1950, 1, 1) + datetime.timedelta(days=i % 40000), pa.date32()),
        "local": column(lambda i: hour(1971, i, i * 13), pa.timestamp("us")),
        "utc": column(lambda i: hour(1960, i, 0), pa.timestamp("us", "UTC")),
        "small": column(lambda i: number(i - 300) / 100, pa.decimal128(10, 2)),
        "large": column(lambda i: number(i - 300) * 10 ** (i % 20) / 100, pa.decimal128(38, 2)),
        "list": column(lambda i: [None if j == 2 else j for j in range(i % 5)], pa.list_(pa.int32())),
        "lists": column(lambda i: [[f"{j}"] * j for j in range(i % 4)], pa.list_(pa.list_(pa.string()))),
        "map": column(lambda i: [(f"k{j}", j) for j in range(i % 3)], pa.map_(pa.string(), pa.int64())),
        "struct": column(
            lambda i: {"word": None if i % 2 else f"w{i % 5}", "inner": {"x": i * 0.5}},
            pa.struct({"word": pa.string(), "inner": pa.struct({"x": pa.float64()})}),
        ),
    })

def read(folder):
    parts = [orc.read_table(path) for path in sorted(glob.glob(f"{folder}/*.orc"))]
    return pa.concat_tables(parts).sort_by("id")
"#;

/// Writes the files that a graph reads.
const MAKE: &str = r#"
orc.write_table(table(25000), "in/many.orc", compression="zlib", stripe_size=200000)
orc.write_table(table(25000).slice(0, 0), "in/none.orc")
for compression in ["uncompressed", "snappy", "zstd", "lz4"]:
    orc.write_table(table(1000), f"each/{compression}.orc", compression=compression)
"#;

/// Compares what the graph wrote.
const CHECK: &str = r#"
import pyorc
from pyorc.predicates import PredicateColumn

expected = table(25000)
for folder, compression in [("zstd", "ZSTD"), ("zlib", "ZLIB"), ("snappy", "SNAPPY"), ("none", "UNCOMPRESSED")]:
    found = read(f"out/{folder}")
    assert found.schema.names == expected.schema.names
    for name in expected.schema.names:
        same = found[name].combine_chunks().cast(expected[name].type).equals(expected[name].combine_chunks())
        assert same, (folder, name, found[name].type)
    paths = sorted(glob.glob(f"out/{folder}/*.orc"))
    assert all(orc.ORCFile(path).compression == compression for path in paths)

# One file: its stripes, its statistics, and what readers find by them.
[path] = glob.glob("out/zlib/*.orc")
file = orc.ORCFile(path)
assert file.nstripes > 2 and file.nrows == 25000 and file.nstripe_statistics == file.nstripes, file.nstripes
assert file.row_index_stride == 10000
with open(path, "rb") as opened:
    reader = pyorc.Reader(opened)
    stats = {name: reader[reader.schema.find_column_id(name)].statistics for name in expected.schema.names}
present = 25000 - expected["i8"].null_count
for name, numbers in stats.items():
    wanted = 25000 if name == "id" else present
    assert (numbers["number_of_values"], numbers["has_null"]) == (wanted, name != "id"), (name, numbers)
assert (stats["id"]["minimum"], stats["id"]["maximum"], stats["id"]["sum"]) == (0, 24999, 312487500)
assert (stats["word"]["minimum"], stats["word"]["maximum"]) == ("word 0", "word 8")
for name in ["i8", "i16", "i32", "date", "small", "large", "f64"]:
    values = [v for v in expected[name].to_pylist() if v is not None]
    assert (stats[name]["minimum"], stats[name]["maximum"]) == (min(values), max(values)), (name, stats[name])
for name in ["small", "large", "i32"]:
    values = [v for v in expected[name].to_pylist() if v is not None]
    assert stats[name]["sum"] == sum(values), (name, stats[name])
assert stats["bool"]["true_count"] == sum(v is True for v in expected["bool"].to_pylist())

# Any row can be jumped to, by the positions in the index, in every type.
[one] = glob.glob("out/none/*.orc")
for path in [path, one]:
    with open(path, "rb") as opened:
        rows = list(pyorc.Reader(opened))
        reader = pyorc.Reader(opened)
        for at in [24999, 0, 9999, 10000, 10001, 20000, 12345]:
            reader.seek(at)
            assert next(reader) == rows[at], at
        few = pyorc.Reader(opened, predicate=PredicateColumn(pyorc.TypeKind.LONG, "id") > 24990)
        assert sum(1 for _ in few) < 25000
        nobody = pyorc.Reader(opened, predicate=PredicateColumn(pyorc.TypeKind.STRING, "text") > "zzz")
        assert sum(1 for _ in nobody) == 0

each = read("out/each")
assert each.num_rows == 4000 and each["id"].to_pylist() == sorted(list(range(1000)) * 4)
for compression in range(4):
    part = each.take(list(range(compression, 4000, 4)))
    assert part["text"].to_pylist() == table(1000)["text"].to_pylist()
    assert part["large"].to_pylist() == table(1000)["large"].to_pylist()
assert read("out/nothing").num_rows == 0 and read("out/nothing").schema.names == expected.schema.names
"#;

fn python(place: &Place, script: &str) {
    let mut python = Command::new("python3");
    python.args(["-c", &format!("{TABLE}{script}")]).current_dir(place.0.path());
    python.env("PYTHONPATH", selvedge_servers::python(&PACKAGES)).env("PYTHONDONTWRITEBYTECODE", "1");
    let ran = python.output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
}

#[test]
fn both_ways_through_the_cpp_library() {
    let place = Place::with(
        r#"Graph(name: "orc", nodes: {
            "many": Files(path: "in/*.orc", format: Orc, split_bytes: 1),
            "zstd": Files(input: "many", path: "out/zstd", format: Orc()),
            "zlib": Files(input: "many", path: "out/zlib", format: Orc(compression: Zlib(6), stripe: "100kB")),
            "snappy": Files(input: "many", path: "out/snappy", format: Orc(compression: Snappy), roll: (rows: 7000)),
            "none": Files(input: "many", path: "out/none", format: Orc(compression: None)),
            "each": Files(path: "each/*.orc", format: Orc),
            "copied": Files(input: "each", path: "out/each", format: Orc()),
            "empty": Files(path: "in/none.orc", format: Orc),
            "nothing": Files(input: "empty", path: "out/nothing", format: Orc()),
        })"#,
    );
    place.write("in/.keep", "");
    place.write("each/.keep", "");
    python(&place, MAKE);
    let ran = place.selvedge(&["run", "graph.ron", "--threads", "1"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    python(&place, CHECK);
}

/// Rows that never were ORC before: typed by us, counted out by Python.
const ROWS: &str = r#"
found = read("out")
assert found.num_rows == 3000
for row in found.to_pylist():
    n = row["id"]
    assert row["price"] == (decimal.Decimal(n) / 100 if n % 5 else None), row
    assert row["at"] == datetime.datetime(2024, 3, 1, tzinfo=datetime.timezone.utc) + datetime.timedelta(seconds=n), row
    assert row["day"] == datetime.date(2024, 3, 1) and row["tags"] == ["a", None, str(n)], row
    assert row["box"] == {"width": n, "open": n % 2 == 0}, row
"#;

#[test]
fn our_own_rows_are_read_as_they_were() {
    let place = Place::with(
        r#"Graph(name: "own", nodes: {
            "rows": Files(path: "rows.ndjson", format: Ndjson(), schema: {
                "id": Int64, "price": Decimal(10, 2), "at": Timestamp, "day": Date, "tags": List(Utf8),
                "box": Struct({ "width": Int32, "open": Boolean }),
            }),
            "out": Files(input: "rows", path: "out", format: Orc(stripe: "20kB")),
        })"#,
    );
    let row = |n: u32| {
        let price = if n.is_multiple_of(5) { "null".into() } else { format!("{}.{:02}", n / 100, n % 100) };
        let (hour, minute, second) = (n / 3600, n / 60 % 60, n % 60);
        let at = format!("2024-03-01T{hour:02}:{minute:02}:{second:02}Z");
        let open = n.is_multiple_of(2);
        format!(
            r#"{{"id":{n},"price":{price},"at":"{at}","day":"2024-03-01","tags":["a",null,"{n}"],"box":{{"width":{n},"open":{open}}}}}"#
        ) + "\n"
    };
    place.write("rows.ndjson", (0..3000).map(row).collect::<String>());
    let ran = place.selvedge(&["run", "graph.ron"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    python(&place, ROWS);
}

/// pyarrow stores fractions of seconds before 1970 in a way of its own. That must not become other times.
#[test]
fn times_that_pyarrow_stores_in_its_own_way_are_refused() {
    let place = Place::with(
        r#"Graph(name: "old", nodes: {
            "old": Files(path: "old.orc", format: Orc),
            "out": Files(input: "old", path: "out", format: Ndjson()),
        })"#,
    );
    let make = r#"
times = [datetime.datetime(1960, 1, 1, 0, 0, 0, 500000), datetime.datetime(1980, 1, 1)]
orc.write_table(pa.table({"at": pa.array(times, pa.timestamp("us"))}), "old.orc")
"#;
    python(&place, make);
    let ran = place.selvedge(&["run", "graph.ron"]);
    assert_ne!(ran.code, Some(0));
    assert!(ran.stderr.contains("column `at` has times before 1970 with fractions"), "{}", ran.stderr);
    place.nothing_published();
}
