//! Profiles that only the tool has, ready to be copied into an image.

/// A profile that only the tool has: the shim takes it from the image, by `--profile FILE` or
/// as /etc/remit/profile.json.
pub struct ReadyProfile {
    /// As `remit profiles NAME` has it.
    pub name: &'static str,
    /// The profile.
    pub text: &'static str,
    /// The server with which it was tested, and where that differs from the official image.
    pub tested: &'static str,
}

/// A profile of `profiles/servers`.
macro_rules! ready {
    ($name:literal, $tested:literal) => {
        ReadyProfile {
            name: $name,
            text: include_str!(concat!("../../profiles/servers/", $name, ".json")),
            tested: $tested,
        }
    };
}

/// The profiles that are ready to be copied into an image, by name.
pub const READY: [ReadyProfile; 14] = [
    ready!("go", "a static program of Go 1.19 in /app"),
    ready!("gunicorn", "gunicorn 20.1 and Python 3.11 of Debian, beside each other in /usr/local/bin"),
    ready!("haproxy", "haproxy 2.6 of Debian in /usr/local/sbin, -W, ports 8080 and 8404"),
    ready!("httpd", "Apache httpd 2.4 of Debian below /usr/local/apache2, event workers, no CGI"),
    ready!("java", "OpenJDK 17 of Debian, linked from /opt/java/openjdk, classes in /app"),
    ready!(
        "mariadb",
        "MariaDB 10.11 of Debian behind the image's kind of script, without native asynchronous I/O"
    ),
    ready!("memcached", "memcached 1.6 of Debian in /usr/local/bin, without the image's script"),
    ready!("mosquitto", "mosquitto 2.0 of Debian, as root and as its user, without the image's script"),
    ready!("node", "Node.js 18 of Debian in /usr/local/bin, an app in /app that forks itself"),
    ready!("php-fpm", "PHP 8.2 of Debian in /usr/local/sbin, port 9000, no other program"),
    ready!(
        "postgres",
        "PostgreSQL 15 of Debian behind the image's kind of script; the official image has gosu in /usr/local/bin"
    ),
    ready!("prometheus", "Prometheus 2.42 of Debian, data in /prometheus"),
    ready!(
        "rabbitmq",
        "RabbitMQ 3.10 and Erlang 25 of Debian in /usr/lib behind the image's kind of script; the official image has them in /opt"
    ),
    ready!("uvicorn", "uvicorn 0.17 and Python 3.11 of Debian, beside each other in /usr/local/bin"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::{self, embedded};

    #[test]
    fn every_ready_profile_reads_under_its_own_name_and_says_why() {
        for ready in &READY {
            let read = profile::read(ready.text.as_bytes())
                .unwrap_or_else(|error| panic!("{}: {error}", ready.name));
            assert_eq!(read.profile.name, ready.name);
            assert!(embedded::named(ready.name).is_none(), "{}: the shim has one of this name", ready.name);
            let lines =
                ready.text.lines().filter(|line| line.starts_with("    {") || line.starts_with("      {"));
            for line in lines {
                assert!(line.contains("\"why\""), "{}: {line}", ready.name);
            }
        }
        assert!(READY.is_sorted_by_key(|ready| ready.name));
    }
}
