// Runs a node natively, in Node, on small tables, and tells what it did. A table is a line of columns (`price:Float64`; text where no
// type is said) and a line for each row, parted by `|`; `null` is null. Types are named as in messages, or in the notation of the Arrow C
// data interface: `at:tsu:UTC`. The row law is held in every run.

import assert from "node:assert/strict";
import { Batch } from "./batch.js";
import { encode } from "./encode.js";
import { PluginError } from "./error.js";
import { guest } from "./guest.js";
import { Schema, fromWire, toWire } from "./schema.js";
import { Type } from "./type.js";

/** A small table; values as text. */
export class Table {
  constructor(schema, rows) {
    this.schema = schema;
    this.rows = rows;
  }
  /** Reads a table. */
  static read(text) {
    const lines = text.split("\n").map((line) => line.trim()).filter((line) => line !== "");
    const cells = (line) => line.split("|").map((cell) => cell.trim());
    const fields = cells(lines.shift() ?? "").map((head) => {
      const [name, ...type] = head.split(":");
      return { name, type: type.length > 0 ? Type.named(type.join(":")) : Type.Utf8 };
    });
    const rows = lines.map((line) => {
      const row = cells(line);
      assert.equal(row.length, fields.length, `cells of the row ${line}`);
      return row.map((cell) => (cell === "null" ? null : cell));
    });
    // Through the types, so that `1.50` and `1.5` are one.
    const table = new Table(new Schema(fields), rows);
    const columns = fields.map((field, c) => decode(field, rows.length, table.column(c)));
    return new Table(table.schema, rows.map((_, r) => columns.map((column) => column[r])));
  }
  /** The arrays of a column. */
  column(c) {
    const field = this.schema.fields[c];
    return encode(field, this.rows.map((row) => (row[c] === null ? null : parse(field.type, row[c]))));
  }
  batch(reads) {
    const read = this.schema.fields.map((_, i) => i).filter((i) => !reads || reads.includes(i));
    return { rows: this.rows.length, nodes: read.flatMap((c) => this.column(c)).map(crossed) };
  }
  slice(from, to) {
    return new Table(this.schema, this.rows.slice(from, to));
  }
  /** The values of a column, null as `null`. */
  values(column) {
    const at = this.schema.position(column);
    assert(at >= 0, `no column \`${column}\``);
    return this.rows.map((row) => row[at] ?? "null");
  }
  toString() {
    const heads = this.schema.fields.map(({ name, type }) => `${name}:${type}`).join(" | ");
    return [heads, ...this.rows.map((row) => row.map((cell) => cell ?? "null").join(" | "))].join("\n");
  }
}

function parse(type, cell) {
  if (type.isText) return cell;
  if (type === Type.Boolean) return cell === "true" ? true : cell === "false" ? false : cell;
  if (type.isDecimal || type.array === BigInt64Array || type.array === BigUint64Array) return BigInt(cell);
  if (type.isFloat) return { NaN: NaN, inf: Infinity, "-inf": -Infinity }[cell] ?? number(cell);
  return number(cell);
}

function number(cell) {
  const value = Number(cell);
  assert(cell !== "" && !Number.isNaN(value), `\`${cell}\` is no number`);
  return value;
}

/** Buffers cross as bytes. */
function crossed(node) {
  const buffers = node.buffers.map((b) => new Uint8Array(b.buffer.slice(b.byteOffset, b.byteOffset + b.byteLength)));
  return { ...node, buffers };
}

function decode(field, rows, nodes) {
  const batch = new Batch(new Schema([field]), null, { rows, nodes: nodes.map(crossed) });
  const nulls = nodes.reduce((sum, node) => sum + node.nullCount, 0);
  assert.equal(batch.nulls(0).count(), nulls, `count of nulls in column \`${field.name}\``);
  return [...batch.column(0)].map((value) => (value === null ? null : text(value)));
}

