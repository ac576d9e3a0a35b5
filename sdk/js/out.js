// The ways out of a node. Whatever a node does with a row, it says it here.

import { encode, rowsOf } from "./encode.js";
import { PluginError } from "./error.js";
import { host } from "./host.js";

/**
 * Rows to be sent: which rows of the batch they are, and which of their columns are new. Every other column of the output is the
 * column of the same name as it came; the host puts it there.
 */
export class Rows {
  constructor(from, of, count) {
    this.from = from;
    /** Rows of the batch that `from` was made for; null: none. */
    this.of = of;
    this.count = count;
    this.columns = [];
  }
  /** All rows of the batch in their order. */
  static all(batch) {
    return new Rows({ tag: "same" }, batch.rows, batch.rows);
  }
  /** The rows in the mask. */
  static filter(mask) {
    return new Rows({ tag: "filter", val: mask.bits }, mask.length, mask.count());
  }
  /** Rows by number: to filter, reorder or repeat. */
  static take(batch, rows) {
    const numbers = Uint32Array.from(rows);
    numbers.forEach((row, i) => {
      if (row !== rows[i] || row >= batch.rows) throw PluginError.bug(`takes row ${rows[i]} of a batch of ${batch.rows}`);
    });
    return new Rows({ tag: "take", val: new Uint8Array(numbers.buffer) }, batch.rows, numbers.length);
  }
  /** Rows of their own: every column is new. */
  static fresh(count) {
    return new Rows({ tag: "fresh" }, null, count);
  }
  /** Sets a column of the output, by name or number: an array of values and nulls, a typed array, or a `Column`. */
  with(column, values) {
    this.columns.push({ column, values });
    return this;
  }
  /** Sets a column of the output to one of the batch that has another name. */
  pass(column, from) {
    this.columns.push({ column, from });
    return this;
  }
}

/** Where a node's rows go. Row numbers count in the batch in process. */
export class Out {
  /** @param outputs schemas of the output ports; @param input schema of the port of the batch in process, and its rows */
  constructor(outputs, input = null, rows = 0) {
    this.outputs = outputs;
    this.input = input;
    this.rows = rows;
  }
  /** Sends rows on, once the call in process has ended well. No rows are not sent. */
  send(rows, port = 0) {
    const schema = this.outputs[port];
    if (!schema) throw PluginError.bug(`sends to port ${port}, there are ${this.outputs.length}`);
    if (!(rows instanceof Rows)) throw PluginError.bug("sends what are no `Rows`");
    const of = this.input ? this.rows : null;
    if (rows.of !== null && rows.of !== of) {
      const found = of === null ? "there is no batch" : `the batch has ${of}`;
      throw PluginError.bug(`sends rows of a batch of ${rows.of}, ${found}`);
    }
    const columns = new Array(schema.fields.length);
    for (const { column, values, from } of rows.columns) {
      const at = typeof column === "number" ? column : schema.position(column);
      const field = schema.fields[at];
      const which = typeof column === "number" ? column : `\`${column}\``;
      if (!field) throw PluginError.bug(`the output has no column ${which}`);
      if (from !== undefined) {
        if (!this.input || rows.of === null) throw PluginError.bug(`passes column ${which} on, but there is no batch`);
        columns[at] = { tag: "input", val: this.input.numberOf(from) };
        continue;
      }
      const found = rowsOf(values);
      if (found !== rows.count) throw PluginError.bug(`sends ${found} values in column ${which} with ${rows.count} rows`);
      columns[at] = { tag: "data", val: encode(field, values) };
    }
    schema.fields.forEach((field, i) => {
      if (columns[i]) return;
      const passed = rows.of === null ? -1 : this.input.position(field.name);
      if (passed < 0) throw PluginError.bug(`sends nothing in column \`${field.name}\`, which no input has`);
      columns[i] = { tag: "input", val: passed };
    });
    if (rows.count > 0) host().rows.send(port, { rows: rows.count, rowsFrom: rows.from, columns });
  }
  /** The rows in the mask end here. Reasons are few and stable: `null in sku`. */
  dropRows(reason, mask) {
    if (mask.count() > 0) host().rows.dropRows(mask.bits, reason);
  }
  /** Rows of earlier batches end here, some of them as JSON. */
  dropKept(reason, count, samples = []) {
    if (count > 0) host().rows.dropKept(BigInt(count), reason, samples);
  }
  /** These rows go to `errors`, each with its own story: `[row, message]`. Codes are few and stable: `upc.check_digit`. */
  rejectRows(code, rows) {
    if (rows.length > 0) host().rows.rejectRows(code, rows);
  }
  /** A row of an earlier batch, or what never became a row, goes to `errors`: as JSON, or as it stood in its source. */
  rejectRaw(code, message, raw) {
    host().rows.rejectRaw(code, message, raw);
  }
  /** Rows that became part of something else: `grouped`. */
  absorb(reason, rows) {
    if (rows > 0) host().rows.absorb(reason, BigInt(rows));
  }
  /** Rows that did not come in but go out: `groups`. */
  create(reason, rows) {
    if (rows > 0) host().rows.create(reason, BigInt(rows));
  }
  /** Rows that go on, but not as they came: a value that could not be read became null. */
  altered(what, mask) {
    if (mask.count() > 0) host().rows.altered(mask.bits, what);
  }
}
