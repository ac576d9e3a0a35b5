// The parts that have no node: settings, types, buffers, errors.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Batch } from "../batch.js";
import { encode } from "../encode.js";
import { toWire as errorToWire } from "../error.js";
import { Mask, Schema, Type, setting } from "../index.js";
import { fromWire, toWire } from "../schema.js";
import { readSettings } from "../settings.js";

test("errors of settings say where and what", () => {
  const settings = {
    column: setting.text(),
    length: setting.whole({ default: 14, min: 1 }),
    on_error: setting.choice(["keep", "reject"], { optional: true }),
    part: setting.object({ deep: setting.flag() }, { optional: true }),
    sizes: setting.list(setting.object({ from: setting.number() }), { default: [] }),
    names: setting.map(setting.text(), { optional: true }),
  };
  const told = (config) => {
    try {
      return JSON.stringify(readSettings(settings, config));
    } catch (e) {
      return `${e.at}: ${e}`;
    }
  };
  for (const [config, expected] of [
    ['{"column": "a", "length": null}', '{"column":"a","length":14,"sizes":[]}'],
    ["{}", "column: needs `column`: a text"],
    ["", "column: needs `column`: a text"],
    ["[]", ": expected an object, found a list"],
    ['{"colunm": "a"}', "colunm: no setting named `colunm` (did you mean `column`?)"],
    ['{"column": "a", "zzz": 1}', "zzz: no setting named `zzz` (there are `column`, `length`, `on_error`, `part`, `sizes`, `names`)"],
    ['{"column": 7}', "column: expected a text, found 7"],
    ['{"column": "a", "length": 1.5}', "length: expected a whole number from 1, found 1.5"],
    ['{"column": "a", "on_error": "rejct"}', "on_error: expected `keep`, `reject`, found `rejct` (did you mean `reject`?)"],
    ['{"column": "a", "part": {"depp": true}}', "part.depp: no setting named `depp` (did you mean `deep`?)"],
    ['{"column": "a", "sizes": [{"from": 1}, {"from": "x"}]}', 'sizes.1.from: expected a number, found the text "x"'],
    ['{"column": "a", "names": {"b": 3}}', "names.b: expected a text, found 3"],
  ]) {
    assert.equal(told(config), expected, config);
  }
  assert.match(told("{"), /^undefined: the config is no JSON: /);
});

test("types keep their format", () => {
  for (const format of ["n", "b", "l", "g", "u", "tdD", "tsu:UTC", "tsn:", "d:19,10", "d:5,-2", "+l", "z", "d:x", "d:38,10,256"]) {
    assert.equal(Type.from(format).format, format);
  }
  assert.equal(Type.from("d:19,10,128"), Type.Decimal(19, 10));
  assert.equal(Type.Timestamp("Micro", "UTC"), Type.from("tsu:UTC"));
  assert.deepEqual(["d:19,10", "tsm:", "tsn:UTC", "l", "+s"].map((f) => String(Type.from(f))), [
    "Decimal(19, 10)", "Timestamp(Milli)", "Timestamp(Nano, UTC)", "Int64", "+s",
  ]);
});

test("nested columns cross, and a schema that lies is refused", () => {
  const item = { name: "item", type: Type.Int64, nullable: true, children: [] };
  const schema = new Schema([{ name: "list", type: Type.from("+l"), children: [item] }, { name: "a", type: Type.Utf8, nullable: false }]);
  assert.deepEqual(fromWire(toWire(schema)), schema);
  const field = (children) => ({ name: "x", format: "+s", nullable: true, children });
  assert.throws(() => fromWire({ fields: [field(2), field(0)] }), { message: "the schema ends before all parts of column `x`" });
  assert.throws(() => fromWire({ fields: Array(1000).fill(field(1)) }), { message: "column `x` is nested deeper than 64" });
});

