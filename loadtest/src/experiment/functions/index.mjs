// Says hello, does what an experiment asks for, and tells what it finds of other requests.
import fs from "node:fs";

let calls = 0;
const secrets = [];
const MARK = "/tmp/left-by-a-request";

// Where something of another request is found: all of these are empty in a fork of the parent.
function traces() {
  const found = [];
  if (calls !== 0) found.push("counter");
  if (secrets.length > 0) found.push("memory");
  if ("SECRET" in process.env) found.push("environment");
  if (fs.existsSync(MARK)) found.push("file");
  if (globalThis.leftByARequest !== undefined) found.push("module");
  if (process.cwd() === "/tmp") found.push("directory");
  return found;
}

// Leaves something everywhere, for the next request to find if it can.
function leave(secret) {
  secrets.push(secret.repeat(64));
  process.env.SECRET = secret;
  fs.writeFileSync(MARK, secret);
  globalThis.leftByARequest = secret;
  process.chdir("/tmp");
}

export const handler = async (event) => {
  const query = event.queryStringParameters ?? {};
  if ("exit" in query) process.exit(3);
  if ("secret" in query) {
    const found = traces();
    leave(query.secret);
    if ("dirty" in query) Buffer.alloc(Number(query.dirty) << 20, 1);
    calls += 1;
    return { secret: query.secret, found, calls };
  }
  if ("hold" in query) await new Promise((done) => setTimeout(done, Number(query.hold) * 1000));
  calls += 1;
  return { message: `Hello, ${query.name ?? "world"}!`, calls };
};
