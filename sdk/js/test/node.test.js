// Nodes through the harness, as authors run them.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Column, Mask, PluginError, Rows, Schema, Type, count, drop, log, now, reject, secret, setting, transform, wanted } from "../index.js";
import { example, problem, run } from "../testing.js";

const described = { name: "Test", about: "tests", docs: "none" };
const node = (plan, more) => transform({ ...described, plan, ...more });
const total = Schema.of({ total: Type.Float64 });

test("rows are changed, dropped and rejected one by one", () => {
  const priced = node(
    ({ tax }, [input]) => ({
      output: input.schema.with("gross", Type.Float64),
      mayReject: true,
      row(row) {
        if (row.price === null) return reject("no_price", `no price for ${row.sku}`);
        if (row.price < 0) return drop("negative");
        return { ...row, gross: row.price * (1 + tax), sku: row.sku?.toUpperCase() ?? null };
      },
    }),
    { settings: { tax: setting.number({ default: 0.5 }) } },
  );
  const done = run(priced, {}, `
    sku  | price:Float64 | at:tsu:UTC      
    pen  | 1.5           | 1700000000000000
    free | -1            | null
    null | 3             | 1
    ink  | null          | null`);
  done.expect(`
    sku  | price:Float64 | at:tsu:UTC       | gross:Float64
    PEN  | 1.5           | 1700000000000000 | 2.25
    null | 3             | 1                | 4.5`);
  assert.deepEqual(done.dropped, { negative: 1 });
  assert.deepEqual(done.rejected, [{ code: "no_price", message: "no price for ink", raw: "ink | null | null" }]);
});

test("columns that no row changes are passed on, not sent", () => {
  const sent = [];
  const spy = node((_, [input]) => ({
    output: input.schema.with("c", Type.Int32),
    row(row) {
      sent.push(Object.keys(row).join());
      return { ...row, c: 7 };
    },
    reads: ["b"],
  }));
  const done = run(spy, {}, "a | b:Boolean\n x | true\n y | null");
  done.expect("a | b:Boolean | c:Int32\n x | true | 7\n y | null | 7");
  assert.equal(sent[0], "b");
});

test("mistakes in a row are told", () => {
  const told = (row, more = {}) => () => run(node((_, [input]) => ({ output: input.schema.with("new", Type.Int64), row, ...more })), {}, "a\n x\n y\n z");
  for (const [row, message] of [
    [() => {}, "`row` answered undefined for row 0"],
    [() => true, "`row` answered true for row 0"],
    [() => ({ nwe: 1 }), "`row` sets `nwe`, but the output has no such column"],
    [() => ({}), "`row` sets nothing in column `new` of row 0, which no input has"],
    [() => ({ new: "1" }), 'column `new` is Int64: expected a BigInt or a whole number in row 0, found the text "1"'],
    [() => ({ new: 1.5 }), "column `new` is Int64: expected a BigInt or a whole number in row 0, found 1.5"],
    [() => ({ new: 1n << 63n }), "column `new` is Int64: expected a whole number in its range in row 0, found 9223372036854775808"],
    [() => reject("no", "no"), "rejects rows, but the plan does not say `mayReject: true`"],
  ]) {
    assert.throws(told(row), { message, fault: "bug" });
  }
  const some = (row) => ({ new: 1, ...(row.a === "y" ? {} : { a: "other" }) });
  run(node((_, [input]) => ({ output: input.schema.with("new", Type.Int64), row: some })), {}, "a\n x\n y").expect(
    "a | new:Int64\n other | 1\n y | 1",
  );
  const unseen = (_, i) => (i === 1 ? { new: 1 } : { new: 1, a: "b" });
  assert.throws(told(unseen, { reads: [] }), { message: "`row` sets column `a` in some rows, but not in row 1" });
});

test("batches: masks, typed arrays, passing on, reordering", () => {
  const batches = node((_, [input]) => ({
    output: input.schema.with("twice", Type.Float64).with("same", Type.Utf8),
    mayReject: true,
    map(batch, out) {
      const numbers = batch.column("n");
      const nulls = batch.nulls("n");
      out.rejectRows("null", [...nulls.rows()].map((row) => [row, `row ${batch.column("k").get(row)}`]));
      out.altered("doubled", nulls.not());
      const keep = [...nulls.not().rows()];
      const twice = Float64Array.from(keep, (row) => numbers.values[row] * 2);
      out.send(Rows.take(batch, keep).with("twice", twice).pass("same", "k"));
      count("kept", keep.length);
    },
  }));
  const done = run(batches, {}, "k | n:Float64\n a | 1\n b | null\n c | 2.5");
  done.expect("k | n:Float64 | twice:Float64 | same\n a | 1 | 2 | a\n c | 2.5 | 5 | c");
  assert.deepEqual([done.altered, done.counters, done.rejected[0].message], [{ doubled: 2 }, { kept: 2 }, "row b"]);
});

