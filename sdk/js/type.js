// Types of columns, named as in messages and in the notation of the Arrow C data interface.

const PLAIN = {
  Null: "n",
  Boolean: "b",
  Int8: "c",
  Int16: "s",
  Int32: "i",
  Int64: "l",
  UInt8: "C",
  UInt16: "S",
  UInt32: "I",
  UInt64: "L",
  Float32: "f",
  Float64: "g",
  Utf8: "u",
  LargeUtf8: "U",
  Date: "tdD",
};
const UNITS = { Second: "tss:", Milli: "tsm:", Micro: "tsu:", Nano: "tsn:" };
const INTEGERS = "csilCSIL";

/** How values of a fixed width stand in a buffer. */
const ARRAYS = {
  c: Int8Array,
  s: Int16Array,
  i: Int32Array,
  l: BigInt64Array,
  C: Uint8Array,
  S: Uint16Array,
  I: Uint32Array,
  L: BigUint64Array,
  f: Float32Array,
  g: Float64Array,
  tdD: Int32Array,
};

const known = new Map();

/** The type of a column. Two types are the same when they are the same object. */
export class Type {
  constructor(format, name) {
    this.format = format;
    this.name = name;
    this.isText = format === "u" || format === "U";
    this.isInteger = format.length === 1 && INTEGERS.includes(format);
    this.isFloat = format === "f" || format === "g";
    this.isTimestamp = Object.values(UNITS).some((prefix) => format.startsWith(prefix));
    this.isDecimal = name.startsWith("Decimal(");
    /** The typed array of its values; none where values have no fixed width that JavaScript knows. */
    this.array = this.isTimestamp ? BigInt64Array : ARRAYS[format];
    Object.freeze(this);
  }
  toString() {
    return this.name;
  }
  /** The type for a format of the Arrow C data interface. */
  static from(format) {
    const decimal = /^d:(\d+),(-?\d+)(?:,128)?$/.exec(format);
    const short = decimal ? `d:${decimal[1]},${decimal[2]}` : format;
    let type = known.get(short);
    if (!type) known.set(short, (type = new Type(short, nameOf(short, decimal))));
    return type;
  }
  /** The type of a name as messages have it, `Int64`, or of a format, `tsu:UTC`. */
  static named(name) {
    return Object.hasOwn(PLAIN, name) ? Type.from(PLAIN[name]) : Type.from(name);
  }
  /** Since 1970 in a unit; with a time zone it is UTC, without one it is what a clock on the wall shows. */
  static Timestamp(unit, zone = "") {
    if (!Object.hasOwn(UNITS, unit)) throw new TypeError(`expected one of ${Object.keys(UNITS).join(", ")}, found ${unit}`);
    return Type.from(UNITS[unit] + zone);
  }
  /** A whole number of 128 bits: 1.50 at scale 2 is 150. */
  static Decimal(precision, scale) {
    return Type.from(`d:${precision},${scale}`);
  }
}

function nameOf(format, decimal) {
  if (decimal) return `Decimal(${decimal[1]}, ${decimal[2]})`;
  for (const [unit, prefix] of Object.entries(UNITS)) {
    if (format.startsWith(prefix)) {
      const zone = format.slice(prefix.length);
      return zone ? `Timestamp(${unit}, ${zone})` : `Timestamp(${unit})`;
    }
  }
  return Object.keys(PLAIN).find((name) => PLAIN[name] === format) ?? format;
}

for (const name of Object.keys(PLAIN)) Type[name] = Type.from(PLAIN[name]);