const batch = (type, rows, buffers) => new Batch(Schema.of({ a: type }), null, { rows, nodes: [{ length: rows, nullCount: 0, buffers }] });
const bytes = (array) => new Uint8Array(array.buffer, array.byteOffset, array.byteLength);

test("numbers come without a copy where they are aligned", () => {
  const values = Float64Array.of(1, -2, 3);
  assert.equal(batch(Type.Float64, 3, [new Uint8Array(), bytes(values)]).column(0).values.buffer, values.buffer);
  const shifted = new Uint8Array(25);
  shifted.set(bytes(values), 1);
  assert.deepEqual(batch(Type.Float64, 3, [new Uint8Array(), shifted.subarray(1)]).column(0).values, values);
});

test("what the host gets wrong is an error", () => {
  const wrong = (type, rows, buffers) => () => [...batch(type, rows, buffers).column(0)];
  const none = new Uint8Array();
  for (const [work, message] of [
    [wrong(Type.Int64, 9, [none, new Uint8Array(71)]), "column `a` is Int64, its values are too short"],
    [wrong(Type.Boolean, 9, [new Uint8Array(1), new Uint8Array(2)]), "column `a` is Boolean, its validity buffer is too short"],
    [wrong(Type.Utf8, 2, [none, bytes(Int32Array.of(0, 1)), none]), "column `a` is Utf8, its values are too short"],
    [wrong(Type.Utf8, 1, [none, bytes(Int32Array.of(0, 9)), none]), "column `a` is Utf8, with offsets outside of its text"],
    [wrong(Type.from("+l"), 0, [none, none]), "column `a` is +l, which has no view: take it as it is with `nodes`, or pass it on"],
  ]) {
    assert.throws(work, { message });
  }
  assert.deepEqual(wrong(Type.Utf8, 0, [none, none, none])(), []);
});

test("text is what Arrow says, byte order marks and lone surrogates included", () => {
  const round = (values) => {
    const field = { name: "a", type: Type.Utf8, nullable: true };
    return [...batch(Type.Utf8, values.length, encode(field, values)[0].buffers.map(bytes)).column(0)];
  };
  for (const values of [["né", null, "x"], ["\ufeffa", "\ufeff"], ["plain", ""], ["😀", "€"]]) assert.deepEqual(round(values), values);
  assert.deepEqual(round(["\ud83d", "\ude00"]), ["\ufffd", "\ufffd"]);
  const [node] = encode({ name: "a", type: Type.Utf8, nullable: true }, ["né", null, "x"]);
  assert.deepEqual([node.nullCount, ...node.buffers.slice(0, 2)], [1, Uint8Array.of(0b101), Int32Array.of(0, 3, 3, 4)]);
});

test("masks know their rows", () => {
  const mask = Mask.from(10, (row) => row > 7);
  mask.set(100);
  assert.deepEqual([mask.count(), mask.not().count(), mask.get(100), [...mask.rows()]], [2, 8, false, [8, 9]]);
});

test("any exception has words and a place", () => {
  const wire = (thrown) => {
    try {
      thrown();
    } catch (e) {
      return errorToWire(e, "process");
    }
  };
  const error = wire(function inner() {
    undefined.price;
  });
  assert.deepEqual([error.fault, error.retry, error.at], ["bug", false, undefined]);
  assert.match(error.message, /^the plugin failed in `process`: TypeError: .*price/);
  assert.match(error.help, /^in the plugin: inner \(\/.*parts\.test\.js:\d+:\d+\) ← wire \(/);
  assert.equal(wire(() => { throw "x"; }).message, 'the plugin failed in `process`: threw the text "x"');
  const spider = Object.assign(new Error("x"), { stack: "inner@my/node.js:3:4\n@my/other.js:1:2\nmap@my/selvedge/js/guest.js:5:6\n" });
  assert.equal(errorToWire(spider, "open").help, "in the plugin: inner (my/node.js:3:4) ← a function (my/other.js:1:2)");
});
