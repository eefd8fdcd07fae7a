//! Redaction: values in arguments that look like secrets are cut from events, and long argument
//! lists are shortened. In doubt it cuts.

use super::error::SettingError;
use super::model::{Event, Process};

/// How `args` is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Redaction {
    /// Values that look like secrets are cut.
    Secrets,
    /// Arguments are written unchanged.
    Full,
    /// Arguments are left out.
    None,
}

impl Redaction {
    /// Reads `REMIT_EVENTS_ARGS`.
    ///
    /// # Errors
    /// The text is none of these words.
    pub fn parse(text: &str) -> Result<Redaction, SettingError> {
        match text {
            "default" => Ok(Redaction::Secrets),
            "full" => Ok(Redaction::Full),
            "none" => Ok(Redaction::None),
            other => Err(SettingError::Redaction(other.to_owned())),
        }
    }
}

/// Replaces a value that was cut.
const CUT: &str = "[cut]";
/// Arguments of a line, and bytes of all of them: a line stays far below the
/// bounds of the queue, and mostly below what a pipe takes in one piece (4096).
const MOST_ARGS: usize = 64;
const MOST_BYTES: usize = 2048;
const MOST_BYTES_FULL: usize = 16 * 1024;
const MOST_ANCESTORS: usize = 16;
/// A run of letters and digits so long, and so mixed, is no word.
const LONG: usize = 32;

/// Redacts an event and bounds its size.
pub fn bound(event: &mut Event, redaction: Redaction) {
    let (process, ancestors) = match event {
        Event::Start(start) => (&mut start.process, None),
        Event::Exec(exec) => (&mut exec.process, Some(&mut exec.ancestors)),
        Event::Exit(exit) => (&mut exit.process, None),
        Event::Violation(violation) => (&mut violation.process, Some(&mut violation.ancestors)),
        Event::Signal(_) | Event::Ready(_) | Event::Dropped(_) | Event::Stop(_) => return,
    };
    if let Some(ancestors) = ancestors {
        ancestors.truncate(MOST_ANCESTORS);
        ancestors.shrink_to_fit();
    }
    arguments(process, redaction);
}

fn arguments(process: &mut Process, redaction: Redaction) {
    let Some(args) = process.args.take() else { return };
    process.args = match redaction {
        Redaction::None => None,
        Redaction::Full => Some(shorten(args, MOST_BYTES_FULL)),
        // Cut before and after: looking at megabytes takes time, and half a secret
        // at the end has to be seen for one.
        Redaction::Secrets => Some(shorten(secrets(&shorten(args, MOST_BYTES_FULL)), MOST_BYTES)),
    };
}

/// The arguments that fit, and `…` in place of the rest.
fn shorten(mut args: Vec<String>, mut room: usize) -> Vec<String> {
    let whole = args.len();
    args.truncate(MOST_ARGS);
    for at in 0..args.len() {
        let arg = &mut args[at];
        if arg.len() > room {
            arg.truncate(arg.floor_char_boundary(room));
            arg.push('…');
            arg.shrink_to_fit();
            args.truncate(at + 1);
            break;
        }
        room -= arg.len();
    }
    if args.len() < whole && args.last().is_none_or(|last| !last.ends_with('…')) {
        args.push("…".to_owned());
    }
    args
}

/// The arguments without the values that look like secrets.
pub fn secrets(args: &[String]) -> Vec<String> {
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    cut(&words, true)
}

fn cut(words: &[&str], top: bool) -> Vec<String> {
    let program = words.first().map_or("", |word| word.rsplit('/').next().unwrap_or_default());
    let mut next_is_secret = false;
    words
        .iter()
        .map(|word| {
            let is_value = std::mem::take(&mut next_is_secret) && !word.starts_with('-');
            if is_value {
                return CUT.to_owned();
            }
            next_is_secret = takes_secret(program, word);
            one(program, word, top)
        })
        .collect()
}

/// `--password`, of which the next word is the value.
fn takes_secret(program: &str, word: &str) -> bool {
    let named = word.starts_with('-') && !word.contains(['=', ':']) && is_secret(word);
    let curl = program == "curl" && ["-u", "--user", "--proxy-user"].contains(&word);
    let sshpass = program == "sshpass" && word == "-p";
    let bearer = ["bearer", "basic"].iter().any(|scheme| word.eq_ignore_ascii_case(scheme));
    // `redis-server requirepass hunter2` takes its settings as words.
    let setting = !word.contains(['=', ':', '/'])
        && ["requirepass", "masterauth"].contains(&word.trim_start_matches('-'));
    named || curl || sshpass || bearer || setting
}