const text = (value) => (value === Infinity ? "inf" : value === -Infinity ? "-inf" : String(value));

/** What a node did. */
export class Done {
  constructor(outputs) {
    this.sent = outputs.map((schema) => new Table(schema, []));
    this.rejected = [];
    this.log = [];
    this.received = 0;
    for (const counts of ["dropped", "absorbed", "created", "altered", "counters"]) this[counts] = {};
  }
  /** Exactly these rows were sent, on the first port or another. */
  expect(table, port = 0) {
    assert.equal(String(this.sent[port]), String(Table.read(table)));
  }
  law() {
    const sum = (counts) => Object.values(counts).reduce((all, n) => all + n, 0);
    const sent = this.sent.reduce((all, table) => all + table.rows.length, 0);
    const out = sent + sum(this.dropped) + this.rejected.length + sum(this.absorbed);
    assert.equal(out, this.received + sum(this.created), "rows sent + dropped + rejected + absorbed, and rows in + created");
  }
}

/** Stands in the place of the host. */
class Recorder {
  constructor(secrets) {
    this.secrets = secrets;
    this.begin([]);
  }
  begin(outputs) {
    this.done = new Done(outputs);
    this.batch = new Table(new Schema([]), []);
    this.pending = [];
  }
  count(what, reason, n) {
    this.done[what][reason] = (this.done[what][reason] ?? 0) + Number(n);
  }
  rowsOf(bits) {
    const rows = this.batch.rows.length;
    assert.equal(bits.length, (rows + 7) >> 3, `bytes of a bitmap for ${rows} rows`);
    return this.batch.rows.map((_, i) => i).filter((i) => (bits[i >> 3] >> (i & 7)) & 1);
  }
  /** The interfaces of the contract. What a call does counts once it has ended well. */
  imports() {
    const later = (act) => (...args) => void this.pending.push(() => act(...args));
    return {
      rows: {
        send: later((port, output) => this.send(port, output)),
        dropRows: later((bits, reason) => this.count("dropped", reason, this.rowsOf(bits).length)),
        dropKept: later((n, reason) => this.count("dropped", reason, n)),
        rejectRows: later((code, rows) => {
          for (const [row, message] of rows) {
            const raw = this.batch.rows[row].map((cell) => cell ?? "null").join(" | ");
            this.done.rejected.push({ code, message: String(message), raw });
          }
        }),
        rejectRaw: later((code, message, raw) => this.done.rejected.push({ code, message, raw })),
        absorb: later((reason, n) => this.count("absorbed", reason, n)),
        create: later((reason, n) => this.count("created", reason, n)),
        altered: later((bits, what) => this.count("altered", what, this.rowsOf(bits).length)),
      },
      logging: {
        enabled: () => true,
        log: (level, message, fields) => {
          this.done.log.push([level, message, ...fields.map(([name, value]) => `${name}=${value}`)].join(" "));
        },
      },
      counters: { add: later((name, n) => this.count("counters", name, n)) },
      // A time of its own: tests do not depend on the day.
      clock: { now: () => 1_700_000_000_000_000_000n },
      secrets: { get: (name) => this.secrets[name] },
      batches: { wanted: () => ({ rows: 8192, bytes: 4n << 20n }) },
    };
  }
  send(port, { rows, rowsFrom, columns }) {
    const all = this.batch.rows.map((_, i) => i);
    const take = (bytes) => [...new Uint32Array(crossed({ buffers: [bytes] }).buffers[0].buffer)];
    const numbers = { same: () => all, filter: (bits) => this.rowsOf(bits), take, fresh: () => [] };
    const from = numbers[rowsFrom.tag](rowsFrom.val);
    if (rowsFrom.tag !== "fresh") assert.equal(from.length, rows, "rows announced, and rows chosen");
    const table = this.done.sent[port];
    const values = table.schema.fields.map((field, c) => {
      const { tag, val } = columns[c];
      const found = tag === "input" ? this.passed(field, val, from) : decode(field, rows, val);
      assert(field.nullable || found.every((cell) => cell !== null), `null in column \`${field.name}\``);
      return found;
    });
    for (let row = 0; row < rows; row++) table.rows.push(values.map((column) => column[row]));
  }
  passed(field, column, from) {
    const came = this.batch.schema.fields[column];
    assert.equal(String(came.type), String(field.type), `type of column \`${field.name}\`, passed on from \`${came.name}\``);
    return from.map((row) => this.batch.rows[row][column]);
  }
  /** One call. */
  call(batch, work) {
    this.batch = batch;
    this.done.received += batch.rows.length;
    const value = told(work);
    this.pending.forEach((act) => act());
    this.pending = [];
    return value;
  }
}

