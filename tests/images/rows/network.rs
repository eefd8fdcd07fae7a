//! Names, mail, files, logins, jobs and logs.

use super::rows;
use crate::server::{SERVER, Server};

rows! {
    unbound: Server {
        name: "unbound",
        shape: "root, then unbound",
        work: "answers over UDP and TCP",
        client: "unbound",
        command: &["unbound", "-d", "-c", "/etc/unbound/app.conf"],
        reloads: true,
        ..SERVER
    },
    dnsmasq: Server {
        name: "dnsmasq",
        shape: "root with NET_ADMIN, then another user",
        work: "answers over UDP and TCP",
        client: "dnsmasq",
        command: &["dnsmasq", "-k", "--no-resolv", "--no-hosts", "--addn-hosts=/etc/app-hosts", "--log-facility=-"],
        options: &["--cap-add", "NET_ADMIN"],
        reloads: true,
        ..SERVER
    },
    vsftpd: Server {
        name: "vsftpd",
        shape: "root, sessions in a chroot",
        work: "lists, downloads, a login, an upload",
        client: "vsftpd",
        command: &["vsftpd", "/etc/vsftpd-app.conf"],
        ends: 143,
        ..SERVER
    },
    sshd: Server {
        name: "sshd",
        shape: "keys made at the start; privilege separation in a chroot; PAM",
        work: "logins by key, commands, exit codes",
        client: "sshd",
        command: &["sshd-entrypoint.sh"],
        reloads: true,
        ..SERVER
    },
    cron: Server {
        name: "cron",
        shape: "root in front, jobs that log to /proc/1/fd/1",
        work: "a job of /etc/cron.d",
        client: "cron",
        command: &["cron-entrypoint.sh"],
        ends: 143,
        ..SERVER
    },
    rsyslog: Server {
        name: "rsyslog",
        shape: "root, /dev/log",
        work: "messages of logger; rotated logs",
        client: "rsyslog",
        command: &["rsyslogd", "-n", "-f", "/etc/rsyslog-app.conf"],
        reloads: true,
        ..SERVER
    },
    postfix: Server {
        name: "postfix",
        shape: "postconf by the environment, `start-fg`, services in a chroot",
        work: "mail by SMTP to a mailbox",
        client: "postfix",
        command: &["postfix-entrypoint.sh"],
        environment: &[("MYHOST", "mail.app.test")],
        reloads: true,
        ends: 143,
        ..SERVER
    },
    dovecot: Server {
        name: "dovecot",
        shape: "root, logins in a chroot",
        work: "IMAP: a login, mail stored, found and read",
        client: "dovecot",
        command: &["dovecot", "-F", "-c", "/etc/dovecot/app.conf"],
        reloads: true,
        ..SERVER
    },
    node_exporter: Server {
        name: "node exporter",
        shape: "the last user, 65534",
        work: "metrics",
        client: "node-exporter",
        command: &["prometheus-node-exporter"],
        options: &["--user", "65534:65534"],
        ends: 143,
        ..SERVER
    },
}
