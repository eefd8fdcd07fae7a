//! The ready-made profiles, each under the work of its server: in Docker's defaults as the
//! row of the table has it, and as Kubernetes' `restricted` has it.

use crate::compare::compare;
use crate::image;
use crate::rows::named as row;
use crate::server::Server;

/// A profile and its server.
struct Ready {
    /// `profiles/servers/NAME.json`.
    profile: &'static str,
    /// The server, a row or one like it.
    server: fn() -> Server,
    /// The user of a restricted container.
    user: &'static str,
    /// Where its data is, a volume each.
    data: &'static [&'static str],
}

impl Ready {
    fn in_docker(&self) {
        if image::can_run_servers() {
            compare(&(self.server)(), &self.mounted()).is_clean();
        }
    }

    /// Without a reload: on a read-only root nothing is reconfigured.
    fn restricted(&self) {
        if !image::can_run_servers() {
            return;
        }
        let mut options = self.mounted();
        options.extend(["--user", self.user].map(str::to_owned));
        options.extend(["--cap-drop", "ALL", "--security-opt", "no-new-privileges"].map(str::to_owned));
        options.extend(
            ["--read-only", "--tmpfs", "/tmp:mode=1777", "--tmpfs", "/run:mode=1777"].map(str::to_owned),
        );
        options.extend(self.data.iter().flat_map(|folder| ["--volume".to_owned(), (*folder).to_owned()]));
        compare(&Server { reloads: false, ..(self.server)() }, &options).is_clean();
    }

    /// The profile where remit-init finds it.
    fn mounted(&self) -> Vec<String> {
        let file = format!("{}/profiles/servers/{}.json", env!("CARGO_MANIFEST_DIR"), self.profile);
        vec!["--volume".to_owned(), format!("{file}:/etc/remit/profile.json:ro")]
    }
}

/// The script of an official image at its place there.
macro_rules! script {
    ($name:literal) => {
        concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/tests/images/root/usr/local/bin/",
            $name,
            "-entrypoint.sh:/usr/local/bin/docker-entrypoint.sh:ro"
        )
    };
}

/// One test for each profile and place.
macro_rules! profiles {
    ($($name:ident: $ready:expr),+ $(,)?) => {
        const ALL: &[Ready] = &[$($ready),+];

        $(
            mod $name {
                use super::{Ready, Server, row};

                const READY: Ready = $ready;

                #[test]
                fn docker() {
                    READY.in_docker();
                }

                #[test]
                fn restricted() {
                    READY.restricted();
                }
            }
        )+
    };
}