/** An exception of the node's own code is the test's: with its whole stack. Others are as the host gets them. */
function told(work) {
  try {
    return work();
  } catch (wire) {
    throw wire.cause ?? wire;
  }
}

const NOTHING = new Table(new Schema([]), []);
const TASK = { graph: "test", node: "node", run: "run", instance: 0, instances: 1 };

const tables = (given) => Object.entries(typeof given === "string" ? { in: given } : given).map(([name, text]) => [name, Table.read(text)]);
const ports = (inputs) => inputs.map(([name, table]) => ({ name, schema: toWire(table.schema) }));

function once(node, config, inputs, size, secrets) {
  const host = new Recorder(secrets);
  const start = () => {
    const { transformNode } = guest(node, host.imports(), "0.0.0");
    const plan = told(() => transformNode.outputSchema(config, ports(inputs)));
    told(() => transformNode.open(config, ports(inputs), TASK));
    return [transformNode, plan];
  };
  let [instance, plan] = start();
  host.begin(plan.outputs.map(fromWire));
  inputs.forEach(([, table], port) => {
    for (let from = 0; from < table.rows.length; from += size) {
      const batch = table.slice(from, from + size);
      host.call(batch, () => instance.process(port, batch.batch(plan.reads[port])));
      if (!plan.stateful) continue;
      // The host may replace an instance between any two batches.
      const state = told(() => instance.save());
      [instance] = start();
      told(() => instance.load(state));
    }
  });
  while (plan.stateful && host.call(NOTHING, () => instance.finish()));
  host.done.law();
  return host.done;
}

/**
 * Runs a node on a table, or on one for each input: `{ left: "…", right: "…" }`. Whole, row by row and by threes; all must agree. The
 * state is saved and loaded after every batch. `secrets`: those that are granted.
 */
export function run(node, config, given, { secrets = {} } = {}) {
  const [text, inputs] = [JSON.stringify(config), tables(given)];
  const whole = once(node, text, inputs, Infinity, secrets);
  for (const size of [1, 3]) {
    const parts = once(node, text, inputs, size, secrets);
    const told = (done) => ({
      sent: done.sent.map(String),
      dropped: done.dropped,
      rejected: done.rejected.map((r) => JSON.stringify(r)).sort(),
      altered: done.altered,
    });
    assert.deepEqual(told(parts), told(whole), `in batches of ${size}, and in one batch`);
  }
  return whole;
}

/** What is wrong with a config before these tables: a `PluginError`. Fails where nothing is. */
export function problem(node, config, given) {
  const { transformNode } = guest(node, new Recorder({}).imports(), "0.0.0");
  const inputs = ports(tables(given));
  try {
    transformNode.outputSchema(typeof config === "string" ? config : JSON.stringify(config), inputs);
  } catch ({ cause }) {
    if (cause instanceof PluginError) return cause;
    throw cause;
  }
  assert.fail(`nothing is wrong with ${JSON.stringify(config)}`);
}

/** That the example of a node is a config of it. */
export function example(node) {
  const { about, transformNode } = guest(node, new Recorder({}).imports(), "0.0.0");
  told(() => transformNode.describe(about.about().example));
}
