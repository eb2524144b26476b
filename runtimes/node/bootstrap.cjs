// Runs a Node.js function: imports its handler, then answers one invocation after the other.
//
//     node bootstrap.cjs MODULE.FUNCTION [DEVICE]
//     node bootstrap.cjs --await-function [DEVICE]
//
// With --await-function it first reads from DEVICE, once, which function it is to be, also one line of JSON:
//
//     in   {"handler": "MODULE.FUNCTION", "env": {...}}
//
// Until then it is the runtime, the same for all functions. The protocol on DEVICE (/dev/invocation) is one line of JSON each way:
//
//     in   {"event": ..., "context": {"request_id", "deadline_ms", "function_name", "memory_mb"}}
//     out  {"result": ...}   or   {"error": {"type": ..., "message": ...}}
//
// A streaming handler's answer is another one: streaming.cjs.
//
// The first read is the moment the VM is stunned: everything before it happens once, everything after it in a fork.
// The read is synchronous, on the main thread, so a request finds V8 where it uses it. Then the event loop runs until
// the handler's promise is settled.
"use strict";

const fs = require("node:fs");
const { load } = require("./load.cjs");
const { complain, describe, refuse } = require("./log.cjs");
const { Invocation } = require("./invocation.cjs");
const random = require("./random.cjs");
require("./streaming.cjs");

const DEVICE = "/dev/invocation";
const READ_SIZE = 64 << 10;
/** Invocations of a warm-up: enough for V8 to compile what an invocation runs, and to fill its young generation. */
const WARM_UPS = 2000;

// What an invocation uses, bound here: a handler that replaces JSON.parse or fs.readSync breaks only itself.
const { readSync, writeSync } = fs;
const { parse } = JSON;
const { setImmediate } = globalThis;

const buffer = Buffer.allocUnsafeSlow(READ_SIZE);
/** What is being answered, if anything. */
let current = null;
/** What happens when nothing is left to do before the first invocation. */
let idle = null;

/** Reads one line from the device; null if there are no more. */
function receive(device) {
  let length = readSync(device, buffer, 0, READ_SIZE, null);
  if (length === 0) return null;
  if (buffer[length - 1] === 10) return buffer.utf8Slice(0, length);
  const parts = [];
  for (;;) {
    parts.push(Buffer.from(buffer.subarray(0, length)));
    if (buffer[length - 1] === 10) return Buffer.concat(parts).utf8Slice();
    length = readSync(device, buffer, 0, READ_SIZE, null);
    if (length === 0) return null;
  }
}

/** Writes a whole answer, which ends in a newline. */
function send(device, answer) {
  if (answer.length < READ_SIZE / 4) {
    // Fits whatever it holds: at most three bytes for each unit.
    const length = buffer.utf8Write(answer, 0);
    if (writeSync(device, buffer, 0, length, null) === length) return;
    throw new Error("the platform did not take the answer");
  }
  sendAll(device, answer);
}

/** Writes bytes, or a text, however long. */
function sendAll(device, bytes) {
  for (let rest = typeof bytes === "string" ? Buffer.from(bytes) : bytes; rest.length > 0; ) rest = rest.subarray(writeSync(device, rest));
}

/** Answers one invocation; `done` gets the line to send, once; nothing if all was sent by `put`. */
function invoke(line, handler, done, complainer, put) {
  const invocation = new Invocation(done, complainer, put);
  current = invocation;
  let document;
  try {
    random.renew();
    document = parse(line);
  } catch (error) {
    invocation.fail(error);
    return;
  }
  invocation.run(handler, document.event, document.context);
}

/** Answers invocations until there are no more. */
function serve(device, handler) {
  const done = (answer) => {
    current = null;
    if (answer !== null) send(device, answer);
    setImmediate(next);
  };
  const put = (bytes) => sendAll(device, bytes);
  const next = () => {
    const line = receive(device);
    if (line === null) process.reallyExit(0);
    invoke(line, handler, done, undefined, put);
  };
  setImmediate(next);
}

/** Runs what an invocation runs, without the function's code, so that the snapshot has it, compiled. */
async function warm() {
  const line =
    '{"event":{"version":"2.0","headers":{"host":"x","accept":"*/*"},"queryStringParameters":{"a":"b"},' +
    '"requestContext":{"http":{"method":"GET","path":"/"}},"n":[1,2.5,true,null],"body":"\u00e9"},' +
    '"context":{"request_id":"","deadline_ms":1,"function_name":"","memory_mb":128}}\n';
  const answers = async (event, context) => {
    context.getRemainingTimeInMillis();
    return { statusCode: 200, headers: { "content-type": "text/plain" }, body: event.body, n: event.n };
  };
  const nothing = fs.openSync("/dev/null", "r+");
  for (let count = 0; count < WARM_UPS; count++) {
    await new Promise((resolve) => {
      receive(nothing);
      invoke(line, answers, (answer) => {
        send(nothing, answer);
        resolve();
      });
    });
  }
  const fails = () => {
    throw new Error("x");
  };
  await new Promise((resolve) => invoke(line, fails, resolve, () => {}));
  current = null;
  fs.closeSync(nothing);
  // The streams of the program's output exist from now on.
  process.stdout.write("");
  process.stderr.write("");
}

/**
 * Leaves memory as an invocation finds it: without old garbage, what it runs compiled (a collection throws some of that
 * away), and room for new objects in memory that was touched.
 */
async function settle() {
  await new Promise(setImmediate);
  globalThis.gc?.();
  await warm();
  await new Promise(setImmediate);
}

/** Waits to be told the function, takes its environment, and returns its name. */
function become(device) {
  const { handler, env } = parse(receive(device));
  for (const name of Object.keys(process.env)) delete process.env[name];
  Object.assign(process.env, env);
  random.renew();
  return handler;
}

/** Errors nobody caught belong to the invocation, or keep the function from being deployed. */
function watch() {
  process.on("uncaughtException", (error) => {
    if (current) current.fail(error);
    else refuse(`Runtime.ImportModuleError: an error was not caught: ${describe(error)}`, error);
  });
  process.on("unhandledRejection", (reason) => {
    if (current) current.fail(reason, "Runtime.UnhandledPromiseRejection");
    else refuse(`Runtime.UnhandledPromiseRejection: ${describe(reason)}`, reason);
  });
  process.on("beforeExit", () => (current ? current.nothingLeft() : idle?.()));
  process.on("exit", (code) => {
    if (current) current.fail(new Error(`the handler called process.exit(${code})`), "Runtime.ExitError");
    else if (idle) {
      complain(`[ERROR] Runtime.ExitError: the module called process.exit(${code}) while it was imported`);
      process.exitCode = 1;
    }
  });
}

async function main() {
  const [, , name, path = DEVICE] = process.argv;
  if (name === undefined) refuse("usage: bootstrap.cjs MODULE.FUNCTION|--await-function [DEVICE]");
  process.argv.length = 2;
  let device;
  try {
    device = fs.openSync(path, "r+");
  } catch (error) {
    refuse(`Runtime.PlatformError: cannot open ${path}: ${describe(error)}`);
  }
  watch();
  await settle();
  const handlerName = name === "--await-function" ? become(device) : name;
  idle = () => refuse("Runtime.ImportModuleError: an `await` at the module's top level waits for something that never happens");
  const handler = await load(handlerName, process.env.LAMBDA_TASK_ROOT ?? process.cwd());
  idle = null;
  await settle();
  serve(device, handler);
}

main();
