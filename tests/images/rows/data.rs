//! Databases, caches and queues.

use super::rows;
use crate::server::{SERVER, Server};

rows! {
    redis: Server {
        name: "redis",
        shape: "`find`, `chown`, gosu",
        work: "a script, BGSAVE, BGREWRITEAOF, CONFIG SET; data kept",
        client: "redis",
        command: &["redis-entrypoint.sh", "redis-server", "--dir", "/data", "--appendonly", "yes"],
        options: &["--workdir", "/data"],
        ..SERVER
    },
    postgres: Server {
        name: "postgres",
        shape: "gosu, initdb, hooks of /docker-entrypoint-initdb.d",
        work: "sorts on disk, parallel and compiled plans, COPY to a program; data kept",
        client: "postgres",
        command: &["postgres-entrypoint.sh", "postgres", "-c", "listen_addresses=*"],
        environment: &[("POSTGRES_PASSWORD", "secret")],
        options: &["--stop-signal", "SIGINT"],
        reloads: true,
        ..SERVER
    },
    postgres_of_any_user: Server {
        name: "postgres, any user",
        shape: "`--user 4711`: nss_wrapper by LD_PRELOAD names it",
        work: "as postgres",
        client: "postgres",
        command: &["postgres-entrypoint.sh", "postgres", "-c", "listen_addresses=*"],
        environment: &[("POSTGRES_PASSWORD", "secret"), ("PGDATA", "/var/lib/postgresql/data/pgdata")],
        options: &["--stop-signal", "SIGINT", "--user", "4711"],
        reloads: true,
        ..SERVER
    },
    mariadb: Server {
        name: "mariadb",
        shape: "gosu, mariadb-install-db, a first server by a socket",
        work: "InnoDB, Aria, sorts, INTO OUTFILE; data kept",
        client: "mariadb",
        command: &["mariadb-entrypoint.sh", "mariadbd", "--bind-address=*"],
        reloads: true,
        ..SERVER
    },
    memcached: Server {
        name: "memcached",
        shape: "USER memcache",
        work: "values, counters, statistics",
        client: "memcached",
        command: &["plain-entrypoint.sh", "memcached", "-m", "32"],
        options: &["--user", "memcache"],
        ..SERVER
    },
    memcached_u: Server {
        name: "memcached -u",
        shape: "root, then memcache",
        work: "values, counters, statistics",
        client: "memcached",
        command: &["memcached", "-m", "32", "-u", "memcache"],
        ..SERVER
    },
    rabbitmq: Server {
        name: "rabbitmq",
        shape: "gosu; an Erlang release with epmd and scripts",
        work: "a durable queue, messages, the management plugin; stop_app and start_app",
        client: "rabbitmq",
        command: &["rabbitmq-entrypoint.sh", "/usr/lib/rabbitmq/bin/rabbitmq-server"],
        reloads: true,
        ..SERVER
    },
    mosquitto: Server {
        name: "mosquitto",
        shape: "`chown`; the server becomes mosquitto by itself",
        work: "publish, subscribe, retained messages on disk",
        client: "mosquitto",
        command: &["mosquitto-entrypoint.sh", "mosquitto", "-c", "/mosquitto/config/mosquitto.conf"],
        reloads: true,
        ..SERVER
    },
    nats: Server {
        name: "nats",
        shape: "a Go program, JetStream on disk",
        work: "publish and subscribe",
        client: "nats",
        command: &["nats-server", "-c", "/etc/app-nats.conf"],
        reloads: true,
        ends: 1,
        ..SERVER
    },
    etcd: Server {
        name: "etcd",
        shape: "a Go program, data in a volume",
        work: "keys over gRPC's gateway; data kept",
        client: "etcd",
        command: &[
            "etcd", "--data-dir=/var/lib/etcd-app", "--listen-client-urls=http://0.0.0.0:2379",
            "--advertise-client-urls=http://127.0.0.1:2379",
        ],
        ends: 143,
        ..SERVER
    },
    influxdb: Server {
        name: "influxdb",
        shape: "USER influxdb",
        work: "a database, writes, queries",
        client: "influxdb",
        command: &["influxd"],
        environment: &[("HOME", "/var/lib/influxdb")],
        options: &["--user", "influxdb"],
        ..SERVER
    },
    prometheus: Server {
        name: "prometheus",
        shape: "the last user, 65534",
        work: "scrapes, rules, queries, a snapshot",
        client: "prometheus",
        command: &[
            "prometheus", "--config.file=/etc/prometheus/app.yml", "--storage.tsdb.path=/prometheus",
            "--web.enable-admin-api",
        ],
        options: &["--user", "65534:65534"],
        reloads: true,
        ..SERVER
    },
}
