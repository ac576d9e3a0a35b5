// Types of the SDK, for TypeScript and editors.

/** What the host grants, and why it is wished for. */
export interface Wish {
  capability: ["files" | "network" | "environment" | "secret", string];
  reason: string;
  /** Whether the plugin is useless without. */
  needed?: boolean;
}

/** Values of a column: numbers as they are; 64 bits, timestamps and decimals (the digits without the point) as BigInt; dates as days. */
export type Value = number | bigint | string | boolean | null;
export type Row = Record<string, any>;
/** By name or number. */
export type ColumnRef = string | number;

export interface More {
  /** What to do about it. */
  help?: string;
  /** The setting at fault, as a path in the config: `sizes.0.from`. */
  at?: string;
  /** A later try may not meet it. */
  retry?: boolean;
}

export class PluginError extends Error {
  fault: "graph" | "data" | "world" | "bug";
  help?: string;
  at?: string;
  retry: boolean;
  constructor(fault: PluginError["fault"], message: string, more?: More);
  /** The graph asks for what cannot be done. */
  static graph(message: string, more?: More): PluginError;
  /** A row is not what it should be. */
  static data(message: string, more?: More): PluginError;
  /** Another system. */
  static world(message: string, more?: More): PluginError;
  /** The plugin itself is wrong. */
  static bug(message: string, more?: More): PluginError;
}

export class Type {
  private constructor();
  /** As in the Arrow C data interface. */
  readonly format: string;
  readonly name: string;
  readonly isText: boolean;
  readonly isInteger: boolean;
  readonly isFloat: boolean;
  readonly isTimestamp: boolean;
  readonly isDecimal: boolean;
  static readonly Null: Type;
  static readonly Boolean: Type;
  static readonly Int8: Type;
  static readonly Int16: Type;
  static readonly Int32: Type;
  static readonly Int64: Type;
  static readonly UInt8: Type;
  static readonly UInt16: Type;
  static readonly UInt32: Type;
  static readonly UInt64: Type;
  static readonly Float32: Type;
  static readonly Float64: Type;
  static readonly Utf8: Type;
  static readonly LargeUtf8: Type;
  static readonly Date: Type;
  static Timestamp(unit: "Second" | "Milli" | "Micro" | "Nano", zone?: string): Type;
  static Decimal(precision: number, scale: number): Type;
  static from(format: string): Type;
  static named(name: string): Type;
}

export interface Field {
  name: string;
  type: Type;
  nullable?: boolean;
  children?: Field[];
}

export class Schema {
  constructor(fields: Field[]);
  static of(types: Record<string, Type>): Schema;
  readonly fields: readonly Required<Field>[];
  /** The number of a column, or -1. */
  position(name: string): number;
  /** The number of the column that the setting `at` names; an error that tells the nearest ones otherwise. */
  column(name: string, at: string): number;
  /** As `column`, for a column of some types: `what` says them in words. */
  columnOfType(name: string, at: string, what: string, fits: Type | ((type: Type) => boolean)): number;
  with(name: string, type: Type, options?: { nullable?: boolean }): Schema;
  without(name: string): Schema;
}

/** A set of rows. */
export class Mask {
  readonly length: number;
  readonly bits: Uint8Array;
  static none(rows: number): Mask;
  static from(rows: number, inside: (row: number) => boolean): Mask;
  set(row: number): void;
  get(row: number): boolean;
  count(): number;
  not(): Mask;
  rows(): number[];
}

export type NumberArray =
  | Int8Array | Int16Array | Int32Array | BigInt64Array | Uint8Array | Uint16Array | Uint32Array | BigUint64Array | Float32Array | Float64Array;

/** The values of a column. `values` is there for numbers of a fixed width, without a copy; where a row is null, any number. */
export interface View<V = any, A = any> {
  readonly length: number;
  readonly nullCount: number;
  readonly values: A;
  get(row: number): V | null;
  isNull(row: number): boolean;
  toArray(): (V | null)[];
  [Symbol.iterator](): Iterator<V | null>;
}

/** An array in the format of the contract. */
export interface Node {
  length: number;
  nullCount: number;
  buffers: ArrayBufferView[];
}

export interface Batch {
  readonly rows: number;
  readonly schema: Schema;
  column<V = any, A = any>(column: ColumnRef): View<V, A>;
  nulls(column: ColumnRef): Mask;
  nodes(column: ColumnRef): Node[];
}

export class Column {
  private constructor();
  static of(values: NumberArray, nulls?: Mask): Column;
  static raw(nodes: Node[]): Column;
}

export class Rows {
  private constructor();
  readonly count: number;
  static all(batch: Batch): Rows;
  static filter(mask: Mask): Rows;
  static take(batch: Batch, rows: ArrayLike<number>): Rows;
  static fresh(count: number): Rows;
  with(column: ColumnRef, values: readonly (Value | undefined)[] | NumberArray | Column): this;
  pass(column: ColumnRef, from: ColumnRef): this;
}

