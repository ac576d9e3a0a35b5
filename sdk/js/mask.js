// Sets of a batch's rows, as Arrow bitmaps.

/** How many bits of a byte are set. */
const ONES = Uint8Array.from({ length: 256 }, (_, byte) => byte.toString(2).replaceAll("0", "").length);

/** A set of rows: a bit for each of them. */
export class Mask {
  constructor(bits, length) {
    this.bits = bits;
    this.length = length;
  }
  /** None of the rows. */
  static none(rows) {
    return new Mask(new Uint8Array((rows + 7) >> 3), rows);
  }
  /** The rows for which `inside(row)` is true. */
  static from(rows, inside) {
    const mask = Mask.none(rows);
    for (let row = 0; row < rows; row++) if (inside(row)) mask.bits[row >> 3] |= 1 << (row & 7);
    return mask;
  }
  /** Adds a row; nothing happens where there is no such row. */
  set(row) {
    if (row >= 0 && row < this.length) this.bits[row >> 3] |= 1 << (row & 7);
  }
  /** Whether a row is in it. */
  get(row) {
    return row >= 0 && row < this.length && ((this.bits[row >> 3] >> (row & 7)) & 1) === 1;
  }
  /** How many rows are in it. */
  count() {
    const { bits } = this;
    let count = 0;
    for (let i = 0; i < bits.length; i++) count += ONES[bits[i]];
    return count;
  }
  /** The other rows. */
  not() {
    const bits = new Uint8Array(this.bits.length);
    for (let i = 0; i < bits.length; i++) bits[i] = ~this.bits[i];
    // What is behind the last row stays 0, so that counting is counting bits.
    if (this.length & 7) bits[bits.length - 1] &= (1 << (this.length & 7)) - 1;
    return new Mask(bits, this.length);
  }
  /** The rows in it, ascending. */
  rows() {
    const rows = [];
    for (let row = 0; row < this.length; row++) if (this.get(row)) rows.push(row);
    return rows;
  }
}
