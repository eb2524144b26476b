// What goes to the log: errors, with their traces.
"use strict";

const { writeSync } = require("node:fs");
const { inspect } = require("node:util");

const MESSAGE_MAX = 8192;
const { reallyExit } = process;

/** Writes to the log, whatever the function did to its streams. */
function complain(text) {
  try {
    for (let rest = Buffer.from(`${text}\n`); rest.length > 0; ) rest = rest.subarray(writeSync(2, rest));
  } catch {
    // No log: nothing better to do.
  }
}

/** The text of an error, even of one that cannot be printed. */
function describe(error) {
  let text;
  try {
    text = error instanceof Error ? String(error.message) : typeof error === "string" ? error : inspect(error);
  } catch {
    text = "(its text cannot be read)";
  }
  return text.length > MESSAGE_MAX ? `${text.slice(0, MESSAGE_MAX)}... (cut)` : text;
}

/** The name of an error's type. */
function nameOf(error) {
  try {
    return error instanceof Error && typeof error.name === "string" && error.name !== "" ? error.name : "Error";
  } catch {
    return "Error";
  }
}

/** The trace of an error without the frames of the platform, its causes and details included. */
function trace(error) {
  try {
    const own = (line) => /^\s+at /.test(line) && (line.includes(__dirname) || line.includes("node:internal/"));
    return inspect(error).split("\n").filter((line) => !own(line)).join("\n");
  } catch {
    return nameOf(error);
  }
}

/** Ends the program before it was ready: the function cannot be deployed. */
function refuse(message, error) {
  complain(`[ERROR] ${message}${error === undefined ? "" : `\n${trace(error)}`}`);
  // Not process.exit: what the module registered must not run.
  reallyExit(1);
}

module.exports = { complain, describe, nameOf, refuse, trace };
