// What went wrong: whose fault it is, whether trying again can help, and which setting is to blame.

/** An error of a node. It never names the node itself: the host knows who and where. */
export class PluginError extends Error {
  /** @param {"graph" | "data" | "world" | "bug"} fault */
  constructor(fault, message, { help, at, retry = false } = {}) {
    super(message);
    this.name = "PluginError";
    Object.assign(this, { fault, help, at, retry });
  }
  /** The graph asks for what cannot be done. */
  static graph(message, more) {
    return new PluginError("graph", message, more);
  }
  /** A row is not what it should be. */
  static data(message, more) {
    return new PluginError("data", message, more);
  }
  /** Another system. */
  static world(message, more) {
    return new PluginError("world", message, more);
  }
  /** The plugin itself is wrong. */
  static bug(message, more) {
    return new PluginError("bug", message, more);
  }
  toString() {
    return this.help ? `${this.message} (${this.help})` : this.message;
  }
}

/** An error as the contract has it. Any other exception is a bug of the plugin: without its words the host would see a bare trap. */
export function toWire(error, call) {
  if (error instanceof PluginError) {
    const { fault, retry, message, help, at } = error;
    return { fault, retry, message: text(message), help: optional(help), at: optional(at) };
  }
  const said = error instanceof Error ? `${error.name}: ${error.message}` : `threw ${describe(error)}`;
  const lines = frames(error);
  const help = lines.length > 0 ? `in the plugin: ${lines.join(" ← ")}` : undefined;
  return { fault: "bug", retry: false, message: `the plugin failed in \`${call}\`: ${said}`, help, at: undefined };
}

const text = (value) => String(value);
const optional = (value) => (value === undefined || value === null ? undefined : text(value));

/** A line of the SDK: of no use to an author. */
const SDK = /(?:sdk|selvedge)\/js\/\w+\.js:/;

/** The innermost lines of a stack, `name (file:line:column)`: SpiderMonkey writes `name@file:1:2`, V8 `at name (file:1:2)`. */
function frames(error) {
  const stack = error instanceof Error && typeof error.stack === "string" ? error.stack : "";
  const found = [];
  for (const line of stack.split("\n")) {
    const frame = /^\s*at (?:(.*) \()?(.*?:\d+:\d+)\)?$/.exec(line) ?? /^(.*?)@(.*:\d+:\d+)$/.exec(line);
    if (frame) found.push(`${frame[1] || "a function"} (${frame[2].replace(/^file:\/\//, "")})`);
  }
  const own = found.filter((frame) => !SDK.test(frame));
  return (own.length > 0 ? own : found).slice(0, 5);
}

/** A value in words, for messages: `the text "abc"`. */
export function describe(value) {
  if (typeof value === "string") return `the text "${[...value].slice(0, 40).join("")}${[...value].length > 40 ? "…" : ""}"`;
  if (Array.isArray(value)) return "a list";
  if (typeof value === "object" && value !== null) return "an object";
  if (typeof value === "function") return "a function";
  return String(value);
}

/** The one of `known` that was probably meant by `found`. */
export function nearest(found, known) {
  let best;
  let least = Infinity;
  for (const name of known) {
    const d = distance(found.toLowerCase(), name.toLowerCase());
    if (d <= Math.ceil(Math.max(found.length, name.length) / 3) && d < least) [best, least] = [name, d];
  }
  return best;
}

/** Edit distance (Levenshtein). Neighbours swapped count as two. */
function distance(a, b) {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 0; i < a.length; i++) {
    const next = [i + 1];
    for (let j = 0; j < b.length; j++) {
      next.push(Math.min(row[j] + (a[i] === b[j] ? 0 : 1), next[j] + 1, row[j + 1] + 1));
    }
    row = next;
  }
  return row[b.length];
}

/** `known` as words for a message. */
export const list = (known) => [...known].map((name) => `\`${name}\``).join(", ");
