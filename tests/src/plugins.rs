//! Plugins in real runs: what a good one does, and that a bad one hurts nobody but itself.

use crate::harness::{Place, Ran, json, top};
use serde_json::Value;

/// A graph of 100 rows, `n` from 0 to 99, through the plugin `evil`, beside another branch that must not be harmed.
fn evil(crime: &str, at: &str, more: &str) -> Place {
    let place = Place::with(&format!(
        r#"Graph(name: "evil", nodes: {{
            "rows": Files(path: "in/*", format: Csv(), schema: {{ "n": Int64 }}),
            "evil": Plugin(input: "rows", path: "evil.wasm", config: (crime: "{crime}", at: "{at}"), {more}),
            "out": Files(input: "evil", path: "out", format: Csv()),
            "bad": Files(input: "evil.errors", path: "bad", format: Ndjson()),
            "other": Files(input: "rows", path: "other", format: Csv()),
        }})"#
    ));
    let rows: String = (0..100).map(|n| format!("{n}\n")).collect();
    place.write("in/rows.csv", format!("n\n{rows}"));
    std::fs::copy(top().join("plugins/evil.wasm"), place.path("evil.wasm")).unwrap();
    place
}

impl Place {
    pub fn with_plugins(&self, words: &[&str]) -> Ran {
        // Compiled once, not by each of these processes.
        let cache = concat!(env!("CARGO_TARGET_TMPDIR"), "/plugins");
        self.start_with(words, |c| _ = c.env("SELVEDGE_PLUGIN_CACHE", cache)).wait()
    }

    fn run_plugins(&self) -> Ran {
        self.with_plugins(&["run", "graph.ron", "--report", "run.json", "--quiet", "--threads", "2"])
    }

    fn report(&self) -> Value {
        json(&self.path("run.json"))
    }
}

/// The run fails, with these words and the plugin's name, and publishes nothing.
#[track_caller]
fn fails(crime: &str, at: &str, more: &str, words: &str) {
    let place = evil(crime, at, more);
    let ran = place.run_plugins();
    assert_eq!(ran.code, Some(1), "{crime} at {at}: {}", ran.stderr);
    let error = place.report()["error"].clone();
    let message = error["message"].as_str().unwrap();
    assert!(message.starts_with("evil.wasm: ") && message.contains(words), "{crime} at {at}: {error}");
    assert_eq!(error["node"], "evil");
    place.nothing_published();
}

