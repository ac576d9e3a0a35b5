// New columns: values become the buffers of an Arrow array.

import { PluginError, describe } from "./error.js";
import { Mask } from "./mask.js";
import { Type } from "./type.js";

const encoder = new TextEncoder();
const EMPTY = new Uint8Array();

/** A new column that is not just an array of values. */
export class Column {
  constructor(rows, make) {
    this.rows = rows;
    this.make = make;
  }
  /** Numbers in a typed array, which is sent without a copy; null in the rows of `nulls`. */
  static of(values, nulls) {
    return new Column(values.length, (field) => [typed(field, values, nulls)]);
  }
  /** Arrays in the format of the contract: for types without a builder of their own. */
  static raw(nodes) {
    return new Column(nodes[0].length, () => nodes);
  }
}

/** How many rows the values of a column are. */
export const rowsOf = (values) => (values instanceof Column ? values.rows : values.length);

/** The arrays of a column with these values: an array, a typed array, or a `Column`. */
export function encode(field, values) {
  if (values instanceof Column) return values.make(field);
  return [ArrayBuffer.isView(values) ? typed(field, values) : array(field, values)];
}

function typed(field, values, nulls) {
  const { name, type } = field;
  if (!type.array || !(values instanceof type.array)) {
    const expected = type.array ? `a ${type.array.name} or an array` : "an array";
    throw PluginError.bug(`column \`${name}\` is ${type}: expected ${expected}, found a ${values.constructor.name}`);
  }
  if (nulls && nulls.length !== values.length) {
    throw PluginError.bug(`column \`${name}\` has ${values.length} values, and a mask of nulls for ${nulls.length} rows`);
  }
  const count = nulls ? nulls.count() : 0;
  return node(field, values.length, count, count > 0 ? nulls.not().bits : EMPTY, [values]);
}

function node({ name, nullable }, length, nullCount, validity, rest) {
  if (nullCount > 0 && !nullable) throw PluginError.bug(`column \`${name}\` has ${nullCount} nulls, but the plan says that it has none`);
  return { length, nullCount, buffers: [validity, ...rest] };
}

/** An array of values and nulls. */
function array(field, values) {
  const rows = values.length;
  const nulls = Mask.none(rows);
  let nullCount = 0;
  const isNull = (value, row) => {
    if (value !== null && value !== undefined) return false;
    nulls.set(row);
    nullCount++;
    return true;
  };
  const rest = builder(field)(values, isNull, (row, what) => wrong(field, row, what, values[row]));
  if (field.type === Type.Null) return { length: rows, nullCount: rows, buffers: [] };
  return node(field, rows, nullCount, nullCount > 0 ? nulls.not().bits : EMPTY, rest);
}

function wrong({ name, type }, row, what, found) {
  return PluginError.bug(`column \`${name}\` is ${type}: expected ${what} in row ${row}, found ${describe(found)}`);
}

function builder({ name, type }) {
  if (type.array) return type.isFloat ? floats(type.array) : integers(type.array);
  if (type.isDecimal) return decimals;
  if (type.isText) return texts(type === Type.LargeUtf8);
  if (type === Type.Boolean) return bools;
  if (type === Type.Null) return (values, isNull, wrong) => values.forEach((v, row) => raise(!isNull(v, row) && wrong(row, "null")));
  throw PluginError.bug(`column \`${name}\` is ${type}, for which there is no builder: pass a column on, or use \`Column.raw\``);
}

function raise(error) {
  if (error) throw error;
}

const floats = (array) => (values, isNull, wrong) => {
  const numbers = new array(values.length);
  for (let row = 0; row < values.length; row++) {
    const value = values[row];
    if (typeof value === "number") numbers[row] = value;
    else if (!isNull(value, row)) throw wrong(row, "a number");
  }
  return [numbers];
};

const integers = (array) => (values, isNull, wrong) => {
  const numbers = new array(values.length);
  const wide = array.BYTES_PER_ELEMENT === 8;
  for (let row = 0; row < values.length; row++) {
    const value = values[row];
    if (isNull(value, row)) continue;
    const number = wide && Number.isSafeInteger(value) ? BigInt(value) : value;
    if (typeof number !== (wide ? "bigint" : "number")) throw wrong(row, wide ? "a BigInt or a whole number" : "a whole number");
    numbers[row] = number;
    // What does not fit, and what is not whole, comes back as another number.
    if (numbers[row] !== number) throw wrong(row, "a whole number in its range");
  }
  return [numbers];
};

function decimals(values, isNull, wrong) {
  const halves = new BigInt64Array(2 * values.length);
  for (let row = 0; row < values.length; row++) {
    const value = values[row];
    if (isNull(value, row)) continue;
    if (typeof value !== "bigint" && !Number.isSafeInteger(value)) throw wrong(row, "a BigInt or a whole number: the digits without the point");
    const number = BigInt(value);
    if (BigInt.asIntN(128, number) !== number) throw wrong(row, "at most 38 digits");
    halves[2 * row] = BigInt.asIntN(64, number);
    halves[2 * row + 1] = number >> 64n;
  }
  return [halves];
}

function bools(values, isNull, wrong) {
  const mask = Mask.none(values.length);
  for (let row = 0; row < values.length; row++) {
    const value = values[row];
    if (value === true) mask.set(row);
    else if (value !== false && !isNull(value, row)) throw wrong(row, "true or false");
  }
  return [mask.bits];
}

const texts = (wide) => (values, isNull, wrong) => {
  const rows = values.length;
  const offsets = new Int32Array(rows + 1);
  const parts = new Array(rows);
  let units = 0;
  for (let row = 0; row < rows; row++) {
    const value = values[row];
    if (typeof value === "string") {
      parts[row] = value;
      units += value.length;
    } else if (isNull(value, row)) parts[row] = "";
    else throw wrong(row, "a text");
    offsets[row + 1] = units;
  }
  // Encoded at once; one by one only where characters and bytes do not count alike.
  const bytes = encoder.encode(parts.join(""));
  const all = bytes.length === units ? bytes : oneByOne(parts, offsets, 3 * units);
  return [wide ? BigInt64Array.from(offsets, BigInt) : offsets, all];
};

/** Encodes texts one by one, and says in `offsets` where each ends. */
function oneByOne(parts, offsets, most) {
  const bytes = new Uint8Array(most);
  let at = 0;
  for (let row = 0; row < parts.length; row++) {
    at += encoder.encodeInto(parts[row], bytes.subarray(at)).written;
    offsets[row + 1] = at;
  }
  return bytes.slice(0, at);
}
