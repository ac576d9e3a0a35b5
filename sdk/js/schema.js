// Schemas: columns by name and type, and how they stand in the contract.

import { PluginError, list, nearest } from "./error.js";
import { Type } from "./type.js";

/** Types nested deeper than this are refused. */
const DEPTH = 64;

/** The columns of a port. It never changes: `with` and `without` make another. */
export class Schema {
  /** @param fields `{ name, type, nullable, children }` each, in their order */
  constructor(fields) {
    this.fields = Object.freeze(fields.map((f) => Object.freeze({ nullable: true, children: [], ...f })));
    this.positions = new Map(this.fields.map((f, i) => [f.name, i]));
  }
  /** Columns by name: `Schema.of({ sku: Type.Utf8, units: Type.Int64 })`. */
  static of(types) {
    return new Schema(Object.entries(types).map(([name, type]) => ({ name, type })));
  }
  /** The number of a column, or -1. */
  position(name) {
    return this.positions.get(name) ?? -1;
  }
  /** The number of the column that the setting `at` names; an error that tells the nearest ones otherwise. */
  column(name, at) {
    const found = this.position(name);
    if (found >= 0) return found;
    const names = this.fields.map((f) => f.name);
    const near = nearest(String(name), names);
    const others = names.length === 0 ? "there are no columns" : `there are ${list(names)}`;
    throw PluginError.graph(`no column named \`${name}\``, { help: near ? `did you mean \`${near}\`?` : others, at });
  }
  /** As `column`, for a column of some types: `what` says them in words; `fits` is a type, or a function of a type. */
  columnOfType(name, at, what, fits) {
    const column = this.column(name, at);
    const { type } = this.fields[column];
    if (fits instanceof Type ? type === fits : fits(type)) return column;
    throw PluginError.graph(`expected \`${name}\` to be ${what}, found ${type}`, { at });
  }
  /** With a column set: in the place of the one of that name, or as the last one. */
  with(name, type, { nullable = true } = {}) {
    const fields = [...this.fields];
    const at = this.position(name);
    fields[at < 0 ? fields.length : at] = { name, type, nullable };
    return new Schema(fields);
  }
  /** Without a column. */
  without(name) {
    return new Schema(this.fields.filter((f) => f.name !== name));
  }
  /** A column by name or number. */
  numberOf(column) {
    const found = typeof column === "number" ? column : this.position(column);
    if (this.fields[found] !== undefined) return found;
    const asked = typeof column === "number" ? `column ${column}, there are ${this.fields.length}` : `column \`${column}\`, there is none`;
    throw PluginError.bug(`asked for ${asked}`);
  }
}

/** How many arrays a column is made of: itself and all below it. */
export const nodesOf = (field) => field.children.reduce((sum, child) => sum + nodesOf(child), 1);

/** From the contract's flat list. */
export function fromWire(schema) {
  const rest = schema.fields[Symbol.iterator]();
  const pull = (field, depth) => {
    if (depth === 0) throw PluginError.graph(`column \`${field.name}\` is nested deeper than ${DEPTH}`);
    const children = [];
    for (let i = 0; i < field.children; i++) {
      const next = rest.next();
      if (next.done) throw PluginError.bug(`the schema ends before all parts of column \`${field.name}\``);
      children.push(pull(next.value, depth - 1));
    }
    return { name: field.name, type: Type.from(field.format), nullable: field.nullable, children };
  };
  const fields = [];
  for (let next = rest.next(); !next.done; next = rest.next()) fields.push(pull(next.value, DEPTH));
  return new Schema(fields);
}

/** The contract's flat list. */
export function toWire(schema) {
  const fields = [];
  const push = ({ name, type, nullable, children }) => {
    fields.push({ name, format: type.format, nullable, children: children.length });
    children.forEach(push);
  };
  schema.fields.forEach(push);
  return { fields };
}