/// The guilty row alone goes to `errors`, with this code; all others arrive.
#[track_caller]
fn one_row_is_rejected(crime: &str, at: &str, more: &str, code: &str) {
    let place = evil(crime, at, &format!("on_error: Reject, {more}"));
    place.run_plugins().code(0);
    let bad = place.published("bad");
    assert_eq!(bad.len(), 1, "{crime}: {bad:?}");
    let bad: Value = serde_json::from_str(&bad[0]).unwrap();
    assert_eq!((&bad["errorCode"], &bad["rawData"]), (&Value::from(code), &Value::from(r#"{"n":13}"#)), "{crime}");
    let rows = |folder: &str| place.published(folder).iter().filter(|l| *l != "n").count();
    assert_eq!((rows("out"), rows("other")), (99, 100), "{crime}");
}

#[test]
fn a_plugin_that_behaves_is_a_node_like_any_other() {
    let place = evil("none", "", "");
    place.run_plugins().code(0);
    let node = place.report()["nodes"].as_array().unwrap().iter().find(|n| n["name"] == "evil").unwrap().clone();
    assert_eq!(
        (&node["kind"], &node["inputs"][0]["rows"], &node["outputs"][0]["rows"]),
        (&"Plugin".into(), &100.into(), &100.into())
    );
    assert_eq!(node["counters"], serde_json::json!([{"name": "rows seen", "value": 100}]));
}

#[test]
fn what_ends_a_call_is_named() {
    let fast = "limits: (call_seconds: 1, memory_mib: 16)";
    for (crime, words) in [
        ("loop", "`process` was ended: it took longer than 1 s (call_seconds)"),
        ("sleep", "`process` was ended: it took longer than 1 s (call_seconds)"),
        ("trap", "the plugin panicked in `process`"),
        ("memory", "`process` was ended: the plugin needs more than 16 MiB of memory (memory_mib)"),
        ("stack", "in `process`"),
        ("segfault", "in `process`: out of bounds memory access"),
    ] {
        fails(crime, "process", fast, words);
    }
    fails("endless", "", "limits: (output_mib: 1)", "one call put out more than 1 MiB (output_mib)");
    fails("huge", "", "", "one call put out more than 128 MiB (output_mib)");
    fails("4gib", "", "limits: (output_mib: 4095)", "list pointer/length out of bounds of memory");
    for place in ["open", "finish"] {
        let (ended, trapped) = (format!("`{place}` was ended: it took longer"), format!("panicked in `{place}`"));
        fails("loop", place, fast, &ended);
        fails("trap", place, fast, &trapped);
    }
}

#[test]
fn saving_and_loading_end_in_time_too() {
    // Enough batches that the state is saved between them, and a row at which it is loaded.
    let rows = format!("n\n{}13\n", "7\n".repeat(1_500_000));
    let limits = "on_error: Reject, limits: (call_seconds: 1, memory_mib: 64)";
    for (crime, at, words) in [
        ("loop", "save", "`save` was ended: it took longer than 1 s (call_seconds)"),
        ("loop", "load", "`load` was ended: it took longer than 1 s (call_seconds)"),
        ("trap", "save", "the plugin panicked in `save`"),
        ("state of 4 GiB", "", "list pointer/length out of bounds of memory"),
    ] {
        let place = evil(crime, at, limits);
        place.write("in/rows.csv", &rows);
        if at == "load" {
            // Only a trap makes it load: the row that is guilty of one.
            let graph = std::fs::read_to_string(place.path("graph.ron")).unwrap();
            place.write("graph.ron", graph.replace("at: \"load\"", "at: \"load\", then: \"trap\""));
        }
        assert_eq!(place.run_plugins().code, Some(1), "{crime} at {at}");
        let message = place.report()["error"]["message"].as_str().unwrap().to_string();
        assert!(message.starts_with("evil.wasm: ") && message.contains(words), "{crime} at {at}: {message}");
        place.nothing_published();
    }
}

/// A transform that does nothing but trap, with some text of WebAssembly in it.
fn hollow(change: impl Fn(String) -> String) -> Vec<u8> {
    let mut resolve = wit_parser::Resolve::new();
    let (package, _) = resolve.push_path(top().join("sdk/wit/plugin.wit")).unwrap();
    let world = resolve.select_world(&[package], Some("transform")).unwrap();
    let abi = wit_parser::ManglingAndAbi::Legacy(wit_parser::LiftLowerAbi::Sync);
    let module = wit_component::dummy_module(&resolve, world, abi);
    let text = change(wasmprinter::print_bytes(module).unwrap());
    let mut module = wat::parse_str(&text).unwrap();
    wit_component::embed_component_metadata(&mut module, &resolve, world, wit_component::StringEncoding::UTF8).unwrap();
    wit_component::ComponentEncoder::default().module(&module).unwrap().encode().unwrap()
}

#[test]
fn a_plugin_is_contained_before_its_first_call() {
    let started = |body: &str| {
        let body = format!("{body})\n");
        hollow(move |text| {
            let end = text.rfind(')').unwrap();
            format!("{}{body}", &text[..end])
        })
    };
    let grow = "(table $grown 1 funcref) (func $begin (local i32) (loop (br_if 0 (i32.ne (i32.const -1)
        (table.grow $grown (ref.null func) (i32.const 10000))))) unreachable) (start $begin)";
    let spin = "(func $begin (loop (br 0))) (start $begin)";
    let memory = "(func $begin (loop (br_if 0 (i32.ne (i32.const -1) (memory.grow (i32.const 16))))) unreachable) (start $begin)";
    for (bytes, words) in [
        (started(grow), "`its start` was ended: the plugin needs tables of more than 100000 elements (table_elements)"),
        (started(spin), "`its start` was ended: it took longer than 1 s (call_seconds)"),
        (started(memory), "`its start` was ended: the plugin needs more than 16 MiB of memory (memory_mib)"),
        (hollow(|text| text), "the plugin panicked in `describe`"),
    ] {
        let place = evil("none", "", "limits: (call_seconds: 1, memory_mib: 16)");
        place.write("evil.wasm", bytes);
        let ran = place.with_plugins(&["check", "graph.ron", "--short"]);
        assert_eq!(ran.code, Some(2), "{}", ran.stderr);
        assert!(ran.stderr.contains("graph.ron:3:") && ran.stderr.contains(words), "{}", ran.stderr);
    }
    // What only people ask: a loop in every function, and so in `about`.
    let place = evil("none", "", "");
    place.write("evil.wasm", hollow(|text| text.replace("unreachable", "(loop (br 0)) unreachable")));
    let ran = place.with_plugins(&["plugin", "check", "evil.wasm", "--plugin-caps", "call_seconds=1"]);
    assert_eq!(ran.code, Some(2), "{}", ran.stderr);
    assert!(ran.stderr.contains("`about` was ended: it took longer than 1 s (call_seconds)"), "{}", ran.stderr);
}

