// awslambda.streamifyResponse: handlers that write their response to a stream. What is written goes to the device at once, so the
// client is sent it as soon as the function waits for anything.
//
// The device takes `chunks CONTENT-TYPE\n`, then the body in HTTP's chunked coding; trailers say that it ended in an error. A
// client that does not read holds back the whole VM, inside a write.
"use strict";

const { Writable } = require("node:stream");

const STREAMING = Symbol.for("aws.lambda.runtime.handler.streaming");
const HIGH_WATER_MARK = Symbol.for("aws.lambda.runtime.handler.streaming.highWaterMark");
const INTEGRATION = "application/vnd.awslambda.http-integration-response";
const PRELUDE_END = new Uint8Array(8);
const ERROR_TYPE = "Lambda-Runtime-Function-Error-Type";
const ERROR_BODY = "Lambda-Runtime-Function-Error-Body";

const { stringify } = JSON;

/** Where a streaming handler writes to. */
class ResponseStream extends Writable {
  #type = "application/octet-stream";
  /** Writes bytes to the device. */
  #put;
  #begun = false;

  constructor(put, highWaterMark) {
    super({ highWaterMark });
    this.#put = put;
  }

  /** Whether anything was sent: what was is an answer that can only break off. */
  get begun() {
    return this.#begun;
  }

  setContentType(type) {
    if (this.#begun) throw new Error("the content type cannot be set once the response has begun");
    if (!/^[\t\x20-\x7e]*$/.test(type)) throw new TypeError(`${stringify(type)} is not a content type`);
    this.#type = `${type}`;
  }

  /** Takes what else AWS Lambda's stream takes: anything that JSON can express. */
  write(chunk, ...more) {
    return super.write(asBytes(chunk), ...more);
  }

  end(chunk, ...more) {
    return super.end(typeof chunk === "function" ? chunk : asBytes(chunk), ...more);
  }

  _write(chunk, _encoding, written) {
    try {
      this.#begin();
      this.#chunk(chunk);
    } catch (error) {
      return written(error);
    }
    written();
  }

  /** Ends the response. That is the end of the invocation, too. */
  complete() {
    this.#begin();
    this.#put("0\r\n\r\n");
  }

  /** Ends a response that has begun, in an error. */
  breakOff(errorType, errorMessage) {
    const document = Buffer.from(stringify({ errorType, errorMessage })).toString("base64");
    const type = errorType.replace(/[^\x20-\x7e]/g, "?");
    this.#put(`0\r\n${ERROR_TYPE}: ${type}\r\n${ERROR_BODY}: ${document}\r\n\r\n`);
  }

  #begin() {
    if (this.#begun) return;
    // May throw: it is what the handler gave to HttpResponseStream.from, or the handler's own.
    const before = [];
    this._onBeforeFirstWrite?.((chunk) => before.push(Buffer.from(chunk)));
    this.#begun = true;
    this.#put(`chunks ${this.#type}\n`);
    for (const chunk of before) this.#chunk(chunk);
  }

  #chunk(chunk) {
    if (chunk.length > 0) this.#put(Buffer.concat([Buffer.from(`${chunk.length.toString(16)}\r\n`), chunk, CRLF]));
  }
}

const CRLF = Buffer.from("\r\n");

function asBytes(chunk) {
  const isPlain = chunk === null || chunk === undefined || typeof chunk === "string" || ArrayBuffer.isView(chunk);
  return isPlain ? chunk : stringify(chunk);
}

/** A stream for a handler, whose bytes go to `put`. */
function open(handler, put) {
  return new ResponseStream(put, handler[HIGH_WATER_MARK]);
}

/** Calls a streaming handler; the promise is settled when it is done and the stream has ended. */
async function run(handler, event, stream, context) {
  const ended = new Promise((resolve, reject) => {
    stream.on("finish", resolve);
    stream.on("error", reject);
    stream.on("close", () => reject(new Error("the response stream was destroyed before it was ended")));
  });
  ended.catch(() => {});
  await handler(event, stream, context);
  await ended;
}

function isStreaming(handler) {
  return handler[STREAMING] === "response";
}

globalThis.awslambda = {
  streamifyResponse(handler, options) {
    handler[STREAMING] = "response";
    if (typeof options?.highWaterMark === "number") handler[HIGH_WATER_MARK] = Math.trunc(options.highWaterMark);
    return handler;
  },
  HttpResponseStream: {
    /** Makes `stream` begin with status, header fields and cookies. */
    from(stream, metadata) {
      const prelude = stringify(metadata ?? {});
      stream.setContentType(INTEGRATION);
      stream._onBeforeFirstWrite = (write) => {
        write(prelude);
        write(PRELUDE_END);
      };
      return stream;
    },
  },
};

module.exports = { isStreaming, open, run };