test("mistakes of a batch are told before the host traps", () => {
  const told = (map) => () => run(node((_, [input]) => ({ output: input.schema.with("new", Type.Int64), map })), {}, "a\n x\n y");
  const one = (rows) => BigInt64Array.from({ length: rows }, () => 1n);
  for (const [map, message] of [
    [(batch, out) => out.send(Rows.all(batch).with("new", one(1))), "sends 1 values in column `new` with 2 rows"],
    [(batch, out) => out.send(Rows.all(batch)), "sends nothing in column `new`, which no input has"],
    [(batch, out) => out.send(Rows.filter(Mask.none(7)).with("new", one(0))), "sends rows of a batch of 7, the batch has 2"],
    [(batch, out) => out.send(Rows.take(batch, [2])), "takes row 2 of a batch of 2"],
    [(batch, out) => out.send(Rows.take(batch, [-1])), "takes row -1 of a batch of 2"],
    [(batch, out) => out.send(Rows.all(batch), 3), "sends to port 3, there are 1"],
    [(batch, out) => out.send(Rows.all(batch).with("nwe", one(2))), "the output has no column `nwe`"],
    [(batch, out) => out.send([]), "sends what are no `Rows`"],
    [(batch, out) => out.send(Rows.all(batch).with("new", new Float64Array(2))), "column `new` is Int64: expected a BigInt64Array or an array, found a Float64Array"],
    [(batch) => batch.column("b"), "asked for column `b`, there is none"],
  ]) {
    assert.throws(told(map), { message, fault: "bug" });
  }
  const losing = node((_, [input]) => ({ output: input.schema, map() {} }));
  assert.throws(() => run(losing, {}, "a\n x"), /rows sent \+ dropped \+ rejected \+ absorbed, and rows in \+ created/);
  const notRead = node((_, [input]) => ({ output: input.schema, reads: [], map: (batch) => batch.column("a") }));
  assert.throws(() => run(notRead, {}, "a\n x"), { message: "the plan does not read column `a`" });
  const nulls = node((_, [input]) => ({
    output: new Schema([{ name: "a", type: Type.Utf8, nullable: false }]),
    map: (batch, out) => out.send(Rows.all(batch).with("a", [null])),
  }));
  assert.throws(() => run(nulls, {}, "a\n x"), { message: "column `a` has 1 nulls, but the plan says that it has none" });
});

const counting = (save, load) =>
  node(
    ({ key }, [input]) => {
      const column = input.schema.columnOfType(key, "key", "text", (type) => type.isText);
      let seen = new Map();
      return {
        output: Schema.of({ [key]: Type.Utf8, rows: Type.Int64 }),
        reads: [column],
        partitioning: { keys: [key] },
        process(batch, out) {
          for (const value of batch.column(column)) if (value !== null) seen.set(value, (seen.get(value) ?? 0) + 1);
          const nulls = batch.nulls(column);
          out.dropRows("null in key", nulls);
          out.absorb("grouped", batch.rows - nulls.count());
        },
        finish(out) {
          out.create("groups", seen.size);
          out.send(Rows.fresh(seen.size).with(0, [...seen.keys()]).with("rows", [...seen.values()]));
        },
        save: () => save(seen),
        load: (state) => (seen = load(state)),
      };
    },
    { settings: { key: setting.text() }, example: { key: "sku" } },
  );