#[test]
fn state_is_bounded_too() {
    // Enough batches that the state is saved between them.
    let place = evil("state", "", "on_error: Reject, limits: (state_mib: 1)");
    place.write("in/rows.csv", format!("n\n{}", "7\n".repeat(1_500_000)));
    assert_eq!(place.run_plugins().code, Some(1));
    let message = place.report()["error"]["message"].as_str().unwrap().to_string();
    assert!(message.contains("`save` gave 104857600 bytes of state; the limit is 1 MiB (state_mib)"), "{message}");
}

#[test]
fn what_is_no_sound_arrow_is_refused() {
    for (crime, words) in [
        ("short", "column `n`"),
        ("count", "0 nulls where 5 were announced"),
        ("nulls", "a column that the schema says has none"),
        ("buffers", "0 buffers, but Int64 has 2"),
        ("more", "more arrays than its type has"),
        ("length", "values where"),
        ("utf8", "tf-8"),
        ("offsets", "column `n`"),
        ("port", "rows sent on port 9, but there are 1"),
        ("column", "input column 9"),
        ("columns", "0 columns, but the schema has 1"),
        ("filter", "a bitmap of 0 bytes"),
        ("take", "row 4294967295 of a batch"),
        ("reject", "row 4294967295 of a batch"),
    ] {
        fails(crime, "", "", words);
    }
}

#[test]
fn rows_that_do_not_add_up_are_the_plugins_fault() {
    fails("lose", "", "", "the plugin breaks the row law");
    fails("double", "", "", "the plugin breaks the row law");
}

#[test]
fn the_guilty_row_alone_is_rejected() {
    one_row_is_rejected("trap", "process", "", "plugin.trap");
    one_row_is_rejected("error", "", "", "plugin.error");
    one_row_is_rejected("short", "", "", "plugin.output");
    one_row_is_rejected("lose", "", "", "plugin.rows");
    one_row_is_rejected("memory", "process", "limits: (memory_mib: 16)", "plugin.memory");
}

#[test]
fn a_plugin_that_keeps_trapping_is_given_up() {
    let place = evil("trap", "process", "on_error: Reject, limits: (faults: 3)");
    place.write("in/rows.csv", format!("n\n{}", "13\n".repeat(10)));
    assert_eq!(place.run_plugins().code, Some(1));
    let message = place.report()["error"]["message"].as_str().unwrap().to_string();
    assert!(message.starts_with("after 3 faults before it (faults): evil.wasm: the plugin panicked"), "{message}");
}

#[test]
fn memory_that_a_plugin_took_comes_back() {
    let place = evil("memory", "process", "on_error: Reject, limits: (memory_mib: 64)");
    place.write("in/rows.csv", format!("n\n{}", "13\n".repeat(40)));
    place.run_plugins().code(0);
    assert_eq!(place.published("bad").len(), 40);
    let peak = place.report()["process_peak_bytes"].as_u64().unwrap();
    assert!(peak < 600 << 20, "two instances of 64 MiB at a time, not 40: {peak}");
}

#[test]
fn other_graphs_of_a_run_are_unharmed() {
    let place = evil("trap", "process", "");
    let good = r#"Graph(name: "good", nodes: {
        "rows": Files(path: "../in/*", format: Csv(), schema: { "n": Int64 }),
        "out": Files(input: "rows", path: "out", format: Csv()),
    })"#;
    place.write("good/graph.ron", good);
    let ran = place.with_plugins(&["run", "graph.ron", "good", "--quiet"]);
    assert_eq!(ran.code, Some(1), "{}", ran.stderr);
    place.nothing_published();
    assert_eq!(place.published("good/out").len(), 101);
}

