// Writes and reads JSON (FunctionBench json_dumps_loads). Check: what is read is what was written.
import { isDeepStrictEqual } from "node:util";
import { check, generator, handlerOf, sha256 } from "./workload.mjs";

const TAGS = ["new", "sale", "größer", "naïve", 'quote"d', "back\\slash"];

const makeDocument = (size, draw) =>
  Array.from({ length: size }, (_, id) => ({
    id,
    name: `item ${draw(2 ** 31).toString(16)}`,
    price: (1 + draw(99_999)) / 100,
    tags: TAGS.filter(() => draw(2) === 1),
    stock: { shelf: draw(100), open: draw(2) === 1, note: null },
  }));

const work = ({ size, rounds, seed }) => {
  const original = makeDocument(size, generator(seed));
  let text = "";
  for (let round = 0; round < rounds; round += 1) {
    text = JSON.stringify(original);
    check(isDeepStrictEqual(JSON.parse(text), original), "the document is not what it was");
  }
  return { records: size, bytes: Buffer.byteLength(text), sha256: sha256(text) };
};

const parameters = { size: [1, 10_000, 200], rounds: [1, 100, 3], seed: [0, 2 ** 32 - 1, 1] };
export const handler = handlerOf("json-node", parameters, work);
