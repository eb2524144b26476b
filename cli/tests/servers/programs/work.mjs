// What Node.js programs do: HTTP, sockets, worker threads, WebAssembly, files, cryptography, compression, child processes.
import assert from 'node:assert';
import { once } from 'node:events';
import http from 'node:http';
import net from 'node:net';
import dgram from 'node:dgram';
import fs from 'node:fs';
import fsp from 'node:fs/promises';
import path from 'node:path';
import os from 'node:os';
import zlib from 'node:zlib';
import crypto from 'node:crypto';
import { Worker, MessageChannel, receiveMessageOnPort } from 'node:worker_threads';
import { spawn, spawnSync, exec, execFile, execFileSync, fork } from 'node:child_process';
import { promisify } from 'node:util';
import { pipeline } from 'node:stream/promises';
import { Readable, Transform } from 'node:stream';
import readline from 'node:readline';
import timers from 'node:timers/promises';
import vm from 'node:vm';
import v8 from 'node:v8';
import { performance, PerformanceObserver } from 'node:perf_hooks';
import { AsyncLocalStorage } from 'node:async_hooks';
const say = (...words) => console.log(...words);

// An HTTP server and 8 clients of it, streamed both ways; a connection that is refused.
const server = http.createServer(async (request, response) => {
  if (request.url === '/stream') { for (let n = 0; n < 5; n++) { response.write(`part ${n}\n`); await timers.setTimeout(1); } return response.end(); }
  const hash = crypto.createHash('sha256'); let bytes = 0;
  for await (const part of request) { hash.update(part); bytes += part.length; }
  response.setHeader('x-sum', hash.digest('hex'));
  response.end(JSON.stringify({ url: request.url, method: request.method, bytes }));
}).listen(0, '127.0.0.1');
await once(server, 'listening'); const port = server.address().port;
const agent = new http.Agent({ keepAlive: true, maxSockets: 8 });
const ask = (path, body) => new Promise((resolve, reject) => {
  const request = http.request({ port, host: '127.0.0.1', path, method: body ? 'POST' : 'GET', agent }, async (response) => {
    let text = ''; for await (const part of response.setEncoding('utf8')) text += part;
    resolve({ text, sum: response.headers['x-sum'], status: response.statusCode });
  }); request.on('error', reject); request.end(body);
});
const answers = await Promise.all(Array.from({ length: 64 }, (_, n) => ask(`/n${n}`, Buffer.alloc(n * 3001 + 1, n))));
say('http', answers.every(({ sum }, n) => sum === crypto.createHash('sha256').update(Buffer.alloc(n * 3001 + 1, n)).digest('hex')), answers[63].text, (await ask('/stream')).text.length);
say('fetch', await (await fetch(`http://127.0.0.1:${port}/fetched`, { method: 'PUT', body: 'x'.repeat(1000) })).json());
agent.destroy(); server.close(); server.closeAllConnections(); await once(server, 'close');
say(await ask('/').catch((error) => error.code));

// TCP and Unix sockets, datagrams.
const echo = net.createServer((socket) => socket.pipe(socket)).listen('/tmp/app/socket');
await once(echo, 'listening');
const socket = net.connect('/tmp/app/socket'); socket.end(Buffer.alloc(300000, 'e')); let echoed = 0;
for await (const part of socket) echoed += part.length; echo.close(); say('unix', echoed);
const udp = dgram.createSocket('udp4'); udp.bind(0, '127.0.0.1'); await once(udp, 'listening');
udp.send('datagram', udp.address().port, '127.0.0.1'); say('udp', String((await once(udp, 'message'))[0]));
udp.close();

// Worker threads: messages, shared memory, ports, an error, an end.
const source = `const { parentPort, workerData } = require('node:worker_threads'); const cells = new Int32Array(workerData);
  parentPort.on('message', ({ n, port }) => { for (let i = 0; i < 10000; i++) Atomics.add(cells, 0, n); Atomics.add(cells, 1, 1); Atomics.notify(cells, 1);
  if (n === 3) throw new RangeError('three'); if (port) port.postMessage(n * 2); parentPort.postMessage(n);
  });`;