fn one(program: &str, word: &str, top: bool) -> String {
    // `-phunter2` of the tools that write it so; for others it is a port.
    let glued = ["mysql", "mariadb", "sshpass"].iter().any(|tool| program.starts_with(tool));
    if glued && word.len() > 2 && word.starts_with("-p") {
        return format!("-p{CUT}");
    }
    if let Some((name, separator, value)) = setting(word)
        && is_secret(name)
        && !value.is_empty()
    {
        return format!("{name}{separator}{CUT}");
    }
    // A command line or a list within an argument: its words one by one.
    if top && word.contains(char::is_whitespace) {
        return within(word);
    }
    let word = without_user_info(word);
    let inner: String = word.split_inclusive(['?', '&', ';', ',']).map(pair).collect();
    if is_token(&inner) { CUT.to_owned() } else { inner }
}

fn within(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    let mut rest = text;
    let mut result = String::new();
    for (word, shown) in words.iter().zip(cut(&words, false)) {
        let at = rest.find(word).unwrap_or_default();
        result.push_str(&rest[..at]);
        result.push_str(&shown);
        rest = &rest[at + word.len()..];
    }
    result + rest
}

/// A piece of a query or a list with its separator: `token=abc&`, or a bare token.
fn pair(piece: &str) -> String {
    let text = piece.trim_end_matches(['?', '&', ';', ',']);
    let end = &piece[text.len()..];
    match setting(text) {
        Some((name, separator, value)) if !value.is_empty() && (is_secret(name) || is_token(value)) => {
            format!("{name}{separator}{CUT}{end}")
        }
        _ if is_token(text) => format!("{CUT}{end}"),
        _ => piece.to_owned(),
    }
}

/// Name, separator and value of `--name=value`, `NAME=value`, `Name: value`.
fn setting(word: &str) -> Option<(&str, &str, &str)> {
    let at = word.find(['=', ':'])?;
    let (name, rest) = word.split_at(at);
    let named = name.chars().all(|c| c.is_alphanumeric() || "-_.'\"{[".contains(c));
    let separator = rest.find(|c| c != '=' && c != ':' && c != ' ').unwrap_or(rest.len());
    let (separator, value) = rest.split_at(separator);
    (named && !name.is_empty() && !value.starts_with("//")).then_some((name, separator, value))
}

/// Whether a name is that of a secret. One that names a file with it is not.
fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let parts: Vec<&str> =
        name.split(|c: char| !c.is_ascii_alphanumeric()).filter(|part| !part.is_empty()).collect();
    if parts.last().is_some_and(|last| ["file", "path", "dir"].iter().any(|place| last.ends_with(place))) {
        return false;
    }
    let joined = parts.concat();
    const WITHIN: [&str; 12] = [
        "passw",
        "passphrase",
        "secret",
        "token",
        "credential",
        "apikey",
        "accesskey",
        "privatekey",
        "secretkey",
        "signingkey",
        "encryptionkey",
        "masterkey",
    ];
    const WHOLE: [&str; 8] =
        ["pass", "pwd", "auth", "authorization", "cookie", "bearer", "requirepass", "masterauth"];
    WITHIN.iter().any(|word| joined.contains(word)) || parts.iter().any(|part| WHOLE.contains(part))
}

/// `scheme://user:password@host` without the password.
fn without_user_info(word: &str) -> String {
    let Some(start) = word.find("://").map(|at| at + 3) else { return word.to_owned() };
    let authority = &word[start..];
    let authority = &authority[..authority.find(['/', '?', '#']).unwrap_or(authority.len())];
    let Some(at) = authority.rfind('@') else { return word.to_owned() };
    let Some(colon) = authority[..at].find(':') else { return word.to_owned() };
    format!("{}{CUT}{}", &word[..start + colon + 1], &word[start + at..])
}

/// Whether a word is a token by its looks: a known prefix, a JWT, or a long run
/// of hex or of mixed letters and digits that is no path.
fn is_token(word: &str) -> bool {
    const PREFIXES: [&str; 9] =
        ["ghp_", "gho_", "ghs_", "github_pat_", "glpat-", "xoxb-", "xoxp-", "sk-", "AKIA"];
    let word = word.trim_matches(['"', '\'']);
    if PREFIXES.iter().any(|prefix| word.starts_with(prefix)) && word.len() >= 20 {
        return true;
    }
    if word.starts_with("eyJ") && word.matches('.').count() == 2 {
        return true;
    }
    let runs = |extra: &'static str| {
        word.split(move |c: char| !c.is_ascii_alphanumeric() && !extra.contains(c))
            .filter(|run| run.len() >= LONG)
    };
    let is_path = word.starts_with(['/', '.', '-', '@']);
    runs("").any(|run| is_hex(run) || (!is_path && is_mixed(run))) || (!is_path && runs("+/=_").any(is_mixed))
}

fn is_hex(run: &str) -> bool {
    run.bytes().all(|c| c.is_ascii_hexdigit()) && run.bytes().any(|c| c.is_ascii_digit())
}

fn is_mixed(run: &str) -> bool {
    let has = |test: fn(&u8) -> bool| run.as_bytes().iter().any(test);
    has(u8::is_ascii_digit) && has(u8::is_ascii_uppercase) && has(u8::is_ascii_lowercase)
}

#[cfg(test)]
mod tests;
