// Which state a ZIP code, a code or a name means, and where the state lies.
//
// Regions and divisions: U.S. Census Bureau, "Census Regions and Divisions of the United States"
// (https://www2.census.gov/geo/pdfs/maps-data/maps/reference/us_regdiv.pdf). Puerto Rico, the island areas and military addresses belong to
// none. Prefixes of ZIP codes: U.S. Postal Service, Labeling List L002 (https://pe.usps.com/text/LabelingLists/L002.htm). Held against the
// 42,789 ZIP codes of the `zipcodes` package 3.0.0 (https://pypi.org/project/zipcodes): all agree but two placeholders (87654, 88888) and
// six military ones that it has in New Jersey.

const DIVISIONS = {
  "New England": ["Northeast", "CT ME MA NH RI VT"],
  "Middle Atlantic": ["Northeast", "NJ NY PA"],
  "East North Central": ["Midwest", "IL IN MI OH WI"],
  "West North Central": ["Midwest", "IA KS MN MO NE ND SD"],
  "South Atlantic": ["South", "DE DC FL GA MD NC SC VA WV"],
  "East South Central": ["South", "AL KY MS TN"],
  "West South Central": ["South", "AR LA OK TX"],
  Mountain: ["West", "AZ CO ID MT NV NM UT WY"],
  Pacific: ["West", "AK CA HI OR WA"],
};

/** In the order of their codes. */
const NAMES = `AL Alabama, AK Alaska, AZ Arizona, AR Arkansas, CA California, CO Colorado, CT Connecticut, DE Delaware,
  DC District of Columbia, DC Washington DC, FL Florida, GA Georgia, HI Hawaii, ID Idaho, IL Illinois, IN Indiana, IA Iowa, KS Kansas,
  KY Kentucky, LA Louisiana, ME Maine, MD Maryland, MA Massachusetts, MI Michigan, MN Minnesota, MS Mississippi, MO Missouri, MT Montana,
  NE Nebraska, NV Nevada, NH New Hampshire, NJ New Jersey, NM New Mexico, NY New York, NC North Carolina, ND North Dakota, OH Ohio,
  OK Oklahoma, OR Oregon, PA Pennsylvania, RI Rhode Island, SC South Carolina, SD South Dakota, TN Tennessee, TX Texas, UT Utah, VT Vermont,
  VA Virginia, WA Washington, WV West Virginia, WI Wisconsin, WY Wyoming,
  PR Puerto Rico, VI Virgin Islands, GU Guam, AS American Samoa, MP Northern Mariana Islands, FM Micronesia, MH Marshall Islands, PW Palau,
  AA Armed Forces Americas, AE Armed Forces Europe, AP Armed Forces Pacific`;

/** First three digits, or a range of them. What is not here is assigned to nobody. */
const PREFIXES = `NY 005, PR 006-007 009, VI 008, MA 010-027 055, RI 028-029, NH 030-038, ME 039-049, VT 050-054 056-059, CT 060-069,
  NJ 070-089, AE 090-099, NY 100-149, PA 150-196, DE 197-199, DC 200 202-205 569, VA 201 220-246, MD 206-212 214-219, WV 247-268,
  NC 270-289, SC 290-299, GA 300-319 398-399, FL 320-339 341-342 344 346-347 349, AA 340, AL 350-352 354-369, TN 370-385, MS 386-397,
  KY 400-418 420-427, OH 430-459, IN 460-479, MI 480-499, IA 500-516 520-528, WI 530-532 534-535 537-549, MN 550-551 553-567, SD 570-577,
  ND 580-588, MT 590-599, IL 600-620 622-629, MO 630-631 633-641 644-658, KS 660-662 664-679, NE 680-681 683-693,
  LA 700-701 703-708 710-714, AR 716-729, OK 730-731 734-741 743-749, TX 733 750-770 772-799 885, CO 800-816, WY 820-831, ID 832-838,
  UT 840-847, AZ 850-853 855-857 859-860 863-865, NM 870-871 873-875 877-884, NV 889-891 893-895 897-898, CA 900-908 910-928 930-961,
  AP 962-966, HI 967-968, GU 969, OR 970-979, WA 980-986 988-994, AK 995-999`;

/** Single ZIP codes that their neighbours do not share a state with. */
const EXCEPTIONS = {
  "06390": "NY", 20588: "MD", 20598: "VA", 72643: "MO", 73960: "TX", 83414: "WY", 96799: "AS",
  96939: "PW", 96940: "PW", 96941: "FM", 96942: "FM", 96943: "FM", 96944: "FM", 96950: "MP", 96951: "MP", 96952: "MP", 96960: "MH", 96970: "MH",
};

const entries = (text) => text.split(",").map((entry) => entry.trim());

/** By the code of a state: `{ state, region, division }`. */
const PLACES = new Map();
/** By the name of a state in small letters: its code. */
const CODES = new Map();
/** By the first three digits of a ZIP code as a number: the code of its state. */
const ZIPS = new Array(1000);

// Once, when the component is built: what a module has made by then is part of the component.
for (const entry of entries(NAMES)) {
  const state = entry.slice(0, 2);
  CODES.set(entry.slice(3).toLowerCase(), state);
  PLACES.set(state, { state, region: null, division: null });
}
for (const [division, [region, states]] of Object.entries(DIVISIONS)) {
  for (const state of states.split(" ")) PLACES.set(state, { state, region, division });
}
for (const entry of entries(PREFIXES)) {
  const [state, ...ranges] = entry.split(" ");
  for (const range of ranges) {
    const [from, to = from] = range.split("-");
    ZIPS.fill(state, Number(from), Number(to) + 1);
  }
}

/** Where a ZIP code (also with four more digits), the code or the name of a state is; otherwise a text that says why it is nowhere. */
export function find(text) {
  // Spreadsheets take leading zeros away.
  const digits = /^(?:(\d{3,5})|(\d{5})[- ]?\d{4})$/.exec(text);
  if (digits) {
    const zip = (digits[1] ?? digits[2]).padStart(5, "0");
    const state = EXCEPTIONS[zip] ?? ZIPS[Number(zip.slice(0, 3))];
    return state ? PLACES.get(state) : `no ZIP code begins with ${zip.slice(0, 3)}`;
  }
  const words = text.replace(/\./g, "").replace(/[\s,]+/g, " ").trim();
  // `US-CA` is ISO 3166-2.
  const code = words.toUpperCase().replace(/^US-/, "");
  return PLACES.get(code) ?? PLACES.get(CODES.get(words.toLowerCase())) ?? "expected a ZIP code of 5 or 9 digits, or the code or name of a state";
}

const UNITED_STATES = ["US", "USA", "840", "UNITED STATES", "UNITED STATES OF AMERICA"];

/** Whether a country, by its ISO 3166 code or its name, is the United States. */
export const isUnitedStates = (country) => UNITED_STATES.includes(country.replace(/\./g, "").trim().toUpperCase());
