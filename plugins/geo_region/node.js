// `GeoRegion`: the census region and division of a row, by ZIP code or state.

import { Mask, Rows, Type, setting, transform } from "../../sdk/js/index.js";
import { find, isUnitedStates } from "./places.js";

const NOWHERE = { state: null, region: null, division: null };
/** Different values whose place is remembered; above it, they are looked up again. */
const REMEMBERED = 100_000;

export default transform({
  name: "GeoRegion",
  about: "adds the US census region and division of a ZIP code or state",
  docs: `\
Settings: \`column\` (text, or ZIP codes as whole numbers), \`region\`, \`division\` and \`state\` (the columns to make: \`region\` and \`division\` \
unless named; \`state\` only where named), \`country\` (a column with ISO codes or names), \`abroad\` (the region of other countries, null \
unless said), \`on_unknown\` (\`null\`, \`reject\`).

ZIP codes have 5 or 9 digits; leading zeros that a spreadsheet has taken away are put back. States go by code (\`CA\`, \`US-CA\`) or name. Nulls and \
blanks stay null, and so do Puerto Rico, the island areas and military addresses: they belong to no region. A row without a country is \
taken to be in the United States.

Reject code: \`geo.unknown\`.`,
  example: { column: "zip", region: "region", division: "division", state: "state", country: "country", abroad: "International", on_unknown: "reject" },
  settings: {
    column: setting.text(),
    region: setting.text({ default: "region" }),
    division: setting.text({ default: "division" }),
    state: setting.text({ optional: true }),
    country: setting.text({ optional: true }),
    abroad: setting.text({ default: null }),
    on_unknown: setting.choice(["null", "reject"], { default: "null" }),
  },

  plan(config, [input]) {
    const column = input.schema.columnOfType(config.column, "column", "text or a whole number", (t) => t.isText || t.isInteger);
    const country = config.country && input.schema.columnOfType(config.country, "country", "text", (t) => t.isText);
    const made = ["region", "division", "state"].filter((what) => config[what]);
    const known = new Map();
    const lookUp = (value) => {
      let place = known.get(value);
      if (place === undefined) {
        const text = String(value).trim();
        place = text === "" ? NOWHERE : find(text);
        if (known.size < REMEMBERED) known.set(value, place);
      }
      return place;
    };
    const abroad = { ...NOWHERE, region: config.abroad };
    const lands = new Map();
    /** Where rows of a country are, if not in the United States. */
    const beyond = (land) => {
      if (land === null || land === "") return undefined;
      if (!lands.has(land)) lands.set(land, isUnitedStates(land) ? undefined : abroad);
      return lands.get(land);
    };
    const reject = config.on_unknown === "reject";

    return {
      output: made.reduce((schema, what) => schema.with(config[what], Type.Utf8), input.schema),
      reads: country === undefined ? [column] : [column, country],
      mayReject: reject,
      map(batch, out) {
        const values = batch.column(column);
        const countries = country === undefined ? null : batch.column(country);
        const places = [];
        const unknown = [];
        const sent = Mask.none(batch.rows);
        for (let row = 0; row < batch.rows; row++) {
          const value = values.get(row);
          const place = (countries && beyond(countries.get(row))) ?? (value === null ? NOWHERE : lookUp(value));
          if (typeof place === "string") {
            unknown.push([row, `${place}, found \`${value}\``]);
            if (reject) continue;
          }
          sent.set(row);
          places.push(typeof place === "string" ? NOWHERE : place);
        }
        if (reject) out.rejectRows("geo.unknown", unknown);
        else out.altered("no region for an unknown place", rowsIn(unknown, batch.rows));
        const rows = places.length === batch.rows ? Rows.all(batch) : Rows.filter(sent);
        for (const what of made) rows.with(config[what], places.map((place) => place[what]));
        out.send(rows);
      },
    };
  },
});

function rowsIn(list, rows) {
  const mask = Mask.none(rows);
  for (const [row] of list) mask.set(row);
  return mask;
}
