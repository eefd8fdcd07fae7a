use std::io::{Read, Seek};

use super::*;

fn written(level: Level, what: impl FnOnce()) -> String {
    let mut file = tempfile::tempfile().unwrap();
    let log = Log { level, stderr: file.try_clone().unwrap() };
    tracing::subscriber::with_default(log, what);
    let mut text = String::new();
    file.rewind().unwrap();
    file.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn one_line_each_with_its_fields() {
    let text = written(Level::INFO, || {
        tracing::warn!(pid = 7, path = %"/a b", name = "n", "it is {}", "so");
        tracing::info!("plain");
        tracing::debug!("below the level");
        tracing::error!(only = true);
    });
    assert_eq!(
        text,
        "remit-init: warn: it is so pid=7 path=/a b name=\"n\"\nremit-init: info: plain\nremit-init: error:  only=true\n"
    );
}

#[test]
fn a_field_forges_no_line() {
    let text = written(Level::WARN, || {
        tracing::warn!(path = %"/a\nremit-init: warn: forged\x1b[2J", "a\r\nb");
    });
    assert_eq!(text, "remit-init: warn: a\\r\\nb path=/a\\nremit-init: warn: forged\\u001b[2J\n");
}

#[test]
fn spans_are_harmless() {
    let text = written(Level::TRACE, || {
        let span = tracing::info_span!("s", a = 1);
        let _inside = span.enter();
        span.record("a", 2);
        tracing::trace!("within");
    });
    assert_eq!(text, "remit-init: trace: within\n");
}

#[test]
fn level_by_the_number_of_v() {
    let levels = [Level::WARN, Level::INFO, Level::DEBUG, Level::TRACE, Level::TRACE];
    for (times, expected) in levels.into_iter().enumerate() {
        assert_eq!(level(times), expected);
    }
}
