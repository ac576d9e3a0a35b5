//! A plugin that misbehaves on request, for the tests of the sandbox: `{"crime": "loop", "at": "process"}`.
//!
//! It takes one column `n` of Int64 and passes it on, until a row with 13 comes, or until it is called at the place named by
//! `at`. It speaks the contract by itself, as the SDK would not let it lie.
#![allow(unsafe_code, reason = "to misbehave")]
#![cfg(target_family = "wasm")]

use selvedge_guest::bindings::about::exports::selvedge::plugin::about::Guest as About;
use selvedge_guest::bindings::transform::exports::selvedge::plugin::transform_node::{Guest, Plan};
use selvedge_guest::bindings::types::*;
use selvedge_guest::bindings::{counters, logging, rows};
use std::cell::RefCell;
use std::hint::black_box;

struct Evil;

/// A config, cut out of its JSON by hand.
#[derive(Clone, Default)]
struct Plot {
    crime: String,
    at: String,
    /// What is done in `process` besides.
    then: String,
}

fn plot(config: &str) -> Plot {
    let get = |name: &str| {
        let after = config.split_once(&format!("\"{name}\":")).map_or("", |(_, rest)| rest);
        after.split('"').nth(1).unwrap_or_default().to_string()
    };
    Plot { crime: get("crime"), at: get("at"), then: get("then") }
}

thread_local! {
    static PLOT: RefCell<Plot> = RefCell::default();
    static LEAKED: RefCell<Vec<Vec<u8>>> = RefCell::default();
}

fn field(name: &str, format: &str, nullable: bool) -> Field {
    Field { name: name.into(), format: format.into(), nullable, children: 0 }
}

/// What can be done anywhere.
fn commit_crime(crime: &str) {
    match crime {
        "loop" => loop {
            black_box(0);
        },
        "trap" => panic!("I was asked to"),
        "stack" => {
            #[allow(unconditional_recursion, reason = "on purpose")]
            fn deeper(n: u64) -> u64 {
                let frame = black_box([n; 64]);
                deeper(black_box(n + 1)) + frame[(n % 64) as usize]
            }
            black_box(deeper(0));
        }
        "memory" => {
            let mut all: Vec<Vec<u8>> = vec![];
            loop {
                all.push(black_box(vec![1; 1 << 20]));
            }
        }
        "sleep" => std::thread::sleep(std::time::Duration::from_secs(1_000_000)),
        "log" => {
            for i in 0..100_000 {
                logging::log(logging::Level::Error, &format!("flood {i} \n\x1b[2J"), &[]);
            }
        }
        "segfault" => unsafe {
            black_box(*(0xffff_fff0 as *const u64));
        },
        _ => {}
    }
}

/// Bytes that are not there: as many as a memory of WebAssembly can have.
fn four_gib() -> Vec<u8> {
    // SAFETY: there is none. The host must refuse it before anybody reads or frees it.
    unsafe { Vec::from_raw_parts(8 as *mut u8, 0xffff_fff0, 0xffff_fff0) }
}

fn at(place: &str, config: Option<&str>) {
    let plot = config.map_or_else(|| PLOT.with(|p| p.borrow().clone()), plot);
    if plot.at == place {
        commit_crime(&plot.crime);
    }
}

/// The column as it came, as the buffer that carries it.
fn same(batch: &Batch) -> Node {
    let mut buffers = batch.nodes[0].buffers.clone();
    buffers.truncate(2);
    Node { length: batch.rows, null_count: batch.nodes[0].null_count, buffers }
}

fn send(rows: u32, from: RowsFrom, nodes: Vec<Node>) {
    rows::send(0, &Output { rows, rows_from: from, columns: vec![OutColumn::Data(nodes)] });
}

fn text(rows: u32, offsets: &[i32], bytes: &[u8]) -> Node {
    let offsets = offsets.iter().flat_map(|o| o.to_le_bytes()).collect();
    Node { length: rows, null_count: 0, buffers: vec![vec![], offsets, bytes.to_vec()] }
}

impl About for Evil {
    fn about() -> Info {
        Info {
            name: "Evil".into(),
            version: "0.1.0".into(),
            about: "misbehaves on request".into(),
            docs: "Settings: `crime` and `at`, as in its source.".into(),
            example: r#"{"crime": "loop", "at": "process"}"#.into(),
            wishes: vec![],
        }
    }
}

impl Guest for Evil {
    fn describe(config: String) -> Result<Ports, Error> {
        at("describe", Some(&config));
        Ok(Ports { inputs: Inputs::One, outputs: vec!["out".into()] })
    }

    fn output_schema(config: String, inputs: Vec<Port>) -> Result<Plan, Error> {
        at("output-schema", Some(&config));
        let told = plot(&config);
        let column = match told.crime.as_str() {
            "utf8" | "offsets" => field("n", "u", false),
            "type" => field("n", "no type at all", false),
            "zero" => field("n", "l\0", false),
            "orphan" => field("n", "+l", false),
            "twice" => {
                let schema = Schema { fields: vec![field("n", "l", true), field("n", "l", true)] };
                return Ok(Plan {
                    outputs: vec![schema],
                    reads: vec![None],
                    partitioning: Partitioning::Any,
                    stateful: false,
                    may_reject: false,
                });
            }
            "nulls" => field("n", "l", false),
            _ => field("n", "l", inputs[0].schema.fields[0].nullable),
        };
        let reads = if told.crime == "reads" { vec![Some(vec![7])] } else { vec![None] };
        let outputs = if told.crime == "ports" { vec![] } else { vec![Schema { fields: vec![column] }] };
        let stateful = ["save", "load", "finish"].contains(&told.at.as_str())
            || ["state", "state of 4 GiB", "never"].contains(&told.crime.as_str());
        Ok(Plan { outputs, reads, partitioning: Partitioning::Any, stateful, may_reject: false })
    }

