#!/bin/bash
# node's http, with files, a worker thread and a child process.
. "$(dirname "$0")/workload.sh"

prepare() {
  rm -rf "$ROOT" && mkdir -p "$ROOT/data"
  cat >"$ROOT/server.js" <<'END'
const fs = require("fs"), http = require("http"), zlib = require("zlib");
const { execFile } = require("child_process"), { Worker } = require("worker_threads");
const [root, port] = process.argv.slice(2);
const pages = {
  "/file": (done) => {
    const name = `${root}/data/new`;
    fs.writeFileSync(name, "x".repeat(9999));
    fs.renameSync(name, `${root}/data/file`);
    done(fs.readFileSync(`${root}/data/file`));
  },
  "/child": (done) => execFile("/usr/bin/uname", ["-s"], (error, out) => done(error ? error.message : out)),
  "/worker": (done) => new Worker("require('worker_threads').parentPort.postMessage('worker')", { eval: true }).once("message", done),
  "/gzip": (done) => zlib.gzip("x".repeat(99999), (error, out) => done(out)),
};
process.on("SIGTERM", () => process.exit(0));
http.createServer((request, answer) => (pages[request.url] || ((done) => done("page\n")))((body) => answer.end(body))).listen(port, "127.0.0.1");
END
}

command() { printf '%s\n' /usr/bin/node "$ROOT/server.js" "$ROOT" "$PORT"; }
ready() { wait_for page /; }
do_get() { load /; }
do_file() { for n in $(seq "$(between 1 4)"); do page /file; done; }
do_child() { page /child; }
do_worker() { page /worker; }
do_gzip() { load /gzip; }
workload "$@"