#[test]
fn floods_and_leaks_are_contained() {
    for (crime, at) in [("log", "process"), ("reasons", ""), ("leak", "")] {
        let place = evil(crime, at, "limits: (memory_mib: 16)");
        let ran = place.run_plugins().code(0);
        assert!(ran.stderr.lines().count() < 1000 && !ran.stderr.contains('\u{1b}'), "{crime}: {}", ran.stderr.len());
    }
}

#[test]
fn lies_while_planning_are_problems_with_a_place() {
    let limits = "limits: (call_seconds: 1)";
    for (crime, at, words) in [
        ("type", "", "its output schema is wrong: column `n`"),
        ("zero", "", "its output schema is wrong: column `n`"),
        ("orphan", "", "its output schema is wrong: column `n`"),
        ("twice", "", "two columns named `n`"),
        ("reads", "", "are not columns of its input"),
        ("ports", "", "it has 1 output ports, but gives 0 schemas"),
        ("loop", "describe", "`describe` was ended: it took longer than 1 s"),
        ("trap", "output-schema", "the plugin panicked in `output-schema`"),
    ] {
        let ran = evil(crime, at, limits).with_plugins(&["check", "graph.ron", "--short"]);
        assert_eq!(ran.code, Some(2), "{crime}");
        assert!(ran.stderr.contains("graph.ron:3:") && ran.stderr.contains(words), "{crime}: {}", ran.stderr);
    }
}

#[test]
fn what_is_no_plugin_is_said_to_be_none() {
    let whole = std::fs::read(top().join("plugins/evil.wasm")).unwrap();
    let newer: Vec<u8> = {
        // The contract's version stands in the names of its interfaces.
        let mut bytes = whole.clone();
        let old = b"-node@0.1.1";
        let places: Vec<usize> = (0..bytes.len() - old.len()).filter(|i| bytes[*i..].starts_with(old)).collect();
        places.into_iter().for_each(|i| bytes[i + 8] = b'9');
        bytes
    };
    let noise: Vec<u8> = (0..10_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    for (bytes, words) in [
        (b"".to_vec(), "this is not WebAssembly"),
        (noise, "this is not WebAssembly"),
        (whole[..whole.len() / 2].to_vec(), "is not a sound WebAssembly component"),
        (b"\0asm\x0d\0\x01\0".to_vec(), "this component is no plugin: it exports nothing"),
        // A type section with an empty instance type, and an import of it.
        (
            b"\0asm\x0d\0\x01\0\x07\x03\x01\x42\0\x0a\x16\x01\0\x11foreign:thing/api\x05\0".to_vec(),
            "this plugin needs `foreign:thing/api`, which Selvedge does not offer",
        ),
        (newer, "version 0.9.1 of the contract"),
    ] {
        let place = evil("none", "", "");
        place.write("evil.wasm", bytes);
        let ran = place.with_plugins(&["check", "graph.ron", "--short"]).code(2);
        assert!(ran.stderr.contains("graph.ron:3:") && ran.stderr.contains(words), "{}", ran.stderr);
    }
    let place = evil("none", "", &format!("sha256: \"{}\"", "0".repeat(64)));
    let ran = place.with_plugins(&["check", "graph.ron", "--short"]).code(2);
    assert!(ran.stderr.contains("is another file: its SHA-256 is"), "{}", ran.stderr);
}

#[test]
fn an_operator_caps_what_a_graph_may_give() {
    let place = evil("none", "", "limits: (memory_mib: 65)");
    let ran = place.with_plugins(&["check", "graph.ron", "--short", "--plugin-caps", "memory_mib=64"]).code(2);
    assert!(ran.stderr.contains("`memory_mib` is 65, but this machine's operator allows 64"), "{}", ran.stderr);
}

#[test]
fn upcs_are_checked_by_a_plugin() {
    let place = Place::with(
        r#"Graph(name: "upc", nodes: {
            "rows": Files(path: "in.csv", format: Csv(), schema: { "upc": Utf8, "units": Int64 }),
            "checked": Plugin(input: "rows", path: "upc_check.wasm", config: (column: "upc", output: "gtin")),
            "out": Files(input: "checked", path: "out", format: Csv()),
            "bad": Files(input: "checked.errors", path: "bad", format: Ndjson()),
        })"#,
    );
    place.write("in.csv", "upc,units\n036000291452,3\n36000291452,4\n036000291453,5\n,6\n");
    std::fs::copy(top().join("plugins/upc_check.wasm"), place.path("upc_check.wasm")).unwrap();
    place.run_plugins().code(0);
    assert_eq!(
        place.published("out"),
        [",6,", "036000291452,3,00036000291452", "36000291452,4,00036000291452", "upc,units,gtin"]
    );
    let bad: Value = serde_json::from_str(&place.published("bad")[0]).unwrap();
    assert_eq!(
        (&bad["errorCode"], &bad["rawData"]),
        (&"upc.check_digit".into(), &r#"{"upc":"036000291453","units":5}"#.into())
    );
    let ran = place.with_plugins(&["plan", "graph.ron"]).code(0);
    assert!(
        ran.stdout.contains("transform upc_check.wasm") && ran.stdout.contains("granted: nothing"),
        "{}",
        ran.stdout
    );

    place.write(
        "graph.ron",
        std::fs::read_to_string(place.path("graph.ron")).unwrap().replace("column: \"upc\"", "column: \"ucp\""),
    );
    let ran = place.with_plugins(&["check", "graph.ron", "--short"]).code(2);
    assert!(ran.stderr.contains("graph.ron:3:87: error: upc_check.wasm: no column named `ucp`"), "{}", ran.stderr);
}

