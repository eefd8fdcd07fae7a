use super::*;

fn shown(line: &[&str]) -> Vec<String> {
    secrets(&line.iter().map(|&arg| arg.to_owned()).collect::<Vec<_>>())
}

/// Each: the arguments, and what is written of them.
#[test]
fn secrets_are_cut() {
    let table: &[(&[&str], &[&str])] = &[
        (&["x", "--password=hunter2"], &["x", "--password=[cut]"]),
        (&["x", "--password=a b, c"], &["x", "--password=[cut]"]),
        (&["x", "--db-password", "hunter2", "go"], &["x", "--db-password", "[cut]", "go"]),
        (&["x", "--password", "--verbose"], &["x", "--password", "--verbose"]),
        (&["env", "PGPASSWORD=x", "psql"], &["env", "PGPASSWORD=[cut]", "psql"]),
        (&["env", "AWS_SECRET_ACCESS_KEY=abc"], &["env", "AWS_SECRET_ACCESS_KEY=[cut]"]),
        (&["env", "API_KEY=abc", "MODE=fast"], &["env", "API_KEY=[cut]", "MODE=fast"]),
        (&["redis-server", "--requirepass", "p"], &["redis-server", "--requirepass", "[cut]"]),
        (&["redis-server", "requirepass", "p"], &["redis-server", "requirepass", "[cut]"]),
        (&["/usr/bin/mysql", "-uroot", "-phunter2"], &["/usr/bin/mysql", "-uroot", "-p[cut]"]),
        (&["sshpass", "-p", "hunter2", "ssh"], &["sshpass", "-p", "[cut]", "ssh"]),
        (&["curl", "-u", "me:hunter2", "http://h/"], &["curl", "-u", "[cut]", "http://h/"]),
        (&["curl", "-H", "Authorization: Bearer abc"], &["curl", "-H", "Authorization: [cut]"]),
        (&["curl", "-H", "X-Api-Key: abc"], &["curl", "-H", "X-Api-Key: [cut]"]),
        (&["curl", "https://me:pw@h/p?q=1"], &["curl", "https://me:[cut]@h/p?q=1"]),
        (&["x", "--dsn=postgres://u:p@ss@db:5432/a"], &["x", "--dsn=postgres://u:[cut]@db:5432/a"]),
        (&["x", "https://h/p?a=1&token=abc&b=2"], &["x", "https://h/p?a=1&token=[cut]&b=2"]),
        (&["x", "host=h;password=p;port=1"], &["x", "host=h;password=[cut];port=1"]),
        (&["sh", "-c", "mysql -phunter2  db"], &["sh", "-c", "mysql -p[cut]  db"]),
        (&["sh", "-c", "cd /a; TOKEN=abc run --x"], &["sh", "-c", "cd /a; TOKEN=[cut] run --x"]),
        // A value may hold blanks: what begins as a setting is cut to its end.
        (&["sh", "-c", "TOKEN=abc run --x"], &["sh", "-c", "TOKEN=[cut]"]),
        (&["x", "ghp_0123456789abcdefghij"], &["x", "[cut]"]),
        (&["x", "--t=eyJhbGciOi.eyJzdWIi.c2ln"], &["x", "--t=[cut]"]),
        (&["x", "0123456789abcdef0123456789abcdef"], &["x", "[cut]"]),
        (&["x", "dGhpcyBpcyBhIGxvbmcgc2VjcmV0IHZhbHVl+/8="], &["x", "[cut]"]),
    ];
    for (args, expected) in table {
        assert_eq!(shown(args), *expected, "of {args:?}");
    }
}

#[test]
fn the_ordinary_is_left_alone() {
    let table: &[&[&str]] = &[
        &["nginx", "-g", "daemon off;"],
        &["redis-server", "/etc/redis/redis.conf", "--port", "6379"],
        &["docker-proxy", "-p8080", "-p", "80"],
        &["x", "--password-file=/run/secrets/db", "--token-path", "/t"],
        &["x", "--bypass=1", "--compass", "north", "--keepalive=10s"],
        &["x", "--user", "999:999"],
        &["java", "-Dfile.encoding=UTF-8", "-XX:+UseG1GC"],
        &["x", "http://localhost:8080/path?page=2"],
        &["x", "/usr/lib/x86_64-linux-gnu/libsomething-very-long-name.so.1"],
        &["/opt/Application2/SomeVeryLongDirectoryName0123456789/bin/run"],
        &["--some-option-with-a-very-long-name-of-many-words"],
        &["", "=", ":", "a=", "--password="],
    ];
    for args in table {
        assert_eq!(shown(args), *args);
    }
}

#[test]
fn arguments_are_bounded() {
    let with = |args: Vec<String>, redaction| {
        let mut process = Process { args: Some(args), ..Process::default() };
        arguments(&mut process, redaction);
        process.args
    };
    let huge = with(vec!["x".into(), "é ".repeat(1 << 20)], Redaction::Secrets).unwrap();
    assert!(huge.iter().map(String::len).sum::<usize>() < MOST_BYTES + 8);
    assert!(huge[1].ends_with('…'));
    let many = with(vec!["x".into(); 1000], Redaction::Full).unwrap();
    assert_eq!((many.len(), many.last().unwrap().as_str()), (MOST_ARGS + 1, "…"));
    assert_eq!(with(vec!["--password=p".into()], Redaction::Full).unwrap(), ["--password=p"]);
    assert_eq!(with(vec!["x".into()], Redaction::None), None);
    // What is cut off in the middle is no less a secret.
    let half = with(vec!["a ".repeat(MOST_BYTES_FULL), "--password=p".into()], Redaction::Secrets).unwrap();
    assert!(half.iter().all(|arg| !arg.contains("password")));
}
