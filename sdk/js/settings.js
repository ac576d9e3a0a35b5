// The settings of a node: declared with their types; each error has the path of the setting, unknown names the nearest known one.

import { PluginError, describe, list, nearest } from "./error.js";

const below = (path, name) => (path === "" ? String(name) : `${path}.${name}`);

function unexpected(expected, found, at) {
  return PluginError.graph(`expected ${expected}, found ${describe(found)}`, { at });
}

/** A kind of setting. `options`: `default`, or `optional: true` (then it is undefined where it is left out). */
function kind(expected, read, options = {}) {
  return Object.freeze({ expected, read, ...options });
}

const plain = (expected, fits) => (options) =>
  kind(
    expected,
    (value, at) => {
      if (!fits(value)) throw unexpected(expected, value, at);
      return value;
    },
    options,
  );

const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);

/** What a setting may be. */
export const setting = {
  text: plain("a text", (v) => typeof v === "string"),
  number: plain("a number", (v) => typeof v === "number"),
  flag: plain("true or false", (v) => typeof v === "boolean"),
  /** A whole number, from `min` to `max`. */
  whole({ min = Number.MIN_SAFE_INTEGER, max = Number.MAX_SAFE_INTEGER, ...options } = {}) {
    const expected = wholeNumber(min, max);
    return plain(expected, (v) => Number.isSafeInteger(v) && v >= min && v <= max)(options);
  },
  /** One of some words. */
  choice(words, options) {
    const read = (value, at) => {
      if (typeof value !== "string") throw unexpected("a text", value, at);
      if (words.includes(value)) return value;
      const near = nearest(value, words);
      const help = near && `did you mean \`${near}\`?`;
      throw PluginError.graph(`expected ${list(words)}, found \`${value}\``, { help, at });
    };
    return kind(`one of ${list(words)}`, read, options);
  },
  /** A list of settings of one kind. */
  list(item, options) {
    const read = (value, at) => {
      if (!Array.isArray(value)) throw unexpected("a list", value, at);
      return value.map((each, i) => item.read(each, below(at, i)));
    };
    return kind("a list", read, options);
  },
  /** An object with names of the user's own: a `Map`, in their order. */
  map(item, options) {
    const read = (value, at) => {
      if (!isObject(value)) throw unexpected("an object", value, at);
      return new Map(Object.entries(value).map(([name, each]) => [name, item.read(each, below(at, name))]));
    };
    return kind("an object", read, options);
  },
  /** An object with settings of its own. */
  object(settings, options) {
    return kind("an object", (value, at) => object(settings, value, at), options);
  },
};

function wholeNumber(min, max) {
  if (min === Number.MIN_SAFE_INTEGER && max === Number.MAX_SAFE_INTEGER) return "a whole number";
  if (max === Number.MAX_SAFE_INTEGER) return `a whole number from ${min}`;
  return min === Number.MIN_SAFE_INTEGER ? `a whole number up to ${max}` : `a whole number from ${min} to ${max}`;
}

function object(settings, value, path) {
  if (!isObject(value)) throw unexpected("an object", value, path);
  const known = Object.keys(settings);
  // Where a known name is missing, an unknown one may be its misspelling: that says more.
  for (const name of Object.keys(value)) {
    if (known.includes(name)) continue;
    const near = nearest(name, known.filter((k) => !Object.hasOwn(value, k)));
    const others = known.length === 0 ? "there are none" : `there are ${list(known)}`;
    throw PluginError.graph(`no setting named \`${name}\``, { help: near ? `did you mean \`${near}\`?` : others, at: below(path, name) });
  }
  const read = {};
  for (const [name, kind] of Object.entries(settings)) {
    const at = below(path, name);
    const found = Object.hasOwn(value, name) ? value[name] : null;
    if (found !== null) read[name] = kind.read(found, at);
    else if ("default" in kind) read[name] = kind.default;
    else if (!kind.optional) throw PluginError.graph(`needs \`${name}\`: ${kind.expected}`, { at });
  }
  return read;
}

/** Reads a whole config, which is JSON. */
export function readSettings(settings, config) {
  let json = {};
  if (config.trim() !== "") {
    try {
      json = JSON.parse(config);
    } catch (e) {
      throw PluginError.graph(`the config is no JSON: ${e.message}`);
    }
  }
  return object(settings, json, "");
}
