// Random generators: each fork gets states of its own. V8 seeds Math.random once, OpenSSL its generator too, and
// node:crypto keeps random numbers in store; all of that would be the same in every fork.
"use strict";

const crypto = require("node:crypto");
const { syncBuiltinESMExports } = require("node:module");

const { randomFillSync, randomInt, randomUUID } = crypto;
/** Numbers that crypto.randomInt keeps in store. */
const STORE = 1024;

const native = { exports: {} };
process.dlopen(native, `${__dirname}/reseed.node`);
const { reseed } = native.exports;

/** sfc32: 128 bits of state. */
const state = new Int32Array(4);
let seeded = false;
let randomIntUsed = false;

function seed() {
  randomFillSync(state);
  state[3] = 1;
  seeded = true;
  for (let round = 0; round < 12; round++) next();
}

function next() {
  const sum = (((state[0] + state[1]) | 0) + state[3]) | 0;
  state[3] = (state[3] + 1) | 0;
  state[0] = state[1] ^ (state[1] >>> 9);
  state[1] = (state[2] + (state[2] << 3)) | 0;
  state[2] = (((state[2] << 21) | (state[2] >>> 11)) + sum) | 0;
  return sum;
}

/** Math.random, seeded when it is first used in a fork. */
function mathRandom() {
  if (!seeded) seed();
  return ((next() >>> 5) * 0x4000000 + (next() >>> 6)) / 0x20000000000000;
}

/** Gives every random generator of this fork a state of its own. */
function renew() {
  reseed();
  seeded = false;
  if (randomIntUsed) for (let count = 0; count < STORE; count++) randomInt(2);
}

/** Puts generators in place that can be renewed. */
function install() {
  Object.defineProperty(mathRandom, "name", { value: "random" });
  Object.defineProperty(Math, "random", { value: mathRandom, writable: true, configurable: true });
  crypto.randomInt = function (...bounds) {
    randomIntUsed = true;
    return randomInt(...bounds);
  };
  crypto.randomUUID = (options) => randomUUID({ ...options, disableEntropyCache: true });
  const { prototype } = globalThis.Crypto;
  Object.defineProperty(prototype, "randomUUID", {
    value: function () {
      return randomUUID({ disableEntropyCache: true });
    },
    writable: true, enumerable: true, configurable: true,
  });
  syncBuiltinESMExports();
}

install();
module.exports = { renew };
