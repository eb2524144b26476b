//! The runtime node24: its bootstrap and unmodified Node.js in a guest.

mod common;

use abi::mailbox::Doorbell;
use common::node::{answer, ask, command, document, invocation, node};
use common::{End, Outcome, counts};
use std::collections::HashSet;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const FUNCTIONS: &str = r#"
import { randomBytes, randomInt, randomUUID } from "node:crypto";
import { createServer, get } from "node:http";
import { setTimeout as wait } from "node:timers/promises";

// Generators that were used before the capture.
randomInt(10); randomUUID(); Math.random();
let calls = 0;
export const hello = async (event) => ({ message: `Hello, ${event.name ?? "world"}!`, calls: ++calls });
export const draw = () => [++calls, randomBytes(8).toString("hex"), randomUUID(), globalThis.crypto.randomUUID(),
  Math.random(), randomInt(2 ** 40), String(crypto.getRandomValues(new Uint32Array(4)))];
export const about = (event, context) => ({ date: Date.now(), left: context.getRemainingTimeInMillis() > 1000,
  id: context.awsRequestId, stream: context.logStreamName.length, memory: context.memoryLimitInMB,
  env: process.env.COLOUR, hour: new Date(0).getHours() });
export const all = async (event, context) => {
  const kinds = {
    timer: async () => { const start = performance.now(); await wait(30); return performance.now() - start >= 29; },
    server: () => new Promise((resolve) => {
      const server = createServer((request, response) => response.end("from " + request.url));
      server.listen(0, "127.0.0.1", () => get({ port: server.address().port, path: "/x" }, (response) => {
        let text = "";
        response.on("data", (part) => { text += part; });
        response.on("end", () => { server.close(); resolve(text); });
      }));
    }),
    files: async () => {
      const { writeFile, readFile } = await import("node:fs/promises");
      await writeFile("/tmp/x", "kept");
      return readFile("/tmp/x", "utf8");
    },
    watch: () => new Promise(async (resolve) => {
      const { mkdtempSync, watch, writeFileSync } = await import("node:fs");
      const directory = mkdtempSync("/tmp/watched-");
      const watcher = watch(directory, (kind, name) => { watcher.close(); resolve(kind + " " + name); });
      writeFileSync(directory + "/x", "1");
    }),
    fails: async () => { throw new RangeError("as asked"); },
    lost: () => { Promise.reject(new Error("lost")); return wait(1000); },
    thrown: () => { setTimeout(() => { throw new EvalError("late"); }, 1); return wait(1000); },
    never: () => new Promise(() => {}),
    exits: () => process.exit(3),
    bigint: () => 1n,
    undefined: () => undefined,
    big: () => "b".repeat(3 << 20),
    logs: () => { console.log("out %d", 1); console.error("err"); },
  };
  return kinds[event.do]();
};
"#;
const CALLBACKS: &str = r#"
const words = require("words");
exports.later = (event, context, callback) => {
  if (event.now) context.callbackWaitsForEmptyEventLoop = false;
  let order = "called";
  setTimeout(() => { order = "timer first"; }, 20);
  callback(event.fail ? new TypeError("as asked") : null, { get order() { return order; }, words });
};
exports.nothing = (event, context, callback) => {};
"#;
const STREAMS: &str = r#"
const { Readable } = require("node:stream");
const { pipeline } = require("node:stream/promises");
const { setTimeout: wait } = require("node:timers/promises");
const kinds = {
  async parts(stream) {
    stream = awslambda.HttpResponseStream.from(stream, { statusCode: 201, headers: { "x-a": "b" }, cookies: ["c=d"] });
    stream.write("one ");
    // Long enough that the timer is not due before the function waits, however slow the machine is.
    setTimeout(() => stream.end("two"), 3000);
  },
  atOnce(stream) { stream.setContentType("text/plain"); stream.end("all"); },
  async object(stream) { stream.end({ a: 1 }); },
  async nothing(stream) { awslambda.HttpResponseStream.from(stream, { statusCode: 204 }).end(); },
  pipes: (stream) => pipeline(Readable.from(["a", "b"]), stream),
  pipeBreaks: (stream) => pipeline(Readable.from((async function* () {
    yield "a";
    await wait(2);
    throw new RangeError("source");
  })()), stream),
  async early() { throw new TypeError("as asked"); },
  async late(stream) { stream.write("a"); await wait(2); throw new TypeError("as asked"); },
  async uncaught(stream) { stream.write("a"); setTimeout(() => { throw new EvalError("lost"); }, 1); await wait(60000); },
  async afterEnd(stream) { stream.write("a"); stream.end(); stream.write("b"); },
  async open(stream) { stream.write("a"); },
  async exits(stream) { stream.write("a"); await wait(2); process.exit(3); },
  async large(stream) {
    const piece = Buffer.alloc(1 << 20, "l");
    for (let count = 0; count < 24; count++) if (!stream.write(piece)) await new Promise((go) => stream.once("drain", go));
    stream.end();
  },
};
exports.handler = awslambda.streamifyResponse((event, stream) => kinds[event.do](stream), { highWaterMark: 1024 });
"#;
const FILES: [(&str, &str); 5] = [
    ("streams.cjs", STREAMS),
    ("app.mjs", FUNCTIONS),
    ("old.js", CALLBACKS),
    ("node_modules/words/package.json", r#"{"name": "words", "main": "main.js"}"#),
    ("node_modules/words/main.js", "module.exports = ['one'];"),
];

#[test]
fn handlers_answer_or_fail_as_in_lambda() {
    let guest = node(&FILES);
    let parent = guest.parent(&command("app.all"));
    let error =
        |kind: &str, message: &str| format!(r#"{{"error":{{"type":"{kind}","message":"{message}"}}}}"#);
    for (what, expected) in [
        ("timer", r#"{"result":true}"#.to_owned()),
        ("server", r#"{"result":"from /x"}"#.to_owned()),
        ("files", r#"{"result":"kept"}"#.to_owned()),
        ("watch", r#"{"result":"rename x"}"#.to_owned()),
        ("undefined", r#"{"result":null}"#.to_owned()),
        ("fails", error("RangeError", "as asked")),
        ("lost", error("Runtime.UnhandledPromiseRejection", "lost")),
        ("thrown", error("EvalError", "late")),
        ("exits", error("Runtime.ExitError", "the handler called process.exit(3)")),
    ] {
        assert_eq!(ask(&parent, &format!("{{\"do\":\"{what}\"}}")), expected, "{what}");
    }
    assert!(ask(&parent, r#"{"do":"never"}"#).contains("Runtime.NodeJsExit"));
    assert!(ask(&parent, r#"{"do":"bigint"}"#).contains("Runtime.MarshalError"));
    assert_eq!(ask(&parent, r#"{"do":"big"}"#).len(), (3 << 20) + r#"{"result":""}"#.len());
    let logs = parent.fork(2, &invocation(r#"{"do":"logs"}"#));
    assert_eq!((logs.out().as_str(), logs.err().as_str()), ("out 1\n", "err\n"));
    let fails = parent.fork(2, &invocation(r#"{"do":"fails"}"#));
    let log = fails.err();
    assert!(
        log.contains("[ERROR] RangeError: as asked") && log.contains("file:///var/task/app.mjs:"),
        "{log}"
    );
    assert!(!log.contains("/opt/spore"), "{log}");
}

#[test]
fn callbacks_of_commonjs_modules_answer_too() {
    let guest = node(&FILES);
    let callbacks = guest.parent(&command("old.later"));
    assert_eq!(ask(&callbacks, "{}"), r#"{"result":{"order":"timer first","words":["one"]}}"#);
    assert_eq!(ask(&callbacks, r#"{"now":1}"#), r#"{"result":{"order":"called","words":["one"]}}"#);
    let failed = ask(&callbacks, r#"{"fail":1}"#);
    assert_eq!(failed, r#"{"error":{"type":"TypeError","message":"as asked"}}"#);
}

/// How many parts of a streamed answer came before its end, and all of it.
#[track_caller]
fn streamed(outcome: &Outcome) -> (usize, String) {
    let last = answer(outcome);
    let text: String = outcome.parts.iter().map(|part| String::from_utf8_lossy(part)).collect();
    (outcome.parts.len(), text + &last)
}

#[test]
fn streams_go_out_as_they_are_written() {
    let guest = node(&FILES);
    let parent = guest.parent(&command("streams.handler"));
    let ask = |what: &str| parent.fork(2, &invocation(&format!("{{\"do\":\"{what}\"}}")));
    let head = "chunks application/vnd.awslambda.http-integration-response\n";
    // `answer` trims the end of what it returns.
    let (nul, end) = ("8\r\n\0\0\0\0\0\0\0\0\r\n", "0");
    let prelude = r#"{"statusCode":201,"headers":{"x-a":"b"},"cookies":["c=d"]}"#;
    let whole = format!("{head}{:x}\r\n{prelude}\r\n{nul}4\r\none \r\n3\r\ntwo\r\n{end}", prelude.len());
    let outcome = ask("parts");
    assert_eq!(streamed(&outcome), (outcome.parts.len(), whole));
    assert!(outcome.parts.first().is_some_and(|part| part.ends_with(b"4\r\none \r\n")), "{outcome:#?}");
    let octets = "chunks application/octet-stream\n";
    for (what, whole) in [
        ("atOnce", format!("chunks text/plain\n3\r\nall\r\n{end}")),
        ("object", format!("{octets}7\r\n{{\"a\":1}}\r\n{end}")),
        ("nothing", format!("{head}12\r\n{{\"statusCode\":204}}\r\n{nul}{end}")),
        ("pipes", format!("{octets}1\r\na\r\n1\r\nb\r\n{end}")),
    ] {
        assert_eq!(streamed(&ask(what)).1, whole, "{what}");
    }
    assert_eq!(streamed(&ask("atOnce")).0, 0, "it leaves the VM once");
    assert_eq!(streamed(&ask("early")).1, r#"{"error":{"type":"TypeError","message":"as asked"}}"#);
    for (what, kind) in [
        ("pipeBreaks", "RangeError"),
        ("late", "TypeError"),
        ("uncaught", "EvalError"),
        ("afterEnd", "Error"),
        ("open", "Runtime.NodeJsExit"),
        ("exits", "Runtime.ExitError"),
    ] {
        let outcome = ask(what);
        let text = streamed(&outcome).1;
        let broken = format!("{octets}1\r\na\r\n0\r\nLambda-Runtime-Function-Error-Type: {kind}\r\n");
        assert!(text.starts_with(&broken), "{what}: {text}");
        assert!(outcome.err().contains(&format!("[ERROR] {kind}: ")), "{what}: {}", outcome.err());
    }
    let (parts, large) = streamed(&ask("large"));
    assert!(parts > 20 && large.len() > 24 << 20, "{parts} parts of {} bytes", large.len());
    let mut shell = parent.shell();
    for generation in 3..=5 {
        let outcome = parent.fork_in(&mut shell, generation, &invocation(r#"{"do":"parts"}"#));
        assert!(streamed(&outcome).1.ends_with("two\r\n0"));
        shell.restore().expect("nothing but memory and registers changed");
    }
}

#[test]
fn functions_of_one_runtime_parent_have_their_own_environment_and_answer_in_recycled_forks() {
    let mut guest = node(&FILES);
    guest.awaits_function = true;
    let runtime = guest.parent(&command("--await-function"));

    // The program alone has 120 MB, most of which is seen in the image.
    let resident = runtime.resident_bytes() >> 20;
    println!("parent of node24: {resident} MiB");
    assert!(resident < 64, "{resident} MiB");

    let about = runtime.function(&document("app.about"), 64);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis();
    let text = ask(&about, "{}");
    let date = text.split(['{', ':', ',']).find_map(|word| word.parse::<u128>().ok()).expect("a number");
    assert!(date >= now && date < now + 60_000, "{text} at {now}");
    let rest = r#""left":true,"id":"r-1","stream":32,"memory":"256","env":"green","hour":1}}"#;
    assert!(text.ends_with(rest), "{text}");

    let draw = runtime.function(&document("app.draw"), 64);
    let (mut shell, mut seen) = (draw.shell(), HashSet::new());
    for generation in 2..=11 {
        let text = answer(&draw.fork_in(&mut shell, generation, &invocation("{}")));
        assert!(text.starts_with(r#"{"result":[1,"#), "a recycled fork remembers: {text}");
        for word in text.split(',').skip(1) {
            assert!(seen.insert(word.to_owned()), "two forks drew {word}");
        }
        shell.restore().expect("nothing but memory and registers changed");
    }

    let hello = runtime.function(&document("app.hello"), 64);
    let (mut shell, mut costs) = (hello.shell(), Vec::new());
    for generation in 2..=40 {
        let before = counts(&shell);
        let outcome = hello.fork_in(&mut shell, generation, &invocation(r#"{"name":"Ada"}"#));
        let after = counts(&shell);
        assert_eq!(answer(&outcome), r#"{"result":{"message":"Hello, Ada!","calls":1}}"#);
        costs.extend(before.zip(after).map(|(b, a)| (a.0 - b.0, a.1 - b.1, outcome.elapsed)));
        shell.restore().expect("nothing but memory and registers changed");
    }
    println!("exits and faults of node24: {costs:?}");
    // A tick of the host is an exit: at most one a millisecond. More come on top on a busy machine, but not in every request.
    let right = |(exits, faults, took): &(u64, u64, Duration)| {
        u128::from(*exits) <= 1 + took.as_millis() && *faults == 0
    };
    assert!(costs.is_empty() || costs.iter().any(right), "exits and faults of a recycled request: {costs:?}");
}

#[test]
fn what_cannot_be_imported_says_why() {
    let guest = node(&[
        ("syntax.mjs", "export const a = 1;\nexport const handler = async ( => 1;\n"),
        ("lacks.mjs", "import left from 'left-pad';\nexport const handler = () => left;\n"),
        ("throws.cjs", "function start() { throw new Error('no database'); }\nstart();\n"),
        ("other.mjs", "export const run = () => 1;\n"),
        ("leaves.mjs", "process.exit(0);\n"),
        ("waits.mjs", "await new Promise(() => {});\nexport const handler = () => 1;\n"),
    ]);
    for (handler, expected) in [
        ("syntax.handler", ["Runtime.UserCodeSyntaxError", "syntax.mjs:2"]),
        ("lacks.handler", ["Cannot find package 'left-pad'", "npm install"]),
        ("throws.handler", ["no database", "/var/task/throws.cjs:1"]),
        ("other.handler", ["Runtime.HandlerNotFound", "it exports: run"]),
        ("leaves.handler", ["Runtime.ExitError", "process.exit(0)"]),
        ("waits.handler", ["top level", "never happens"]),
    ] {
        let outcome = guest.run(&command(handler));
        assert_eq!(outcome.end, End::Doorbell(Doorbell::Exit, 1, String::new()), "{handler}: {outcome:#?}");
        let log = outcome.err();
        assert!(expected.iter().all(|text| log.contains(text)), "{handler}: {log}");
    }
}
