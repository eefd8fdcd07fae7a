"""A python server: threads, processes, shared memory, files, sqlite, callbacks."""
import asyncio
import concurrent.futures
import ctypes
import hashlib
import http.server
import mmap
import multiprocessing
import multiprocessing.shared_memory
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading


def spin(seed):
    return hashlib.pbkdf2_hmac("sha256", b"work", bytes([seed]), 2000).hex()


def threads():
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        return len(set(pool.map(spin, range(64))))


def processes():
    pool = multiprocessing.get_context("fork").Pool(2)
    forked = len(set(pool.map(spin, range(8))))
    # To terminate it sends TERM, of which this server's handler makes an exception that a
    # worker may lose, and wait for ever.
    pool.close()
    pool.join()
    shared = multiprocessing.shared_memory.SharedMemory(create=True, size=4096)
    shared.buf[0] = 7
    shared.close()
    shared.unlink()
    return forked


def subprocesses():
    said = subprocess.run(["sh", "-c", "cat | tr a-z A-Z; exit 3"], input=b"child", capture_output=True)
    piped = os.popen("printf popen").read()

    async def waited():
        child = await asyncio.create_subprocess_exec("sleep", "60")
        child.send_signal(signal.SIGTERM)
        return await child.wait()

    return said.stdout.decode(), said.returncode, piped, asyncio.run(waited())


def files():
    with tempfile.TemporaryDirectory() as folder:
        name = os.path.join(folder, "data")
        with open(name, "w+b") as file:
            file.truncate(8192)
            with mmap.mmap(file.fileno(), 8192) as mapped:
                mapped[:5] = b"hello"
        os.rename(name, name + ".new")
        os.link(name + ".new", name)
        os.chmod(name, 0o600)
        database = sqlite3.connect(os.path.join(folder, "db"))
        database.execute("PRAGMA journal_mode=WAL")
        with database:
            database.execute("CREATE TABLE numbers (n)")
            database.executemany("INSERT INTO numbers VALUES (?)", [(n,) for n in range(1000)])
        total = database.execute("SELECT sum(n) FROM numbers").fetchone()[0]
        database.close()
        with open(name, "rb") as file:
            return file.read(5).decode(), total


def callbacks():
    # libffi makes code for each callback while the program runs.
    compare = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_int), ctypes.POINTER(ctypes.c_int))
    numbers = (ctypes.c_int * 3)(3, 1, 2)
    libc = ctypes.CDLL(None)
    libc.qsort(numbers, 3, ctypes.sizeof(ctypes.c_int), compare(lambda a, b: a[0] - b[0]))
    return list(numbers)


def names():
    # pthread_setname_np of another thread writes /proc/self/task/TID/comm.
    done = threading.Event()
    other = threading.Thread(target=done.wait)
    other.start()
    failed = ctypes.CDLL(None).pthread_setname_np(ctypes.c_ulong(other.ident), b"renamed")
    with open(f"/proc/self/task/{other.native_id}/comm") as comm:
        name = comm.read().strip()
    done.set()
    other.join()
    socket.getaddrinfo("localhost", 80)
    return failed, name


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        work = [threads, processes, subprocesses, files, callbacks, names]
        body = "ok" if self.path == "/" else "\n".join(f"{act.__name__} {act()}" for act in work)
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_):
        pass


signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
server = http.server.ThreadingHTTPServer(("", 8080), Handler)
print("listening", flush=True)
server.serve_forever()
