#!/bin/bash
# python's http.server, with a subprocess, threads and files.
. "$(dirname "$0")/workload.sh"

prepare() {
  rm -rf "$ROOT" && mkdir -p "$ROOT/data"
  cat >"$ROOT/server.py" <<'END'
import concurrent.futures, hashlib, http.server, json, os, signal, sqlite3, subprocess, sys, tempfile

ROOT, PORT = sys.argv[1], int(sys.argv[2])

def page(path):
    if path == "/subprocess":
        return subprocess.run(["/usr/bin/wc", "-c"], input=b"x" * 99, capture_output=True, check=True).stdout
    if path == "/threads":
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            return json.dumps(list(pool.map(lambda n: hashlib.md5(bytes([n])).hexdigest(), range(16)))).encode()
    if path == "/file":
        with tempfile.NamedTemporaryFile(dir=f"{ROOT}/data") as file:
            file.write(os.urandom(9999))
            file.flush()
            return str(os.path.getsize(file.name)).encode()
    if path == "/sqlite":
        with sqlite3.connect(f"{ROOT}/data/base") as base:
            base.execute("create table if not exists t (a)")
            base.execute("insert into t values (1)")
            return str(base.execute("select count(*) from t").fetchone()[0]).encode()
    return b"page\n"

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = page(self.path)
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass

signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
http.server.ThreadingHTTPServer(("127.0.0.1", PORT), Handler).serve_forever()
END
}

command() { printf '%s\n' /usr/bin/python3 "$ROOT/server.py" "$ROOT" "$PORT"; }
ready() { wait_for page /; }
do_get() { load /; }
do_subprocess() { for n in $(seq "$(between 1 4)"); do page /subprocess; done; }
do_threads() { page /threads; }
do_file() { for n in $(seq "$(between 1 4)"); do page /file; done; }
do_sqlite() { page /sqlite; }
workload "$@"
