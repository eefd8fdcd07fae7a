// A node server: JIT, WebAssembly, worker threads, children, files, and itself as a client.
const { execFileSync, fork, spawn } = require("child_process");
const crypto = require("crypto");
const dns = require("dns");
const fs = require("fs");
const http = require("http");
const os = require("os");
const path = require("path");
const util = require("util");
const { Worker, isMainThread, parentPort } = require("worker_threads");

if (!isMainThread) {
  parentPort.postMessage(hot(2e6));
} else if (process.send) {
  process.once("message", (n) => process.send(n + 1, () => process.disconnect()));
} else {
  http.createServer((request, answer) => {
    const body = request.url === "/" ? Promise.resolve("ok") : work();
    body.then((text) => answer.end(text), (error) => { answer.statusCode = 500; answer.end(`${error.stack}`); });
  }).listen(8080, () => console.log("listening"));
  process.once("SIGTERM", () => process.exit(0));
}

/** Hot enough to be compiled. */
function hot(rounds) {
  let sum = 0;
  for (let i = 0; i < rounds; i++) sum = (sum + i * 7) % 1000003;
  return sum;
}

/** A module that adds: (i32, i32) -> i32. */
const ADD = Buffer.from("0061736d0100000001070160027f7f017f030201000707010361646400000a09010700200020016a0b", "hex");

async function work() {
  const said = [`jit ${hot(2e7)}`];
  const { instance } = await WebAssembly.instantiate(ADD);
  said.push(`wasm ${instance.exports.add(40, 2)}`);

  const workers = Array.from({ length: 4 }, () => new Promise((done, failed) => {
    new Worker(__filename).once("message", done).once("error", failed);
  }));
  said.push(`workers ${new Set(await Promise.all(workers)).size}`);
  const scrypt = util.promisify(crypto.scrypt);
  said.push(`pool ${(await Promise.all(Array.from({ length: 8 }, (_, n) => scrypt(`${n}`, "salt", 32)))).length}`);

  said.push(`exec ${execFileSync("sh", ["-c", "echo child | tr a-z A-Z"]).toString().trim()}`);
  const child = spawn("cat");
  child.stdin.end("through a pipe");
  let piped = "";
  for await (const chunk of child.stdout) piped += chunk;
  said.push(`spawn ${piped}`);
  const forked = fork(__filename);
  forked.send(41);
  said.push(`fork ${await new Promise((done) => forked.once("message", done))}`);

  const folder = await fs.promises.mkdtemp(path.join(os.tmpdir(), "node-"));
  const watched = new Promise((done) => fs.watch(folder).once("change", function () { this.close(); done("seen"); }));
  await fs.promises.writeFile(path.join(folder, "a"), "hello");
  await fs.promises.rename(path.join(folder, "a"), path.join(folder, "b"));
  said.push(`watch ${await watched}`);
  said.push(`file ${await fs.promises.readFile(path.join(folder, "b"), "utf8")}`);
  await fs.promises.rm(folder, { recursive: true });

  await dns.promises.lookup("localhost");
  const own = await new Promise((done) => http.get("http://127.0.0.1:8080/", (reply) => done(reply.statusCode)));
  said.push(`fetch ${own}`, `cpus ${os.cpus().length > 0}`);
  return said.join("\n");
}