export interface Out {
  send(rows: Rows, port?: number): void;
  dropRows(reason: string, rows: Mask): void;
  dropKept(reason: string, count: number | bigint, samples?: string[]): void;
  rejectRows(code: string, rows: [row: number, message: string][]): void;
  rejectRaw(code: string, message: string, raw: string): void;
  absorb(reason: string, rows: number | bigint): void;
  create(reason: string, rows: number | bigint): void;
  altered(what: string, rows: Mask): void;
}

export interface Task {
  graph: string;
  node: string;
  run: string;
  instance: number;
  instances: number;
}

/** A setting that reads a `T`. */
export interface Setting<T> {
  readonly expected: string;
  read(value: unknown, at: string): T;
}
type Options<T> = { default: T } | { optional: true };
/** A kind of setting: with a default it is always there, with `optional` it may be undefined. */
interface Kind<T> {
  (): Setting<T>;
  <D extends T | null>(options: { default: D }): Setting<T | D>;
  (options: { optional: true }): Setting<T | undefined>;
}
type Left<T, O> = O extends { default: infer D } ? T | D : O extends { optional: true } ? T | undefined : T;

export const setting: {
  text: Kind<string>;
  number: Kind<number>;
  flag: Kind<boolean>;
  whole<O extends { min?: number; max?: number; default?: number | null; optional?: true }>(options?: O): Setting<Left<number, O>>;
  choice<const W extends string, O extends Options<W | null>>(words: readonly W[], options?: O): Setting<Left<W, O>>;
  list<T, O extends Options<T[] | null>>(item: Setting<T>, options?: O): Setting<Left<T[], O>>;
  map<T, O extends Options<Map<string, T> | null>>(item: Setting<T>, options?: O): Setting<Left<Map<string, T>, O>>;
  object<S extends Settings, O extends Options<Config<S> | null>>(settings: S, options?: O): Setting<Left<Config<S>, O>>;
};

export type Settings = Record<string, Setting<any>>;
export type Config<S extends Settings> = { [K in keyof S]: S[K] extends Setting<infer T> ? T : never };

/** What a row became that goes no further. */
export interface Ended {
  readonly reason: string;
  readonly message: string | null;
}
export function drop(reason: string): Ended;
export function reject(code: string, message: string): Ended;

interface Planned {
  /** The schema of the only output, or those of several. */
  output?: Schema;
  outputs?: Schema[];
  /** The columns that the work looks at; the others are not sent to the plugin, but may be sent on. Of several inputs: a list for each. */
  reads?: ColumnRef[] | (ColumnRef[] | undefined)[];
  /** Whether rows may leave by `errors`. */
  mayReject?: boolean;
  partitioning?: "any" | "single" | "inOrder" | { keys: ColumnRef[] | ColumnRef[][] };
}

/** What a config has become: what the plan needs to know, and the work. */
export type Plan = Planned &
  (
    | { row(row: Row, number: number): Row | Ended }
    | { map(batch: Batch, out: Out): void }
    | {
        process(batch: Batch, out: Out, port: number): void;
        /** What `load` gets back: bytes, or anything that JSON can hold. */
        save(): unknown;
        load(state: any): void;
        open?(task: Task): void;
        watermark?(milliseconds: number, out: Out): void;
        /** True: there is more, call again. */
        finish?(out: Out): boolean | void;
      }
  );

export interface Input {
  port: string;
  schema: Schema;
}

export interface Transform<S extends Settings = Settings> {
  /** As a graph would name it: `SizeNormalizer`. */
  name: string;
  /** One line: what it does to rows. */
  about: string;
  /** Markdown: settings, ports, reasons of dropped and rejected rows. */
  docs: string;
  /** A config. */
  example?: Record<string, unknown>;
  settings?: S;
  wishes?: Wish[];
  inputs?: "one" | "each" | string[] | ((config: Config<S>) => "one" | "each" | string[]);
  outputs?: string[] | ((config: Config<S>) => string[]);
  /** Checks the config against what arrives, and makes the work. Pure: it is also called while a graph is planned. */
  plan(config: Config<S>, inputs: Input[]): Plan;
}

export function transform<S extends Settings = {}>(node: Transform<S>): Readonly<Transform<S>>;

export function log(level: "trace" | "debug" | "info" | "warn" | "error", message: string, fields?: Record<string, unknown>): void;
export function logs(level: "trace" | "debug" | "info" | "warn" | "error"): boolean;
export function count(name: string, value?: number | bigint): void;
export function now(): bigint;
export function secret(name: string): string | null;
export function wanted(): { rows: number; bytes: number };
