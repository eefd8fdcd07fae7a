"""For gunicorn and uvicorn: what a small web application does, by WSGI and by ASGI."""
import asyncio
import os
import sqlite3
import subprocess
import tempfile


def work():
    child = subprocess.run(["tr", "a-z", "A-Z"], input=b"child", capture_output=True)
    return f"child {child.stdout.decode()} {alone()}"


def alone():
    with tempfile.NamedTemporaryFile() as file:
        file.write(b"hello")
        file.flush()
        size = os.stat(file.name).st_size
        rows = sqlite3.connect(file.name + ".db")
        rows.execute("PRAGMA journal_mode=WAL")
        rows.execute("CREATE TABLE t (n)")
        rows.execute("INSERT INTO t VALUES (7)")
        rows.commit()
        found = rows.execute("SELECT n FROM t").fetchall()
        rows.close()
        os.unlink(file.name + ".db")
    return f"file {size} rows {found}\n"


def answer(path):
    acts = {"/work": work, "/alone": alone, "/pid": lambda: str(os.getpid())}
    return acts.get(path, lambda: "ok")()


def app(environ, start_response):
    start_response("200 OK", [("content-type", "text/plain")])
    return [answer(environ["PATH_INFO"]).encode()]


async def asgi(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            kind = (await receive())["type"]
            await send({"type": kind + ".complete"})
            if kind == "lifespan.shutdown":
                return
    body = await asyncio.get_running_loop().run_in_executor(None, answer, scope["path"])
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body.encode()})
