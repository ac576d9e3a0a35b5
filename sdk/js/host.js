// What a node may ask the host for: a log, counters, the time, secrets, how much to send at once.

/** The imports of the contract: in a component the host's, in Node those of `testing.js`. */
let imports;

/** Says where calls of the host go to. */
export function install(host) {
  imports = host;
}

/** The host; an error where there is none. */
export function host() {
  if (!imports) throw new Error("there is no host here: run the node through `testing.js`, or as a plugin");
  return imports;
}

/** A line in the log of the run: `trace`, `debug`, `info`, `warn` or `error`, with fields. */
export function log(level, message, fields = {}) {
  host().logging.log(level, String(message), Object.entries(fields).map(([name, value]) => [name, String(value)]));
}

/** Whether anybody reads lines of this level: to save the work of making them. */
export const logs = (level) => host().logging.enabled(level);

/** Adds to a counter of the plugin's own, in the run's report. */
export const count = (name, value = 1) => host().counters.add(name, BigInt(value));

/** Nanoseconds since 1970, UTC, as the run sees it: a BigInt. */
export const now = () => host().clock.now();

/** A secret; null where the graph does not grant it. */
export const secret = (name) => host().secrets.get(name) ?? null;

/** How much to send at once, as `{ rows, bytes }`: a batch is best when it reaches one of both, and has few rows more. */
export function wanted() {
  const { rows, bytes } = host().batches.wanted();
  return { rows, bytes: Number(bytes) };
}
