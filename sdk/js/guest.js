// Between the contract and a node: the exports of the world `transform`.

import { Batch } from "./batch.js";
import { PluginError, toWire as errorToWire } from "./error.js";
import { install } from "./host.js";
import { byRow } from "./node.js";
import { Out } from "./out.js";
import { Schema, fromWire, toWire } from "./schema.js";
import { readSettings } from "./settings.js";

/** The exports of a plugin. `imports`: the interfaces of the contract by their names in camel case. */
export function guest(node, imports, version) {
  install(imports);
  // The state of an instance. It is here and not in an object of an export: those do not outlive a call.
  let open = null;
  const opened = (input, batch) => {
    if (!open) throw PluginError.bug("called before `open`");
    if (batch === undefined) return new Out(open.outputs);
    const schema = open.inputs[input]?.schema;
    if (!schema) throw PluginError.bug(`a batch for input ${input}, there are ${open.inputs.length}`);
    return new Out(open.outputs, schema, batch.rows);
  };
  const work = (name) => (open.work[name] ? (...args) => open.work[name](...args) : () => undefined);

  const calls = {
    describe(config) {
      const { inputs, outputs } = ports(node, readSettings(node.settings, config));
      return { inputs: Array.isArray(inputs) ? { tag: "named", val: inputs } : { tag: inputs }, outputs };
    },
    outputSchema(config, inputs) {
      const plan = planned(node, config, inputs);
      const { outputs, reads, partitioning, stateful, mayReject } = plan;
      return { outputs: outputs.map(toWire), reads, partitioning, stateful, mayReject };
    },
    open(config, inputs, task) {
      open = planned(node, config, inputs);
      work("open")(task);
    },
    load(state) {
      work("load")(state[0] === JSON_STATE ? JSON.parse(new TextDecoder().decode(state.subarray(1))) : state.slice(1));
    },
    process(input, batch) {
      const out = opened(input, batch);
      const arrived = new Batch(open.inputs[input].schema, open.reads[input], batch);
      work(open.stateful ? "process" : "map")(arrived, out, input);
    },
    watermark(time) {
      work("watermark")(Number(time), opened());
    },
    finish() {
      return work("finish")(opened()) === true;
    },
    save() {
      opened();
      return open.stateful ? saved(work("save")()) : new Uint8Array();
    },
  };
  const transformNode = {};
  for (const [name, call] of Object.entries(calls)) {
    transformNode[name] = (...args) => {
      try {
        return call(...args);
      } catch (e) {
        throw withCause(errorToWire(e, name), e);
      }
    };
  }
  const { name, about, docs, example, wishes } = node;
  const asked = wishes.map(({ capability: [tag, val], reason, needed = false }) => ({ capability: { tag, val }, reason, needed }));
  const info = { name, version, about, docs, example: JSON.stringify(example), wishes: asked };
  return { about: { about: () => info }, transformNode };
}

/** What went wrong, for the tests; it does not cross to the host. */
function withCause(wire, cause) {
  return Object.defineProperty(wire, "cause", { value: cause, enumerable: false });
}

function ports(node, settings) {
  const of = (what) => (typeof what === "function" ? what(settings) : what);
  return { inputs: of(node.inputs), outputs: of(node.outputs) };
}

const PLAN = ["output", "outputs", "reads", "partitioning", "mayReject", "row", "map", "process", "open", "watermark", "finish", "save", "load"];

