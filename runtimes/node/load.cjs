// Finds and imports a handler.
"use strict";

const fs = require("node:fs");
const { join } = require("node:path");
const { pathToFileURL } = require("node:url");
const { complain, describe, refuse } = require("./log.cjs");

/** Endings of modules, in the order they are looked for. */
const ENDINGS = [".js", ".mjs", ".cjs"];

/** The module's file and the function's path in it: `dir/app.a.b` is `a.b` of `dir/app.js`. */
function find(name, root) {
  const match = /^((?:.*\/)?)([^/.]+)\.([^/]+)$/.exec(name);
  if (match === null) {
    refuse(`Runtime.MalformedHandlerName: the handler ${JSON.stringify(name)} is not of the form MODULE.FUNCTION`);
  }
  const [, directory, module, path] = match;
  const files = ENDINGS.map((ending) => join(root, directory, module + ending));
  const file = files.find((candidate) => fs.existsSync(candidate));
  if (file === undefined) refuse(`Runtime.ImportModuleError: there is no module ${files.join(" or ")}`);
  return { file, path };
}

/** Ends the program because the module cannot be imported. */
function refuseModule(file, error) {
  if (error instanceof SyntaxError) {
    complain(`[ERROR] Runtime.UserCodeSyntaxError: cannot import ${file}: ${describe(error)}`);
    // Only Node.js itself shows the line at fault: it is left to do so, and ends with status 1.
    process.removeAllListeners("uncaughtException").removeAllListeners("exit");
    process.nextTick(() => { throw error; });
    return new Promise(() => {});
  }
  const missing = error?.code === "ERR_MODULE_NOT_FOUND" || error?.code === "MODULE_NOT_FOUND";
  const hint = missing ? " (packages must be in node_modules when the function is deployed: run `npm install` first)" : "";
  refuse(`Runtime.ImportModuleError: cannot import ${file}: ${describe(error)}${hint}`, error);
}

/** Imports the handler `module.function` from the files in `root`. */
async function load(name, root) {
  const { file, path } = find(name, root);
  let module;
  try {
    module = await import(pathToFileURL(file));
  } catch (error) {
    await refuseModule(file, error);
  }
  const inside = (start) => path.split(".").reduce((value, part) => value?.[part], start);
  const handler = inside(module) ?? inside(module.default);
  if (typeof handler === "function") return handler;
  if (handler !== undefined) {
    refuse(`Runtime.HandlerNotFound: ${name} is not a function but ${typeof handler}`);
  }
  const exports = { ...module.default, ...module };
  const functions = Object.keys(exports).filter((key) => typeof exports[key] === "function");
  refuse(`Runtime.HandlerNotFound: ${file} exports no function ${path}; it exports: ${functions.join(", ") || "none"}`);
}

module.exports = { load };
