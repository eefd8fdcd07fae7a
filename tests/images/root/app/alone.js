// What an app does that runs no other program: JIT, WebAssembly's kin, worker threads, a pool,
// forks of itself, files, HTTP both ways.
const { fork } = require("node:child_process");
const fs = require("node:fs");
const http = require("node:http");
const os = require("node:os");
const path = require("node:path");
const { Worker } = require("node:worker_threads");
const zlib = require("node:zlib");

if (process.argv[2] === "child") {
  process.on("message", (n) => process.send(n * 2, () => process.exit()));
} else {
  const answer = (request, response) => {
    const body = request.url === "/alone" ? work() : Promise.resolve("ok");
    body.catch(String).then((text) => response.end(text));
  };
  http.createServer(answer).listen(8080, () => console.log("listening"));
  process.on("SIGTERM", () => process.exit(0));
}

async function work() {
  let sum = 0;
  for (let i = 0; i < 3e6; i++) sum = (sum + i * 7) % 1009;
  const worker = new Worker("require('worker_threads').parentPort.postMessage(1)", { eval: true });
  const threads = await new Promise((done) => worker.once("message", done));
  const child = fork(__filename, ["child"]);
  child.send(21);
  const forked = await new Promise((done) => child.once("message", done));
  const packed = await new Promise((done) => zlib.gzip("a".repeat(1e5), (_, data) => done(data.length < 1e3)));
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "app-"));
  fs.writeFileSync(path.join(folder, "a"), "hello");
  fs.renameSync(path.join(folder, "a"), path.join(folder, "b"));
  const read = fs.readFileSync(path.join(folder, "b"), "utf8");
  fs.rmSync(folder, { recursive: true });
  const own = await fetch("http://localhost:8080/");
  return `sum ${sum} threads ${threads} forked ${forked} packed ${packed} read ${read} fetch ${own.status}\n`;
}