profiles! {
    go: Ready {
        profile: "go",
        server: || Server { name: "go, alone", client: "alone", command: &["/app/alone"], ..row("a Go service") },
        user: "101",
        data: &[],
    },
    gunicorn: Ready {
        profile: "gunicorn",
        server: || Server {
            name: "gunicorn, alone",
            client: "gunicorn-alone",
            command: &["gunicorn", "-w2", "--threads=2", "--bind=:8080", "--chdir=/app", "wsgi:app"],
            reloads: true,
            ..row("gunicorn")
        },
        user: "101",
        data: &[],
    },
    haproxy: Ready {
        profile: "haproxy",
        server: || Server {
            name: "haproxy, alone",
            command: &["haproxy", "-W", "-db", "-f", "/usr/local/etc/haproxy/haproxy.cfg"],
            ..row("haproxy")
        },
        user: "haproxy",
        data: &["/var/lib/haproxy"],
    },
    httpd: Ready {
        profile: "httpd",
        server: || Server {
            name: "httpd, pages",
            client: "httpd-pages",
            command: &["/usr/local/apache2/bin/httpd", "-DFOREGROUND", "-f", "/usr/local/apache2/conf/httpd.conf"],
            ..row("apache httpd")
        },
        user: "www-data",
        data: &["/usr/local/apache2/logs"],
    },
    java: Ready {
        profile: "java",
        server: || Server {
            name: "java, alone",
            client: "alone",
            command: &["/opt/java/openjdk/bin/java", "-Xmx96m", "-cp", "/app", "Alone"],
            ..row("Java (OpenJDK)")
        },
        user: "101",
        data: &[],
    },
    mariadb: Ready {
        profile: "mariadb",
        server: || Server {
            name: "mariadb, alone",
            // Without its try of io_uring, which would be an event.
            command: &["docker-entrypoint.sh", "mariadbd", "--bind-address=*", "--innodb-use-native-aio=0"],
            options: &["--volume", script!("mariadb")],
            ..row("mariadb")
        },
        user: "mysql",
        data: &["/var/lib/mysql", "/run/mysqld"],
    },
    memcached: Ready {
        profile: "memcached",
        server: || Server { name: "memcached, alone", command: &["memcached", "-m", "32"], ..row("memcached") },
        user: "memcache",
        data: &[],
    },
    mosquitto: Ready {
        profile: "mosquitto",
        server: || Server {
            name: "mosquitto, alone",
            command: &["mosquitto", "-c", "/mosquitto/config/mosquitto.conf"],
            ..row("mosquitto")
        },
        user: "mosquitto",
        data: &["/mosquitto/data"],
    },
    node: Ready {
        profile: "node",
        server: || Server { name: "node, alone", client: "alone", command: &["node", "/app/alone.js"], ..row("node") },
        user: "101",
        data: &[],
    },
    php_fpm: Ready {
        profile: "php-fpm",
        server: || Server {
            name: "php-fpm, alone",
            client: "php-alone",
            command: &["php-fpm", "-F", "-y", "/etc/php-app/fpm.conf"],
            ..row("php-fpm")
        },
        user: "www-data",
        data: &[],
    },
    postgres: Ready {
        profile: "postgres",
        server: || Server {
            name: "postgres, alone",
            client: "postgres-alone",
            command: &["docker-entrypoint.sh", "postgres", "-c", "listen_addresses=*"],
            environment: &[("POSTGRES_PASSWORD", "secret"), ("PGDATA", "/var/lib/postgresql/data/pgdata")],
            // A hook that is executed would have to be listed.
            options: &[
                "--stop-signal",
                "SIGINT",
                "--volume",
                script!("postgres"),
                "--volume",
                "/dev/null:/docker-entrypoint-initdb.d/20-hook.sh",
            ],
            ..row("postgres")
        },
        user: "postgres",
        data: &["/var/lib/postgresql/data", "/run/postgresql"],
    },
    prometheus: Ready {
        profile: "prometheus",
        server: || Server {
            name: "prometheus, alone",
            command: &[
                "/bin/prometheus",
                "--config.file=/etc/prometheus/app.yml",
                "--storage.tsdb.path=/prometheus",
                "--web.enable-admin-api",
            ],
            ..row("prometheus")
        },
        user: "65534:65534",
        data: &["/prometheus"],
    },
    rabbitmq: Ready {
        profile: "rabbitmq",
        server: || Server {
            name: "rabbitmq, alone",
            client: "rabbitmq-alone",
            command: &["docker-entrypoint.sh", "/usr/lib/rabbitmq/bin/rabbitmq-server"],
            options: &["--volume", script!("rabbitmq")],
            ..row("rabbitmq")
        },
        user: "rabbitmq",
        data: &["/var/lib/rabbitmq", "/var/log/rabbitmq"],
    },
    uvicorn: Ready {
        profile: "uvicorn",
        server: || Server { name: "uvicorn, alone", client: "alone", ..row("uvicorn") },
        user: "101",
        data: &[],
    },
}

/// Each that the tool has is tried here.
#[test]
fn every_profile_is_tested() {
    let tested: Vec<&str> = ALL.iter().map(|ready| ready.profile).collect();
    let known: Vec<&str> = remit::tool::READY.iter().map(|ready| ready.name).collect();
    assert_eq!(known, tested);
}