#[test]
fn a_source_and_a_sink_reach_what_is_granted_and_no_more() {
    let graph = |grant: &str| {
        format!(
            r#"Graph(name: "labels", nodes: {{
                "lines": Plugin(path: "fixed_width.wasm", config: (skip: 1, columns: [
                    (name: "sku", start: 1, length: 4), (name: "price", start: 5, length: 6)]), {grant}),
                "bad": Files(input: "lines.errors", path: "bad", format: Ndjson()),
                "labels": Plugin(input: "lines", path: "text_template.wasm",
                    config: (file: "/out/labels.zpl", row: "^FD{{sku}} {{price}}^FS\n", footer: "end\n"),
                    grant: (files: {{"/out": Write("labels")}})),
            }})"#
        )
    };
    let place = Place::with(&graph(r#"grant: (files: {"/in": Read("in")})"#));
    for name in ["fixed_width", "text_template"] {
        std::fs::copy(top().join(format!("plugins/{name}.wasm")), place.path(&format!("{name}.wasm"))).unwrap();
    }
    place.write("in/1.txt", "SKU PRICE\nAB12  1.50\nx\nCD34 20.00\n");
    std::fs::create_dir_all(place.path("labels")).unwrap();
    place.run_plugins().code(0);
    assert_eq!(
        std::fs::read_to_string(place.path("labels/labels.zpl")).unwrap(),
        "^FDAB12 1.50^FS\n^FDCD34 20.00^FS\nend\n"
    );
    assert_eq!(place.files("labels").len(), 1, "the part file is renamed");
    let bad: Value = serde_json::from_str(&place.published("bad")[0]).unwrap();
    assert_eq!((&bad["errorCode"], &bad["rawData"]), (&"fixed_width.short".into(), &"x".into()));

    // A second run goes on where the first one stopped.
    place.write("in/1.txt", "SKU PRICE\nAB12  1.50\nx\nCD34 20.00\nEF56  3.00\n");
    place.run_plugins().code(0);
    assert_eq!(std::fs::read_to_string(place.path("labels/labels.zpl")).unwrap(), "^FDEF56 3.00^FS\nend\n");

    // Without the grant there is no such folder; a warning has said so before.
    place.write("graph.ron", graph(""));
    let ran = place.run_plugins();
    assert_eq!(ran.code, Some(1));
    assert!(ran.stderr.contains("asks for the folder /in, which is not granted"), "{}", ran.stderr);
    assert!(place.report()["error"]["message"].as_str().unwrap().starts_with("fixed_width.wasm: listing /in: "));
}
