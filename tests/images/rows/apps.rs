//! Runtimes, and entrypoints of images that people make.

use super::rows;
use crate::server::{SERVER, Server};

rows! {
    node: Server {
        name: "node",
        shape: "USER node, docker-entrypoint.sh",
        work: "JIT, workers, children, files, HTTP",
        client: "app",
        command: &["plain-entrypoint.sh", "node", "/app/server.js"],
        options: &["--user", "node"],
        ..SERVER
    },
    java: Server {
        name: "Java (OpenJDK)",
        shape: "classes in WORKDIR",
        work: "compilers, threads, children, files, sockets",
        client: "app",
        command: &["/opt/java/openjdk/bin/java", "-Xmx96m", "-cp", "/app", "Server"],
        options: &["--workdir", "/app"],
        ends: 143,
        ..SERVER
    },
    go: Server {
        name: "a Go service",
        shape: "one static program in its own folder",
        work: "threads, children, files, sockets",
        client: "app",
        command: &["/app/server"],
        ..SERVER
    },
    gunicorn: Server {
        name: "gunicorn",
        shape: "tini in front, USER www-data",
        work: "children, temporary files, SQLite",
        client: "gunicorn",
        command: &["tini", "--", "gunicorn", "-w2", "--threads=2", "--bind=:8080", "--chdir=/app", "wsgi:app"],
        options: &["--user", "www-data"],
        reloads: false,
        environment: &[("PYTHONDONTWRITEBYTECODE", "1")],
        ..SERVER
    },
    gunicorn_alone: Server {
        name: "gunicorn, as root",
        shape: "PID 1 itself",
        work: "children, temporary files, SQLite",
        client: "gunicorn",
        command: &["gunicorn", "-w2", "--threads=2", "--bind=:8080", "--chdir=/app", "wsgi:app"],
        environment: &[("PYTHONDONTWRITEBYTECODE", "1")],
        reloads: true,
        ..SERVER
    },
    uvicorn: Server {
        name: "uvicorn",
        shape: "two workers",
        work: "ASGI: children, temporary files, SQLite",
        client: "app",
        command: &["uvicorn", "--host", "0.0.0.0", "--port", "8080", "--app-dir", "/app", "--workers", "2", "wsgi:asgi"],
        environment: &[("PYTHONDONTWRITEBYTECODE", "1")],
        ..SERVER
    },
    jemalloc: Server {
        name: "an app with jemalloc",
        shape: "Rails' entrypoint: LD_PRELOAD of a library of the image",
        work: "threads, children, files, SQLite",
        client: "app",
        command: &["jemalloc-entrypoint.sh", "python3", "/app/server.py"],
        ..SERVER
    },
    puid: Server {
        name: "an app with PUID and PGID",
        shape: "groupadd, useradd, usermod, setpriv",
        work: "threads, children, files, SQLite",
        client: "app",
        command: &["puid-entrypoint.sh", "python3", "/app/server.py"],
        environment: &[("PUID", "1234"), ("PGID", "1234")],
        ..SERVER
    },
    su: Server {
        name: "an app by su",
        shape: "`exec su -s /bin/sh www-data`",
        work: "threads, children, files, SQLite",
        client: "app",
        command: &["su-entrypoint.sh", "python3", "/app/server.py"],
        ends: 143,
        ..SERVER
    },
}
