// A Selvedge plugin in JavaScript: a node like a built-in one, that runs as a WebAssembly component. Natively it runs in Node, see
// `testing.js`; `build.js` makes the component. No file here but those two needs Node, and none needs a package.

export { PluginError } from "./error.js";
export { Column } from "./encode.js";
export { count, log, logs, now, secret, wanted } from "./host.js";
export { Mask } from "./mask.js";
export { drop, reject, transform } from "./node.js";
export { Rows } from "./out.js";
export { Schema } from "./schema.js";
export { setting } from "./settings.js";
export { Type } from "./type.js";
