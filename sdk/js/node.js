// A node: its name, docs, settings, and how a config becomes work. The words are those of built-in nodes.

import { PluginError, describe, list, nearest } from "./error.js";
import { Mask } from "./mask.js";
import { Rows } from "./out.js";

const WORDS = ["name", "about", "docs", "example", "settings", "wishes", "inputs", "outputs", "plan"];

/** Describes a transform. What is wrong with the description itself ends the build. */
export function transform(node) {
  const wrong = (what) => new TypeError(`transform({ … }): ${what}`);
  for (const word of Object.keys(node)) {
    const near = nearest(word, WORDS);
    if (!WORDS.includes(word)) throw wrong(`nothing is named \`${word}\`; ${near ? `did you mean \`${near}\`?` : `there are ${list(WORDS)}`}`);
  }
  for (const word of ["name", "about", "docs"]) {
    if (typeof node[word] !== "string") throw wrong(`needs \`${word}\`: a text`);
  }
  if (typeof node.plan !== "function") throw wrong("needs `plan`: a function of the config and the inputs");
  return Object.freeze({ example: {}, settings: {}, wishes: [], inputs: "one", outputs: ["out"], ...node });
}

/** What `row` answers for a row that goes no further. */
const ENDED = Symbol("ended");

class Ended {
  constructor(reason, message) {
    this.reason = reason;
    this.message = message;
  }
  get [ENDED]() {
    return true;
  }
}

/** What `row` answers for a row that ends here. Reasons are few and stable: `out of bounds`. */
export const drop = (reason) => new Ended(reason, null);

/** What `row` answers for a row that goes to `errors`. Codes are few and stable, messages tell the story of this row. */
export const reject = (code, message) => new Ended(code, String(message));

/** Makes `row`, a function of one row, into a function of batches. `read`: the names of the columns that a row shows. */
export function byRow(row, output, read) {
  return (batch, out) => {
    const arrays = read.map((name) => batch.column(name).toArray());
    const [dropped, rejected] = [new Map(), new Map()];
    /** What was answered for the rows that go on, and which these are. */
    const [answers, rows] = [[], []];
    for (let i = 0; i < batch.rows; i++) {
      const values = {};
      for (let c = 0; c < arrays.length; c++) values[read[c]] = arrays[c][i];
      const answer = row(values, i);
      if (typeof answer !== "object" || answer === null) throw noAnswer(answer, i);
      if (answer[ENDED] === undefined) {
        answers.push(answer);
        rows.push(i);
      } else end(answer, i, answer.message === null ? dropped : rejected);
    }
    for (const [reason, ended] of dropped) out.dropRows(reason, maskOf(ended.map(([i]) => i), batch.rows));
    for (const [code, ended] of rejected) out.rejectRows(code, ended);
    if (answers.length > 0) check(answers[0], output);
    const all = answers.length === batch.rows ? Rows.all(batch) : Rows.filter(maskOf(rows, batch.rows));
    output.fields.forEach((field) => {
      const from = batch.schema.fields[batch.schema.position(field.name)];
      const came = from?.type === field.type ? { values: arrays[read.indexOf(field.name)] } : null;
      const values = collect(field.name, answers, rows, came);
      if (values) all.with(field.name, values);
    });
    out.send(all);
  };
}

function end({ reason, message }, row, ended) {
  if (!ended.has(reason)) ended.set(reason, []);
  ended.get(reason).push([row, message]);
}

function maskOf(some, rows) {
  const mask = Mask.none(rows);
  some.forEach((row) => mask.set(row));
  return mask;
}

function noAnswer(answer, row) {
  const help = "return an object with columns, `drop(reason)` or `reject(code, message)`";
  return PluginError.bug(`\`row\` answered ${describe(answer)} for row ${row}`, { help });
}

/** That an answer has names of columns: said for the first row of a batch, as a name is right or wrong in all of them. */
function check(answer, output) {
  for (const name of Object.keys(answer)) {
    if (output.position(name) >= 0) continue;
    const near = nearest(name, output.fields.map((f) => f.name));
    throw PluginError.bug(`\`row\` sets \`${name}\`, but the output has no such column`, { help: near && `did you mean \`${near}\`?` });
  }
}

/**
 * The values of an output column; none where no row changes the input column of the same name and type, which is then passed on. `came`:
 * that column, and its values where a row shows them.
 */
function collect(name, answers, rows, came) {
  const values = new Array(answers.length);
  const before = came?.values;
  let changed = came === null;
  let missing = -1;
  for (let k = 0; k < answers.length; k++) {
    const value = answers[k][name];
    if (value !== undefined) {
      values[k] = value;
      if (!changed) changed = before === undefined || !Object.is(value, before[rows[k]]);
    } else if (came === null) {
      if (!(name in answers[k])) throw PluginError.bug(`\`row\` sets nothing in column \`${name}\` of row ${rows[k]}, which no input has`);
      values[k] = null;
    } else if (before) values[k] = before[rows[k]];
    else missing = rows[k];
  }
  if (changed && missing >= 0) {
    const help = "set it in all rows, or add it to `reads`";
    throw PluginError.bug(`\`row\` sets column \`${name}\` in some rows, but not in row ${missing}`, { help });
  }
  return changed ? values : null;
}
