// awslambda.streamifyResponse: handlers that write their response to a stream. It is collected, and sent when it ends.
"use strict";

const { Writable } = require("node:stream");

const STREAMING = Symbol.for("aws.lambda.runtime.handler.streaming");

/** Where a streaming handler writes to. */
class ResponseStream extends Writable {
  #chunks = [];
  #head = {};
  #type = "application/octet-stream";

  _write(chunk, _encoding, written) {
    this.#chunks.push(chunk);
    written();
  }

  setContentType(type) {
    this.#type = type;
  }

  /** Takes status, headers and cookies. */
  setHead(head) {
    this.#head = head;
  }

  /** The whole response, as a handler would return it. */
  response() {
    const { statusCode = 200, headers = {}, cookies } = this.#head;
    const typed = Object.keys(headers).some((name) => name.toLowerCase() === "content-type");
    const body = Buffer.concat(this.#chunks).toString("base64");
    const type = typed ? {} : { "content-type": this.#type };
    return { statusCode, headers: { ...type, ...headers }, cookies, body, isBase64Encoded: true };
  }
}

/** Calls a streaming handler; the promise is settled when the stream has ended. */
async function run(handler, event, context) {
  const stream = new ResponseStream();
  const ended = new Promise((resolve, reject) => {
    stream.on("finish", resolve);
    stream.on("error", reject);
  });
  ended.catch(() => {});
  await handler(event, stream, context);
  await ended;
  return stream.response();
}

function isStreaming(handler) {
  return handler[STREAMING] === "response";
}

globalThis.awslambda = {
  streamifyResponse(handler) {
    handler[STREAMING] = "response";
    return handler;
  },
  HttpResponseStream: {
    from(stream, head) {
      stream.setHead(head);
      return stream;
    },
  },
};

module.exports = { isStreaming, run };