const shared = new SharedArrayBuffer(8); const cells = new Int32Array(shared);
const { port1, port2 } = new MessageChannel();
const workers = [1, 2, 4].map(() => new Worker(source, { eval: true, workerData: shared }));
const replies = await Promise.all(workers.map((worker, index) => {
  if (index === 0) worker.postMessage({ n: 1, port: port2 }, [port2]);
  else worker.postMessage({ n: index * 2 });
  return once(worker, 'message');
}));
say('workers', replies.flat(), cells[0], receiveMessageOnPort(port1).message);
const failed = once(workers[0], 'error'); workers[0].postMessage({ n: 3 }); say(String((await failed)[0]));
say(await Promise.all(workers.slice(1).map((worker) => worker.terminate())));
say('wait', Atomics.wait(cells, 0, 123, 5), Atomics.wait(cells, 0, cells[0], 5)); port1.close();

// WebAssembly: compiled, run, trapped, its memory grown.
const wasm = Buffer.from('0061736d01000000010902' + '60017f017f' + '600000' + '0303020001' + '0503010001' + '071703' + '036661630000' +
  '04747261700001' + '066d656d6f72790200' + '0a1b02' + '150020004504' + '7f410105200020004101' + '6b10006c0b0b' + '0300000b', 'hex');
const { instance } = await WebAssembly.instantiate(wasm);
const { fac, trap, memory } = instance.exports;
say('wasm', fac(10), memory.grow(16), memory.buffer.byteLength);
for (const fails of [trap, () => fac(2 ** 31 - 1)]) try { fails(); } catch (error) { say(String(error)); }

// Files, synchronous and not; a directory watched; a stream through compression.
await fsp.mkdir('a/b/c', { recursive: true });
await Promise.all(Array.from({ length: 50 }, (_, n) => fsp.writeFile(`a/b/file${n}`, String(n).repeat(n))));
fs.symlinkSync('b', 'a/link');
const sizes = (await fsp.readdir('a', { recursive: true, withFileTypes: true })).filter((entry) => entry.isFile()).map((entry) => fs.statSync(path.join(entry.parentPath, entry.name)).size);
say('files', sizes.length, sizes.reduce((a, b) => a + b), fs.realpathSync('a/link/c'), fs.existsSync('a/none'));
await fsp.cp('a', 'copy', { recursive: true }); await fsp.rm('a', { recursive: true });
say(fs.readdirSync('copy/b').length);
const watcher = fs.watch('copy'); const event = once(watcher, 'change'); fs.writeFileSync('copy/new', '');
say('watch', await event); watcher.close();
try { fs.readFileSync('none'); } catch ({ code, syscall, path }) { say(code, syscall, path); }
const upper = new Transform({ transform(part, _, done) { done(null, String(part).toUpperCase()); } });
await pipeline(Readable.from(Array.from({ length: 20000 }, (_, n) => `line ${n}\n`)), upper, zlib.createGzip(), fs.createWriteStream('lines.gz'));
let lines = 0;
for await (const line of readline.createInterface({ input: fs.createReadStream('lines.gz').pipe(zlib.createGunzip()) })) { assert(line.startsWith('LINE ')); lines++; } say('gzip', lines);
const text = Buffer.from('compress me '.repeat(5000));
say('zlib', zlib.brotliDecompressSync(zlib.brotliCompressSync(text)).equals(text), zlib.inflateSync(zlib.deflateSync(text)).equals(text), zlib.zstdDecompressSync(zlib.zstdCompressSync(text)).equals(text), zlib.crc32(text));

// Cryptography, in the pool of threads and on the main one.
const derived = await Promise.all([1, 2, 3, 4, 5, 6].map((n) => promisify(crypto.pbkdf2)('password', `salt${n}`, 2000, 16, 'sha512')));
say('pbkdf2', derived.map((key) => key.toString('hex').slice(0, 8)).join(' '));
say('scrypt', crypto.scryptSync('password', 'salt', 16).toString('hex'), crypto.createHmac('sha3-256', 'key').update('text').digest('hex').slice(0, 16));
const cipher = crypto.createCipheriv('aes-256-gcm', Buffer.alloc(32, 1), Buffer.alloc(12, 2));
say('gcm', cipher.update('secret', 'utf8', 'hex') + cipher.final('hex'), cipher.getAuthTag().toString('hex'));
const { publicKey, privateKey } = await promisify(crypto.generateKeyPair)('ed25519');
say('sign', crypto.verify(null, Buffer.from('x'), publicKey, crypto.sign(null, Buffer.from('x'), privateKey)), crypto.randomBytes(8).length);
say('subtle', Buffer.from(await crypto.subtle.digest('SHA-384', Buffer.from('x'))).toString('hex').slice(0, 16));

