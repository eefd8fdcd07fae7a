//! Web servers and what stands before them.

use super::rows;
use crate::server::{SERVER, Server, alarms};

rows! {
    nginx: Server {
        name: "nginx",
        shape: "/docker-entrypoint.d, scripts run and sourced; workers of another user",
        work: "pages, bodies in temporary files; reopened logs",
        client: "nginx",
        command: &["nginx-entrypoint.sh", "nginx", "-c", "/etc/nginx/app.conf"],
        environment: &[("HOOK", "by the environment")],
        options: &["--stop-signal", "SIGQUIT"],
        reloads: true,
        ..SERVER
    },
    haproxy: Server {
        name: "haproxy",
        shape: "USER haproxy, master and worker (`-W`)",
        work: "answers, rules, metrics",
        client: "haproxy",
        command: &["plain-entrypoint.sh", "haproxy", "-W", "-db", "-f", "/usr/local/etc/haproxy/haproxy.cfg"],
        options: &["--user", "haproxy", "--stop-signal", "SIGUSR1", "--sysctl", "net.ipv4.ip_unprivileged_port_start=0"],
        reloads: true,
        ..SERVER
    },
    haproxy_debian: Server {
        name: "haproxy, Debian's configuration",
        shape: "root, `chroot /var/lib/haproxy`",
        work: "answers, rules, metrics",
        client: "haproxy-debian",
        command: &["haproxy", "-W", "-db", "-f", "/etc/haproxy/chroot.cfg"],
        options: &["--stop-signal", "SIGUSR1"],
        reloads: true,
        ..SERVER
    },
    httpd: Server {
        name: "apache httpd",
        shape: "all below /usr/local/apache2, logs and pid too; STOPSIGNAL WINCH",
        work: "pages, CGI, 60 connections",
        client: "httpd",
        command: &["httpd-foreground", "-DCGI", "-f", "/usr/local/apache2/conf/httpd.conf"],
        options: &["--stop-signal", "SIGWINCH"],
        reloads: true,
        ..SERVER
    },
    apache2: Server {
        name: "apache2, Debian's configuration",
        shape: "root, pid below /run, logs below /var/log",
        work: "pages, CGI, 60 connections",
        client: "httpd",
        command: &["apache2", "-DFOREGROUND", "-DCGI", "-f", "/etc/apache2/app.conf"],
        options: &["--stop-signal", "SIGWINCH"],
        reloads: true,
        ..SERVER
    },
    lighttpd: Server {
        name: "lighttpd",
        shape: "root, then www-data; tini in front",
        work: "pages, CGI below /var/www",
        client: "lighttpd",
        command: &["tini", "--", "lighttpd", "-D", "-f", "/etc/lighttpd/app.conf"],
        reloads: false,
        ..SERVER
    },
    caddy: Server {
        name: "caddy",
        shape: "root, data in a volume",
        work: "answers, files, TLS of its own authority",
        client: "caddy",
        command: &["caddy", "run", "--config", "/etc/caddy/Caddyfile.app", "--adapter", "caddyfile"],
        environment: &[("XDG_DATA_HOME", "/var/lib"), ("XDG_CONFIG_HOME", "/var/lib/caddy")],
        reloads: true,
        ..SERVER
    },
    squid: Server {
        name: "squid",
        shape: "an entrypoint that makes the cache",
        work: "proxied answers, a refused one; rotated logs",
        client: "squid",
        command: &["squid-entrypoint.sh"],
        reloads: true,
        fails: alarms("it looks for connection tracking: a socket of NETLINK_NETFILTER", "socket"),
        ..SERVER
    },
    php_fpm: Server {
        name: "php-fpm",
        shape: "docker-php-entrypoint; workers of www-data",
        work: "FastCGI: children, shell, files, sessions",
        client: "php-fpm",
        command: &["plain-entrypoint.sh", "php-fpm", "-F", "-y", "/etc/php-app/fpm.conf"],
        options: &["--stop-signal", "SIGQUIT"],
        reloads: true,
        ..SERVER
    },
    supervisord: Server {
        name: "nginx and php-fpm under supervisord",
        shape: "supervisord in front, logs to /dev/stdout",
        work: "a page of PHP's; restarts of each by supervisorctl",
        client: "supervisord",
        command: &["supervisord", "-c", "/etc/supervisor/app.conf"],
        reloads: true,
        ..SERVER
    },
}
