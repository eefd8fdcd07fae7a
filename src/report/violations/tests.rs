use super::*;

const NONCE: &str = "0123456789abcdef0123456789abcdef";

fn start() -> String {
    format!(r#"{{"remit":1,"seq":1,"nonce":"{NONCE}","event":"start"}}"#)
}

fn violation(time: &str, kind: &str, object: &str, more: &str) -> String {
    format!(
        r#"{{"remit":1,"seq":2,"nonce":"{NONCE}","time":"{time}","event":"violation","policy":{{"name":"x","digest":"sha256:1"}},"kind":"{kind}","action":"denied","object":{object},"rule":"/{kind}s","process":{{"pid":7,"executable":{{"path":"/app"}}}}{more}}}"#
    )
}

fn history(lines: &[String]) -> ViolationHistory {
    let mut history = ViolationHistory::default();
    let mut file = history.begin("log", &[]);
    lines.iter().for_each(|line| file.line(line.as_bytes()));
    assert!(file.end());
    history
}

#[test]
fn times_are_seconds() {
    assert_eq!(seconds("1970-01-01T00:00:00Z"), Some(0));
    assert_eq!(seconds("2000-02-29T00:00:00.000007Z"), Some(951_782_400));
    assert_eq!(seconds("2026-11-22T10:00:00.000001Z"), Some(1_795_341_600));
    assert_eq!(seconds("1969-12-31T23:00:00Z"), Some(-3600));
    for bad in [
        "",
        "2026-11-22",
        "2026-11-22T10:00:00",
        "2026-13-22T10:00:00Z",
        "2026-11-22T25:00:00Z",
        "+026-11-22T10:00:00Z",
        "2026-11-22T10:00Z",
    ] {
        assert_eq!(seconds(bad), None, "{bad}");
    }
}

#[test]
fn violations_are_counted_by_kind_and_hour() {
    let sh = r#"{"path":"/bin/sh"}"#;
    let found = history(&[
        start(),
        violation("2026-11-22T12:59:59.9Z", "file", r#"{"path":"/etc/x","access":["read","write"]}"#, ""),
        violation("2026-11-22T10:00:00.1Z", "program", sh, ""),
        violation("2026-11-22T10:59:59.9Z", "program", sh, r#","count":41,"over":"1s""#),
        violation("yesterday", "syscall", r#"{"syscall":"ptrace","args":["0x10","0x1"]}"#, ""),
        violation("2026-11-22T10:10:00Z", "a new kind", r#"{"name":"x"}"#, ""),
        violation(
            "2026-11-22T10:20:00Z",
            "environment",
            r#"{"name":"LD_PRELOAD","value":"/tmp/x","why":"y"}"#,
            "",
        ),
        violation("2026-11-22T11:20:00Z", "network", r#"{"address":"tcp/443","access":"connect"}"#, ""),
    ]);
    assert_eq!((found.total(), found.untimed(), found.files()), (47, 1, 1));
    assert_eq!((found.of_other_profiles("sha256:1"), found.of_other_profiles("sha256:2")), (0, 47));
    let counts = found.over_time(168).expect("there are times");
    assert_eq!((counts.start, counts.span), (1_795_341_600, 3600));
    let of = |kind: &str| {
        counts.kinds.iter().find(|one| one.kind == kind).map(|one| (one.total, one.counts.clone()))
    };
    assert_eq!(of("program"), Some((42, vec![42, 0, 0])));
    assert_eq!(of("file"), Some((1, vec![0, 0, 1])));
    assert_eq!(of("syscall"), Some((1, vec![0, 0, 0])));
    assert_eq!(of("other"), Some((1, vec![1, 0, 0])));
    let listed: Vec<(&str, u64)> = found.first().iter().map(|one| (one.object.as_str(), one.count)).collect();
    assert_eq!(
        listed,
        [
            ("/bin/sh", 1),
            ("x", 1),
            ("LD_PRELOAD=/tmp/x", 1),
            ("/bin/sh", 41),
            ("tcp/443 (connect)", 1),
            ("/etc/x (read write)", 1),
            ("ptrace(0x10, 0x1)", 1),
        ]
    );
}

#[test]
fn long_times_are_joined_and_memory_stays_bounded() {
    let sh = r#"{"path":"/bin/sh"}"#;
    let mut lines = vec![start()];
    for year in [1970, 2026, 9999] {
        lines.push(violation(
            &format!("{year}-01-01T00:00:00Z"),
            "file",
            sh,
            r#","count":18446744073709551615"#,
        ));
    }
    let found = history(&lines).over_time(168).expect("times");
    assert!(found.kinds[0].counts.len() <= 168, "{}", found.kinds[0].counts.len());
    let mut lines = vec![start()];
    for hour in 0..10_000u32 {
        let (year, month, day, hour) =
            (1970 + hour / 8064, hour / 672 % 12 + 1, hour / 24 % 28 + 1, hour % 24);
        lines.push(violation(&format!("{year}-{month:02}-{day:02}T{hour:02}:00:00Z"), "file", sh, ""));
    }
    let found = history(&lines);
    assert!(found.spans.len() <= MOST_SPANS && found.first.len() == FIRST);
    let counts = found.over_time(100).expect("times");
    assert_eq!(counts.kinds[0].counts.iter().sum::<u64>(), 10_000);
    assert!(counts.kinds[0].counts.len() <= 100 && counts.span % 7200 == 0);
}

#[test]
fn only_what_remit_wrote_counts() {
    let forged = violation("2026-11-22T10:00:00Z", "file", "{}", "").replace(NONCE, &"f".repeat(32));
    let found = history(&[start(), forged.clone(), "{\"remit\":1,".to_owned()]);
    assert_eq!(found.total(), 0);
    assert!(found.notes()[0].starts_with("log: 2 lines"), "{:?}", found.notes());
    let found = history(std::slice::from_ref(&forged));
    assert_eq!(found.total(), 0);
    assert!(found.notes()[0].contains("does not begin with remit's start event"));
    let mut known = ViolationHistory::default();
    let mut file = known.begin("log", &["f".repeat(32)]);
    file.line(forged.as_bytes());
    assert!(file.end());
    assert_eq!((known.total(), known.over_time(10).map(|one| one.kinds.len())), (1, Some(1)));
    assert_eq!(ViolationHistory::default().over_time(10), None);
}

#[test]
fn any_line_is_read_or_left_out() {
    let seed =
        violation("2026-11-22T10:00:00Z", "file", r#"{"path":"/x","access":["read"]}"#, r#","count":2"#);
    crate::mutation::each(&[seed.as_bytes()], |bytes| {
        let mut history = ViolationHistory::default();
        let mut file = history.begin("log", &[NONCE.to_owned()]);
        file.line(bytes);
        file.end();
        history.over_time(10);
    });
}
