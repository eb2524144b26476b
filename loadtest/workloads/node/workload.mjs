// What all workloads in JavaScript share: parameters, the answer, and the proof of a pristine state. As workload.py.
import { createHash } from "node:crypto";

const BODY_MAX = 64 << 10;
const TEXT_MAX = 100;

let calls = 0;

// The request is wrong: answered with 400.
class Bad extends Error {}
// The work's own check failed: answered with 500.
class Wrong extends Error {}

export const check = (holds, what) => {
  if (!holds) throw new Wrong(what);
};

export const sha256 = (text) => createHash("sha256").update(text).digest("hex");

// A handler for `work`, called with the parameters: each is [least, most, default] or a text, its default.
export const handlerOf = (name, parameters, work) => async (event) => {
  calls += 1;
  try {
    const given = take(parameters, members(event));
    return respond(200, { workload: name, parameters: given, result: work(given), calls });
  } catch (error) {
    if (error instanceof Bad) return respond(400, { error: error.message, workload: name, calls });
    if (error instanceof Wrong) return respond(500, { error: `the check failed: ${error.message}`, workload: name, calls });
    throw error;
  }
};

const respond = (statusCode, answer) => ({
  statusCode,
  headers: { "content-type": "application/json" },
  body: JSON.stringify(answer),
});

// The members of the JSON object in the body.
const members = (event) => {
  let body = event.body ?? "";
  if (event.isBase64Encoded) body = Buffer.from(body, "base64").toString();
  if (body.length > BODY_MAX) throw new Bad(`the body is longer than ${BODY_MAX} characters`);
  if (body.trim() === "") return {};
  let found;
  try {
    found = JSON.parse(body);
  } catch (error) {
    throw new Bad(`the body is not JSON: ${error.message}`);
  }
  if (typeof found !== "object" || found === null || Array.isArray(found)) throw new Bad("the body is not a JSON object");
  return found;
};

// The value of each parameter: what was found, if it may be that, or the default.
const take = (parameters, found) => {
  for (const name of Object.keys(found)) {
    if (!Object.hasOwn(parameters, name)) {
      const names = Object.keys(parameters).join(", ") || "none";
      throw new Bad(`no parameter is named ${JSON.stringify(name.slice(0, TEXT_MAX))}; there are: ${names}`);
    }
  }
  return Object.fromEntries(Object.entries(parameters).map(([name, kind]) => [name, value(name, kind, found)]));
};

const value = (name, kind, found) => {
  const isText = typeof kind === "string";
  const given = Object.hasOwn(found, name) ? found[name] : isText ? kind : kind[2];
  if (isText) {
    if (typeof given === "string" && given.length <= TEXT_MAX) return given;
    throw new Bad(`${name} must be a text of at most ${TEXT_MAX} characters`);
  }
  const [least, most] = kind;
  if (Number.isInteger(given) && given >= least && given <= most) return given;
  throw new Bad(`${name} must be a whole number from ${least} to ${most}`);
};

// Numbers below `limit` that depend on the seed alone (the generator mulberry32).
export const generator = (seed) => {
  let state = seed >>> 0;
  return (limit) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % limit;
  };
};