test("a transform keeps its state, as JSON or as bytes", () => {
  const table = "sku | price:Float64\n a | 1\n b | 2\n null | 3\n a | null\n a | 5";
  const asBytes = (seen) => new TextEncoder().encode(JSON.stringify([...seen]));
  const ofBytes = (bytes) => new Map(JSON.parse(new TextDecoder().decode(bytes)));
  for (const grouped of [counting((seen) => [...seen], (state) => new Map(state)), counting(asBytes, ofBytes)]) {
    const done = run(grouped, { key: "sku" }, table);
    done.expect("sku | rows:Int64\n a | 3\n b | 1");
    assert.deepEqual([done.dropped, done.absorbed, done.created], [{ "null in key": 1 }, { grouped: 4 }, { groups: 2 }]);
    example(grouped);
  }
  const lost = counting((seen) => ({ seen }), (state) => state.seen);
  assert.throws(() => run(lost, { key: "sku" }, table), { message: "`save` gives a Map as `seen`, which JSON cannot hold: spread it, `[...x]`" });
  assert.equal(String(problem(counting(), { key: "price" }, table)), "expected `price` to be text, found Float64");
  assert.equal(String(problem(counting(), { key: "sk" }, table)), "no column named `sk` (did you mean `sku`?)");
});

test("several inputs and outputs have names", () => {
  const merged = node(
    (_, inputs) => ({
      outputs: inputs.map((input) => input.schema),
      process: (batch, out, port) => out.send(Rows.all(batch), port),
      save: () => null,
      load() {},
    }),
    { inputs: ["left", "right"], outputs: ({ swap }) => (swap ? ["r", "l"] : ["l", "r"]), settings: { swap: setting.flag({ default: false }) } },
  );
  const done = run(merged, {}, { left: "a\n 1", right: "b:Int8\n 2\n 3" });
  done.expect("a\n 1");
  done.expect("b:Int8\n 2\n 3", 1);
});

test("the host is there", () => {
  const asks = node((_, [input]) => ({
    output: input.schema,
    map(batch, out) {
      log("info", "seen", { rows: batch.rows, key: secret("KEY"), none: secret("NONE"), now: now(), wanted: wanted().bytes });
      out.send(Rows.all(batch));
    },
  }));
  const done = run(asks, {}, "a\n x", { secrets: { KEY: "s" } });
  assert.deepEqual(done.log, ["info seen rows=1 key=s none=null now=1700000000000000000 wanted=4194304"]);
});

test("a wrong plan and a wrong description say what they lack", () => {
  const told = (plan) => String(problem(node(() => plan), {}, "a\n x"));
  assert.equal(told(undefined), "`plan` must answer an object");
  assert.equal(told({ output: total }), "`plan` must answer one of `row`, `map` and `process`, found 0");
  assert.equal(told({ map() {} }), "`plan` must answer `output`, a schema");
  assert.equal(told({ output: total, process() {} }), "`plan` answers `process`, so it must answer `save` and `load` too");
  assert.equal(told({ output: total, map() {}, read: [] }), "`plan` answers `read`, which nobody reads");
  assert.equal(told({ outputs: [total, total], map() {} }), "has 1 output ports, but 2 schemas");
  assert.throws(() => transform({ ...described }), /needs `plan`/);
  assert.throws(() => transform({ ...described, plan() {}, setings: {} }), /nothing is named `setings`; did you mean `settings`\?/);
  const bug = node(() => ({ output: total, map: () => undefined.x }));
  assert.throws(() => run(bug, {}, "a\n x"), TypeError);
  assert.throws(() => problem(node(() => null.x), {}, "a"), TypeError);
  assert(problem(node(() => { throw PluginError.world("down", { retry: true }); }), {}, "a").retry);
});

test("types come and go as they are", () => {
  const text = `a:Int8 | b:Boolean | c:Date | d:tsu:UTC | e:d:10,2 | f:Float32 | g:UInt64 | h:LargeUtf8 | i:Null
    -1 | true | 19000 | 1700000000000000 | -150 | 0.5 | 7 | é | null
    null | null | null | null | null | null | null | null | null`;
  run(node((_, [input]) => ({ output: input.schema, row: (row) => row })), {}, text).expect(text);
  const copy = (row) => ({ ...row, a: row.a === null ? 1 : null, b: false, c: row.c, d: row.d, e: 7, f: NaN, g: 1n, h: "€😀" });
  const done = run(node((_, [input]) => ({ output: input.schema, row: copy })), {}, text);
  assert.deepEqual(done.sent[0].rows[1], ["1", "false", null, null, "7", "NaN", "1", "€😀", null]);
  const nulls = node((_, [input]) => ({
    output: input.schema,
    map: (batch, out) => out.send(Rows.all(batch).with("a", Column.of(new Int32Array(batch.rows), Mask.from(batch.rows, () => true)))),
  }));
  run(nulls, {}, "a:Int32\n 1\n 2").expect("a:Int32\n null\n null");
});