    fn open(config: String, _: Vec<Port>, _: Task) -> Result<(), Error> {
        PLOT.with(|p| *p.borrow_mut() = plot(&config));
        at("open", None);
        Ok(())
    }

    fn load(_: Vec<u8>) -> Result<(), Error> {
        at("load", None);
        Ok(())
    }

    fn process(_: u32, batch: Batch) -> Result<(), Error> {
        let plot = PLOT.with(|p| p.borrow().clone());
        let values = &batch.nodes[0].buffers[1];
        let guilty = values.chunks_exact(8).any(|v| v == 13i64.to_le_bytes());
        if guilty {
            commit_crime(if plot.at == "process" { &plot.crime } else { &plot.then });
        }
        if plot.crime == "leak" {
            LEAKED.with(|l| l.borrow_mut().push(vec![1; 1 << 20]));
        }
        counters::add("rows seen", batch.rows.into());
        let good = same(&batch);
        if !guilty {
            send(batch.rows, RowsFrom::Same, vec![good]);
            return Ok(());
        }
        let rows = batch.rows;
        match plot.crime.as_str() {
            "short" => send(rows, RowsFrom::Same, vec![Node { buffers: vec![vec![], vec![0; 3]], ..good }]),
            "count" => send(rows, RowsFrom::Same, vec![Node { null_count: 5, ..good }]),
            "nulls" => send(
                rows,
                RowsFrom::Same,
                vec![Node { null_count: rows, buffers: vec![vec![0; 8192], good.buffers[1].clone()], ..good }],
            ),
            "buffers" => send(rows, RowsFrom::Same, vec![Node { buffers: vec![], ..good }]),
            "more" => send(rows, RowsFrom::Same, vec![good.clone(), good]),
            "length" => send(rows, RowsFrom::Same, vec![Node { length: rows + 1, ..good }]),
            "utf8" => {
                let offsets: Vec<i32> = (0..=rows as i32).collect();
                send(rows, RowsFrom::Same, vec![text(rows, &offsets, &vec![0xff; rows as usize])]);
            }
            "offsets" => {
                let offsets: Vec<i32> = (0..=rows as i32).map(|i| i * 1_000_000).collect();
                send(rows, RowsFrom::Same, vec![text(rows, &offsets, b"x")]);
            }
            "port" => rows::send(9, &Output { rows, rows_from: RowsFrom::Same, columns: vec![OutColumn::Input(0)] }),
            "column" => rows::send(0, &Output { rows, rows_from: RowsFrom::Same, columns: vec![OutColumn::Input(9)] }),
            "columns" => rows::send(0, &Output { rows, rows_from: RowsFrom::Same, columns: vec![] }),
            "filter" => send(rows, RowsFrom::Filter(vec![]), vec![good]),
            "take" => send(1, RowsFrom::Take(u32::MAX.to_le_bytes().to_vec()), vec![Node { length: 1, ..good }]),
            "reject" => rows::reject_rows("x", &[(u32::MAX, "no such row".into())]),
            "lose" => {}
            "double" => {
                send(rows, RowsFrom::Same, vec![good.clone()]);
                send(rows, RowsFrom::Same, vec![good]);
            }
            "endless" => loop {
                send(rows, RowsFrom::Same, vec![good.clone()]);
            },
            "reasons" => {
                for i in 0..1000 {
                    rows::create(&format!("reason {i}"), 1);
                    rows::absorb(&format!("reason {i}"), 1);
                }
                send(rows, RowsFrom::Same, vec![good]);
            }
            "4gib" => send(rows, RowsFrom::Same, vec![Node { buffers: vec![vec![], four_gib()], ..good }]),
            "huge" => send(rows, RowsFrom::Same, vec![Node { buffers: vec![vec![], vec![0; 200 << 20]], ..good }]),
            "error" => {
                return Err(Error {
                    fault: Fault::Data,
                    retry: false,
                    message: "thirteen".into(),
                    help: None,
                    at: None,
                });
            }
            _ => send(rows, RowsFrom::Same, vec![good]),
        }
        Ok(())
    }

    fn watermark(_: i64) -> Result<(), Error> {
        Ok(())
    }

    fn finish() -> Result<bool, Error> {
        at("finish", None);
        Ok(PLOT.with(|p| p.borrow().crime == "never"))
    }

    fn save() -> Result<Vec<u8>, Error> {
        at("save", None);
        match PLOT.with(|p| p.borrow().crime.clone()).as_str() {
            "state" => Ok(vec![0; 100 << 20]),
            "state of 4 GiB" => Ok(four_gib()),
            _ => Ok(vec![0; 8]),
        }
    }
}

const _: () = {
    selvedge_guest::bindings::about::__export_about_part!(Evil with_types_in selvedge_guest::bindings::about);
    selvedge_guest::bindings::transform::__export_transform_part!(Evil with_types_in selvedge_guest::bindings::transform);
};
