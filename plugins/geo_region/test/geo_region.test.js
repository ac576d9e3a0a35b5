import assert from "node:assert/strict";
import { test } from "node:test";
import { example, problem, run } from "../../../sdk/js/testing.js";
import node from "../node.js";
import { find } from "../places.js";

const PLACES = `id | where
  1 | 10001
  2 | 94105-1234
  3 | texas
  4 | D.C.
  5 | US-IL
  6 | 00000
  7 | Narnia
  8 | null
  9 | 00901`;

test("ZIP codes, codes and names find their region", () => {
  const done = run(node, { column: "where", state: "state" }, PLACES);
  done.expect(`id | where | region | division | state
    1 | 10001 | Northeast | Middle Atlantic | NY
    2 | 94105-1234 | West | Pacific | CA
    3 | texas | South | West South Central | TX
    4 | D.C. | South | South Atlantic | DC
    5 | US-IL | Midwest | East North Central | IL
    6 | 00000 | null | null | null
    7 | Narnia | null | null | null
    8 | null | null | null | null
    9 | 00901 | null | null | PR`);
  assert.deepEqual(done.altered, { "no region for an unknown place": 2 });
});

test("unknown places are rejected where that is wanted", () => {
  const done = run(node, { column: "where", on_unknown: "reject" }, PLACES);
  assert.deepEqual(done.sent[0].values("id"), ["1", "2", "3", "4", "5", "8", "9"]);
  assert.deepEqual(done.rejected, [
    { code: "geo.unknown", message: "no ZIP code begins with 000, found `00000`", raw: "6 | 00000" },
    { code: "geo.unknown", message: "expected a ZIP code of 5 or 9 digits, or the code or name of a state, found `Narnia`", raw: "7 | Narnia" },
  ]);
});

test("lost zeros are put back, and other countries have no region", () => {
  run(node, { column: "zip", division: "part" }, "zip\n 2139\n 501").expect(
    "zip | region | part\n 2139 | Northeast | New England\n 501 | Northeast | Middle Atlantic",
  );
  run(node, { column: "zip", division: "part" }, "zip:Int32\n 2139\n 60601").expect(
    "zip:Int32 | region | part\n 2139 | Northeast | New England\n 60601 | Midwest | East North Central",
  );
  const table = "zip | land\n 75001 | FR\n 75001 | usa\n 75001 | null\n null | DE";
  run(node, { column: "zip", country: "land", abroad: "International" }, table).expect(`zip | land | region | division
    75001 | FR | International | null
    75001 | usa | South | West South Central
    75001 | null | South | West South Central
    null | DE | International | null`);
});

test("the tables are whole", () => {
  const states = "AL AK AZ AR CA CO CT DE DC FL GA HI ID IL IN IA KS KY LA ME MD MA MI MN MS MO MT NE NV NH NJ NM NY NC ND OH OK OR PA RI SC SD TN TX UT VT VA WA WV WI WY";
  const places = states.split(" ").map(find);
  assert(places.every((place) => place.region && place.division));
  assert.equal(places.length, 51);
  const zips = Array.from({ length: 1000 }, (_, i) => find(`${String(i).padStart(3, "0")}01`).state);
  for (const { state } of places) assert(zips.includes(state), `no ZIP code in ${state}`);
  const sample = { "02108": "MA", "05501": "MA", "06390": "NY", 20001: "DC", 20101: "VA", 39901: "GA", 73301: "TX", 82001: "WY", 83001: "WY", 83201: "ID", 83414: "WY", 88501: "TX", 96799: "AS", 99501: "AK" };
  for (const [zip, state] of Object.entries(sample)) assert.equal(find(zip).state, state, zip);
});

test("settings are checked", () => {
  example(node);
  assert.equal(String(problem(node, { column: "wher" }, PLACES)), "no column named `wher` (did you mean `where`?)");
  assert.equal(String(problem(node, { column: "a" }, "a:Float64\n 1")), "expected `a` to be text or a whole number, found Float64");
  assert.equal(String(problem(node, { column: "where", on_unknown: "drop" }, PLACES)), "expected `null`, `reject`, found `drop`");
});