/** Plans a node: what the host needs to know, and the work. Pure. */
function planned(node, config, arriving) {
  const settings = readSettings(node.settings, config);
  const inputs = arriving.map(({ name, schema }) => ({ port: name, schema: fromWire(schema) }));
  const names = ports(node, settings);
  const expected = Array.isArray(names.inputs) ? names.inputs.length : names.inputs === "one" ? 1 : inputs.length;
  if (inputs.length !== expected) throw PluginError.bug(`expected ${expected} inputs, found ${inputs.length}`);

  const plan = node.plan(settings, inputs);
  const wrong = (what) => PluginError.bug(`\`plan\` ${what}`);
  if (typeof plan !== "object" || plan === null) throw wrong("must answer an object");
  const unknown = Object.keys(plan).find((word) => !PLAN.includes(word));
  if (unknown) throw wrong(`answers \`${unknown}\`, which nobody reads`);
  const works = ["row", "map", "process"].filter((word) => plan[word]);
  if (works.length !== 1) throw wrong(`must answer one of \`row\`, \`map\` and \`process\`, found ${works.length}`);
  const stateful = works[0] === "process";
  if (stateful && !(plan.save && plan.load)) throw wrong("answers `process`, so it must answer `save` and `load` too");
  const outputs = plan.outputs ?? [plan.output];
  if (!outputs.every((schema) => schema instanceof Schema)) throw wrong("must answer `output`, a schema");
  if (outputs.length !== names.outputs.length) {
    throw PluginError.bug(`has ${names.outputs.length} output ports, but ${outputs.length} schemas`);
  }
  const mayReject = plan.mayReject === true;
  const several = inputs.length > 1;
  const reads = inputs.map(({ schema }, i) => {
    const asked = several ? plan.reads?.[i] : plan.reads;
    return asked && ascending(asked.map((column) => schema.numberOf(column)));
  });
  let work = plan;
  if (works[0] === "row") {
    if (several || outputs.length > 1) throw wrong("answers `row`, which is for one input and one output: use `process`");
    // Columns of other types pass by unseen.
    const { fields } = inputs[0].schema;
    reads[0] ??= fields.map((_, i) => i).filter((i) => shows(fields[i].type));
    work = { map: byRow(plan.row, outputs[0], reads[0].map((i) => fields[i].name)) };
  }
  const spread = partitioning(plan.partitioning, inputs);
  return { inputs, outputs, reads, partitioning: spread, stateful, mayReject, work: guarded(work, mayReject) };
}

const shows = (type) => type.array !== undefined || type.isText || type.isDecimal || type.format === "b" || type.format === "n";
const ascending = (columns) => [...new Set(columns)].sort((a, b) => a - b);

/** A plan that does not say that rows may be rejected is held to it. */
function guarded(work, mayReject) {
  if (mayReject) return work;
  const closed = (out) => {
    out.rejectRows = out.rejectRaw = () => {
      throw PluginError.bug("rejects rows, but the plan does not say `mayReject: true`");
    };
    return out;
  };
  const withOut = (name, place) => work[name] && { [name]: (...args) => (closed(args[place]), work[name](...args)) };
  // Methods keep their object.
  const held = [withOut("map", 1), withOut("process", 1), withOut("watermark", 1), withOut("finish", 0)];
  return Object.assign(Object.create(work), ...held);
}

function partitioning(how = "any", inputs) {
  if (typeof how === "string") {
    const tag = how === "inOrder" ? "in-order" : how;
    if (!["any", "single", "in-order"].includes(tag)) throw PluginError.bug(`\`partitioning\` is any, single, inOrder or { keys }, found ${how}`);
    return { tag };
  }
  const keys = inputs.length > 1 ? how.keys : [how.keys];
  return { tag: "keys", val: inputs.map(({ schema }, i) => keys[i].map((column) => schema.numberOf(column))) };
}

/** The first byte of a state says what it is. */
const BYTES_STATE = 0;
const JSON_STATE = 1;

function saved(state) {
  const bytes = state instanceof Uint8Array;
  const rest = bytes ? state : new TextEncoder().encode(JSON.stringify(state ?? null, plain));
  const all = new Uint8Array(rest.length + 1);
  all[0] = bytes ? BYTES_STATE : JSON_STATE;
  all.set(rest, 1);
  return all;
}

/** JSON would make an empty object of these, and the state would be lost without a word. */
function plain(name, value) {
  if (value instanceof Map || value instanceof Set || ArrayBuffer.isView(value)) {
    const what = value.constructor.name + (name && ` as \`${name}\``);
    throw PluginError.bug(`\`save\` gives a ${what}, which JSON cannot hold: spread it, \`[...x]\``);
  }
  return value;
}
