// Types of the test harness.

import type { PluginError, Schema, Transform } from "./index.js";

/** A small table; values as text. */
export class Table {
  readonly schema: Schema;
  readonly rows: (string | null)[][];
  static read(text: string): Table;
  values(column: string): string[];
}

type Counts = Record<string, number>;

/** What a node did. */
export interface Done {
  sent: Table[];
  dropped: Counts;
  rejected: { code: string; message: string; raw: string }[];
  absorbed: Counts;
  created: Counts;
  altered: Counts;
  counters: Counts;
  log: string[];
  /** Exactly these rows were sent, on the first port or another. */
  expect(table: string, port?: number): void;
}

type Config = Record<string, unknown>;
export function run(node: Transform<any>, config: Config, tables: string | Record<string, string>, options?: { secrets?: Record<string, string> }): Done;
export function problem(node: Transform<any>, config: Config | string, tables: string | Record<string, string>): PluginError;
export function example(node: Transform<any>): void;
