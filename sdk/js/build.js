// Makes the component of a plugin: `node build.js [FOLDER]`. Prints the path of the component, and nothing else, on standard output.
//
// The folder's package.json names the node's file (`main`), and has componentize-js as a development dependency; esbuild besides, where
// the node is TypeScript or takes packages (`dependencies`): then all of it becomes one file first.

import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { basename, dirname, join, relative, resolve, sep } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const SDK = dirname(fileURLToPath(import.meta.url));
const WIT = join(SDK, "..", "wit");

function fail(message) {
  console.error(message);
  process.exit(1);
}

const folder = resolve(process.argv[2] ?? ".");
const manifest = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
const main = resolve(folder, manifest.main ?? "node.js");
const world = manifest.selvedge?.world ?? "transform";
if (world !== "transform") fail(`package.json: \`selvedge.world\` is ${world}; a plugin in JavaScript is a transform`);

/** A package, as seen from the plugin's folder. */
async function load(name) {
  const places = createRequire(join(folder, "package.json")).resolve.paths(name) ?? [];
  const place = places.map((p) => join(p, name)).find((p) => existsSync(join(p, "package.json")));
  const install = manifest.devDependencies?.[name] ? "npm install" : `npm install --save-dev ${name}`;
  if (!place) throw new Error(`${name} is not installed: run \`${install}\` in ${folder}`);
  const { exports, main } = JSON.parse(readFileSync(join(place, "package.json"), "utf8"));
  return import(pathToFileURL(join(place, exports?.import ?? main)));
}

/** The version of the contract, from the contract. */
const contract = readdirSync(WIT)
  .map((file) => /^package selvedge:plugin@([^;]+);/m.exec(readFileSync(join(WIT, file), "utf8"))?.[1])
  .find(Boolean);

/** What the component starts with: the node, the SDK and the host's functions, joined. */
function entry(at) {
  const from = (path) => JSON.stringify("./" + relative(dirname(at), path).split(sep).join("/"));
  const names = ["rows", "logging", "counters", "clock", "secrets", "batches"];
  return [
    `import node from ${from(main)};`,
    `import { guest } from ${from(join(SDK, "guest.js"))};`,
    ...names.map((name) => `import * as ${name} from "selvedge:plugin/${name}@${contract}";`),
    `export const { about, transformNode } = guest(node, { ${names.join(", ")} }, ${JSON.stringify(manifest.version ?? "0.0.0")});`,
  ].join("\n");
}

/** One file of all: for TypeScript and packages. Without it, errors tell lines of the files as they are. */
async function bundle(at) {
  const { default: esbuild } = await load("esbuild");
  const outfile = at.replace(/entry\.js$/, "bundle.js");
  const options = { bundle: true, format: "esm", platform: "neutral", mainFields: ["module", "main"], target: "es2022" };
  await esbuild.build({ entryPoints: [at], outfile, external: ["selvedge:*"], logLevel: "warning", ...options });
  return outfile;
}

const work = join(folder, ".selvedge-build");
try {
  const { componentize } = await load("@bytecodealliance/componentize-js");
  rmSync(work, { recursive: true, force: true });
  mkdirSync(work);
  const at = join(work, "entry.js");
  writeFileSync(at, entry(at));
  const whole = /\.[cm]?ts$/.test(main) || Object.keys(manifest.dependencies ?? {}).length > 0;
  const sourcePath = whole ? await bundle(at) : at;
  // Imports reach no further up than the folder that the process is in: that of the plugin, or one that has the SDK too.
  let top = folder;
  while (!SDK.startsWith(top + sep)) top = dirname(top);
  process.chdir(top);
  const disableFeatures = ["stdio", "random", "clocks", "http", "fetch-event"];
  const { component } = await componentize({ sourcePath, witPath: WIT, worldName: world, disableFeatures });
  const made = join(folder, `${manifest.name ?? basename(folder)}.wasm`);
  writeFileSync(made, component);
  console.log(made);
} catch (e) {
  console.error(e.message);
  process.exitCode = 1;
} finally {
  rmSync(work, { recursive: true, force: true });
}