// Child processes.
say('exec', (await promisify(exec)('echo "out $((6 * 7))"; echo err >&2')), execFileSync('tr', ['a-z', 'A-Z'], { input: 'shout', encoding: 'utf8' }));
say(await promisify(execFile)('sh', ['-c', 'exit 7']).catch(({ code, killed }) => [code, killed]), spawnSync('no-such-program').error.code, spawnSync('sh', ['-c', 'kill -9 $$']).signal);
const cat = spawn('cat'); const big = Buffer.alloc(1000000, 'b'); cat.stdin.end(big); let back = 0;
for await (const part of cat.stdout) back += part.length; say('cat', back);
const late = spawn('sleep', ['100'], { timeout: 20, killSignal: 'SIGKILL' });
say('timeout', await once(late, 'exit')); const stopped = new AbortController();
const aborted = spawn('sleep', ['100'], { signal: stopped.signal });
const why = once(aborted, 'close').catch(({ name }) => name); stopped.abort(); say(await why);
fs.writeFileSync('child.mjs', `process.on('message', ({ n, exit }, handle) => { if (handle) handle.end('from the child'); else if (exit) process.disconnect(); else process.send({ square: n * n, argv: process.argv.slice(2) }); });
  process.on('disconnect', () => process.exit(5)); process.on('SIGTERM', () => process.send('terminated'));
  process.send('ready');`);
const children = [1, 2, 3].map((n) => fork('child.mjs', [`child${n}`]));
await Promise.all(children.map((child) => once(child, 'message')));
say('fork', JSON.stringify(await Promise.all(children.map((child, n) => { child.send({ n }); return once(child, 'message'); }))));
children[0].kill('SIGTERM'); say(await once(children[0], 'message').then(([message]) => message));
const handed = net.createServer((connection) => children[1].send({}, connection)).listen(0, '127.0.0.1');
await once(handed, 'listening'); const given = net.connect(handed.address().port, '127.0.0.1');
let received = ''; for await (const part of given) received += part; handed.close(); say(received);
say(await Promise.all(children.map((child) => { child.send({ exit: true }); return once(child, 'exit'); })));

// Timers, contexts, the heap, signals.
const order = []; setTimeout(() => order.push('timeout'), 0); setImmediate(() => order.push('immediate'));
process.nextTick(() => order.push('tick')); Promise.resolve().then(() => order.push('promise'));
await timers.setTimeout(20); say(order.slice(0, 2), order.length);
const storage = new AsyncLocalStorage();
await storage.run(42, async () => { await timers.setImmediate(); say('storage', storage.getStore()); });
say(vm.runInNewContext('a * 2', { a: 21 }));
try { vm.runInNewContext('for (;;);', {}, { timeout: 20 }); } catch ({ code }) { say(code); } const alive = setInterval(() => {}, 1000);
const usr = once(process, 'SIGUSR2'); process.kill(process.pid, 'SIGUSR2'); say(await usr);
clearInterval(alive);
let garbage = [];
for (let n = 0; n < 300; n++) { garbage.push(new Array(20000).fill(n)); if (garbage.length > 50) garbage = garbage.slice(40); } say(garbage.length, v8.getHeapStatistics().used_heap_size < 300e6, os.platform(), os.arch(), process.version);
try { (function deep() { deep(); })(); } catch ({ message }) { say(message); } say(v8.deserialize(v8.serialize(new Map([[1, { date: new Date(0) }]]))), new Intl.NumberFormat('de-DE').format(1234567.891), structuredClone(new Set([1n])));
process.on('exit', (code) => say('exit', code)); process.exitCode = 9;
setTimeout(() => Promise.reject(new TypeError('nobody listens')), 5);
