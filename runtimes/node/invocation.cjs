// One invocation: the context a handler is given, and the ways it can end.
"use strict";

const { readFileSync } = require("node:fs");
const { complain, describe, nameOf, trace } = require("./log.cjs");
const streaming = require("./streaming.cjs");

const { stringify } = JSON;
const { now } = Date;

const UNSETTLED = "the handler's promise is not settled, and nothing is left that could settle it";

/** What AWS Lambda tells a handler about the invocation. */
class Context {
  #deadline;
  #invocation;

  constructor(given, invocation) {
    const name = given.function_name || process.env.AWS_LAMBDA_FUNCTION_NAME || "";
    this.callbackWaitsForEmptyEventLoop = true;
    this.functionVersion = given.function_version ?? "$LATEST";
    this.functionName = name;
    this.memoryLimitInMB = String(given.memory_mb ?? "");
    this.logGroupName = `/aws/lambda/${name}`;
    this.clientContext = undefined;
    this.identity = undefined;
    this.invokedFunctionArn = given.invoked_function_arn ?? `arn:aws:lambda:local:anonymous:function:${name}`;
    this.awsRequestId = given.request_id ?? "";
    this.#deadline = given.deadline_ms ?? 0;
    this.#invocation = invocation;
  }

  /** The id of the fork that serves this invocation, 32 hex digits; another one for every request. */
  get logStreamName() {
    return readFileSync("/proc/sys/kernel/random/boot_id", "latin1").trim().replaceAll("-", "");
  }

  /** Milliseconds until the invocation is stopped; never negative. */
  getRemainingTimeInMillis() {
    return Math.max(this.#deadline - now(), 0);
  }

  done(error, result) {
    this.#invocation.callback(this, error, result);
  }

  succeed(result) {
    this.#invocation.callback(this, null, result);
  }

  fail(error) {
    this.#invocation.callback(this, error ?? new Error("context.fail was called"));
  }
}

/** Where code that traces looks for the trace of the invocation; an earlier one's is gone. */
const TRACE = "_X_AMZN_TRACE_ID";
let traced = false;

function setTrace(id) {
  traced = id !== undefined;
  if (traced) process.env[TRACE] = id;
  else delete process.env[TRACE];
}

/** An invocation that is being answered. */
class Invocation {
  /** Takes the answer; null once it is given. */
  #done;
  /** A result that is given when nothing is left to do. */
  #waiting;
  /** What is told if nothing is left to do and there is no answer. */
  #missing = UNSETTLED;

  #complain;
  /** Writes bytes of a streamed answer. */
  #put;
  /** The response of a streaming handler. */
  #stream = null;

  constructor(done, complainer = complain, put = undefined) {
    this.#done = done;
    this.#complain = complainer;
    this.#put = put;
  }

  /** Calls the handler. Its answer comes now or later. */
  run(handler, event, about) {
    const context = new Context(about, this);
    if (about.trace_id !== undefined || traced) setTrace(about.trace_id);
    const callback = (error, result) => this.callback(context, error, result);
    let result;
    try {
      if (streaming.isStreaming(handler)) {
        this.#missing = "the response stream was not ended, and nothing is left that could end it";
        this.#stream = streaming.open(handler, this.#put);
        result = streaming.run(handler, event, this.#stream, context);
      } else result = handler(event, context, callback);
    } catch (error) {
      return this.fail(error);
    }
    if (typeof result?.then === "function") {
      result.then((value) => this.succeed(value), (error) => this.fail(error));
    } else if (result !== undefined) this.succeed(result);
    else this.#missing = null;
  }

  /** The handler called back. The first time counts. */
  callback(context, error, result) {
    if (this.#waiting !== undefined) return;
    if (error !== null && error !== undefined) this.fail(error);
    else if (context.callbackWaitsForEmptyEventLoop) this.#waiting = result ?? null;
    else this.succeed(result);
  }

  /** The event loop has nothing left to do. */
  nothingLeft() {
    if (this.#waiting !== undefined) this.succeed(this.#waiting);
    // A plain function that neither returned nor called back: null, as in Lambda.
    else if (this.#missing === null) this.succeed(null);
    else {
      const missing = this.#stream?.writableFinished ? UNSETTLED : this.#missing;
      this.fail(new Error(missing), "Runtime.NodeJsExit");
    }
  }

  succeed(result) {
    if (this.#done === null) return;
    if (this.#stream !== null) return this.#complete();
    let text;
    try {
      text = stringify(result) ?? "null";
    } catch (error) {
      const message = `the handler's result cannot be expressed in JSON: ${describe(error)}`;
      return this.fail(new TypeError(message), "Runtime.MarshalError");
    }
    this.#give(`{"result":${text}}\n`);
  }

  fail(error, type = nameOf(error)) {
    if (this.#done === null) return;
    const message = describe(error);
    this.#complain(`[ERROR] ${type}: ${message}\n${trace(error)}`);
    if (this.#stream?.begun) return this.#end(() => this.#stream.breakOff(type, message));
    this.#give(`${stringify({ error: { type, message } })}\n`);
  }

  /** The stream has ended well. It may never have begun, and then not begin. */
  #complete() {
    try {
      this.#end(() => this.#stream.complete());
    } catch (error) {
      this.fail(error);
    }
  }

  /** Writes the end of a streamed answer. */
  #end(write) {
    write();
    this.#give(null);
  }

  #give(answer) {
    const done = this.#done;
    this.#done = null;
    done(answer);
  }
}

module.exports = { Invocation };
