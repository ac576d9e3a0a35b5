// Adds a column, to be measured by benches/guests.rs.

import { Rows, Type, transform } from "../../../../../sdk/js/index.js";

export default transform({
  name: "Add",
  about: "adds a number for each row",
  docs: "No settings.",

  plan(_, [input]) {
    return {
      output: input.schema.with("extra", Type.Float64),
      reads: ["val"],
      map(batch, out) {
        const vals = batch.column("val").values;
        const extra = new Float64Array(vals.length);
        for (let row = 0; row < vals.length; row++) extra[row] = vals[row] * 1.1 + row;
        out.send(Rows.all(batch).with("extra", extra));
      },
    };
  },
});
