// A batch as it arrives: typed columns, numbers without a copy, text decoded when it is asked for.

import { PluginError } from "./error.js";
import { Mask } from "./mask.js";
import { nodesOf } from "./schema.js";
import { Type } from "./type.js";

// A byte order mark belongs to the text.
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/** Rows that arrived at a port. Only the columns that the plan reads are there. */
export class Batch {
  /** Takes a batch of the contract apart. `reads`: the columns that were sent, ascending; none: all of them. */
  constructor(schema, reads, { rows, nodes }) {
    this.rows = rows;
    this.schema = schema;
    this.all = nodes;
    this.starts = [];
    this.columns = [];
    let next = 0;
    schema.fields.forEach((field, i) => {
      const sent = !reads || reads.includes(i);
      this.starts.push(sent ? next : -1);
      next += sent ? nodesOf(field) : 0;
    });
    if (next !== nodes.length) throw PluginError.bug(`expected ${next} arrays of the batch, found ${nodes.length}`);
  }
  /** The arrays of a column, itself and all below it: for types without a view of their own. */
  nodes(column) {
    const i = this.schema.numberOf(column);
    const field = this.schema.fields[i];
    if (this.starts[i] < 0) throw PluginError.bug(`the plan does not read column \`${field.name}\``);
    return this.all.slice(this.starts[i], this.starts[i] + nodesOf(field));
  }
  /** The values of a column, by its name or number. */
  column(column) {
    const i = this.schema.numberOf(column);
    return (this.columns[i] ??= view(this.schema.fields[i], this.nodes(i)[0], this.rows));
  }
  /** Where a column is null: of any type. */
  nulls(column) {
    const i = this.schema.numberOf(column);
    const { type, name } = this.schema.fields[i];
    if (type === Type.Null) return Mask.from(this.rows, () => true);
    const bits = this.nodes(i)[0].buffers[0];
    if (bits.length === 0) return Mask.none(this.rows);
    if (bits.length < (this.rows + 7) >> 3) throw PluginError.bug(`column \`${name}\` is ${type}, its validity buffer is too short`);
    return new Mask(bits.subarray(0, (this.rows + 7) >> 3), this.rows).not();
  }
}

const bit = (bits, row) => ((bits[row >> 3] >> (row & 7)) & 1) === 1;

// Without a just-in-time compiler, as in a component, a loop by index takes a tenth of the time of `for … of`, and a call more is felt.

/** The values of a column. What they are by its type: `docs/plugins-js.md`. */
class View {
  constructor(length, validity, nullCount) {
    this.length = length;
    this.validity = validity;
    this.nullCount = nullCount;
  }
  isNull(row) {
    return this.validity !== null && !bit(this.validity, row);
  }
  /** All values, in order: quicker than one by one. */
  toArray() {
    const all = new Array(this.length);
    for (let row = 0; row < all.length; row++) all[row] = this.get(row);
    return all;
  }
  [Symbol.iterator]() {
    return this.toArray()[Symbol.iterator]();
  }
}

/** Numbers of a fixed width. `values` holds all of them at once; where a row is null, any number. */
class Values extends View {
  constructor(length, validity, nullCount, values) {
    super(length, validity, nullCount);
    this.values = values;
  }
  /** The value of a row; null where it is null, or where there is no such row. */
  get(row) {
    const { validity } = this;
    return validity !== null && ((validity[row >> 3] >> (row & 7)) & 1) === 0 ? null : (this.values[row] ?? null);
  }
  toArray() {
    return this.validity === null ? Array.from(this.values) : super.toArray();
  }
}

class Bools extends View {
  constructor(length, validity, nullCount, bits) {
    super(length, validity, nullCount);
    this.bits = bits;
  }
  get(row) {
    return this.isNull(row) || !(row >= 0 && row < this.length) ? null : bit(this.bits, row);
  }
}

class Decimals extends View {
  constructor(length, validity, nullCount, halves) {
    super(length, validity, nullCount);
    this.halves = halves;
  }
  get(row) {
    if (this.isNull(row) || !(row >= 0 && row < this.length)) return null;
    return (this.halves[2 * row + 1] << 64n) | BigInt.asUintN(64, this.halves[2 * row]);
  }
}

class Texts extends View {
  constructor(length, validity, nullCount, offsets, bytes) {
    super(length, validity, nullCount);
    this.offsets = offsets;
    this.bytes = bytes;
  }
  get(row) {
    const { validity, offsets } = this;
    if (validity !== null && ((validity[row >> 3] >> (row & 7)) & 1) === 0) return null;
    const to = offsets[row + 1];
    return to === undefined || row < 0 ? null : decoder.decode(this.bytes.subarray(offsets[row], to));
  }
}

class Nulls extends View {
  get() {
    return null;
  }
  isNull() {
    return true;
  }
}

function view({ name, type }, node, rows) {
  const wrong = (what) => PluginError.bug(`column \`${name}\` is ${type}, ${what}`);
  if (!node || node.length !== rows) throw wrong(`of ${node?.length ?? "no"} rows in a batch of ${rows}`);
  if (type === Type.Null) return new Nulls(rows, null, rows);
  const [bits, second, third] = node.buffers;
  if (!bits || (bits.length > 0 && bits.length < (rows + 7) >> 3)) throw wrong("its validity buffer is too short");
  const validity = bits.length === 0 ? null : bits;
  const numbers = (array, count) => {
    const size = count * array.BYTES_PER_ELEMENT;
    if (!second || second.length < size) throw wrong("its values are too short");
    const aligned = second.byteOffset % array.BYTES_PER_ELEMENT === 0 ? second : second.slice();
    return new array(aligned.buffer, aligned.byteOffset, count);
  };
  if (type.array) return new Values(rows, validity, node.nullCount, numbers(type.array, rows));
  if (type === Type.Boolean) {
    if (!second || second.length < (rows + 7) >> 3) throw wrong("its values are too short");
    return new Bools(rows, validity, node.nullCount, second);
  }
  if (type.isDecimal) return new Decimals(rows, validity, node.nullCount, numbers(BigInt64Array, 2 * rows));
  if (!type.isText) throw wrong("which has no view: take it as it is with `nodes`, or pass it on");
  // Arrow allows an array of no rows to have no offsets.
  if (rows === 0) return new Texts(0, validity, 0, [0], new Uint8Array());
  if (!third) throw wrong("a buffer is missing");
  const wide = type === Type.LargeUtf8;
  const offsets = wide ? Array.from(numbers(BigInt64Array, rows + 1), Number) : numbers(Int32Array, rows + 1);
  // The host has checked that they ascend, and that the bytes are UTF-8.
  if (!(offsets[0] >= 0 && offsets[rows] <= third.length)) throw wrong("with offsets outside of its text");
  return new Texts(rows, validity, node.nullCount, offsets, third);
}
