//! Journals: one run a file, read line by line into [`Observations`], so that memory
//! grows with what is different and not with what was written.

use std::borrow::Cow;
use std::io::{self, BufRead};

use serde::Deserialize;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::Unusable;
use super::fact::{Did, Fact, Mount, Name};
use super::network::NSCD;
use super::observations::{Observations, Phase, Run};
use super::volatile::{literal, template, volatile};
use crate::hex;

/// The version of the format that is read.
pub const VERSION: u64 = 1;

/// The longest line, in bytes.
const LINE: usize = 1 << 20;

/// The first line.
#[derive(Deserialize)]
struct Header {
    run: String,
    #[serde(default)]
    command: Vec<String>,
    #[serde(default)]
    label: Option<String>,
    #[serde(default)]
    exact: bool,
    #[serde(default)]
    fingerprint: Value,
    #[serde(default)]
    outer: Value,
}

/// An observation, or the end. Keys that are not here are those of newer versions.
#[derive(Deserialize)]
struct Line<'l> {
    /// Milliseconds since the run began.
    #[serde(default)]
    t: u64,
    #[serde(borrow, default)]
    kind: Cow<'l, str>,
    #[serde(borrow, default)]
    phase: Cow<'l, str>,
    #[serde(borrow, default)]
    program: Cow<'l, str>,
    #[serde(borrow, default)]
    applet: Cow<'l, str>,
    #[serde(borrow, default)]
    parent: Cow<'l, str>,
    #[serde(borrow, default)]
    parent_applet: Cow<'l, str>,
    #[serde(borrow, default)]
    sha256: Cow<'l, str>,
    #[serde(borrow, default)]
    loader: Cow<'l, str>,
    #[serde(borrow, default)]
    interpreter: Cow<'l, str>,
    #[serde(borrow, default)]
    path: Cow<'l, str>,
    #[serde(borrow, default)]
    to: Cow<'l, str>,
    #[serde(default)]
    access: Vec<Cow<'l, str>>,
    #[serde(borrow, default)]
    op: Cow<'l, str>,
    #[serde(borrow, default)]
    mount: Cow<'l, str>,
    #[serde(borrow, default)]
    mount_point: Cow<'l, str>,
    #[serde(default)]
    directory: bool,
    #[serde(borrow, default)]
    result: Cow<'l, str>,
    #[serde(borrow, default)]
    call: Cow<'l, str>,
    #[serde(default)]
    arg: Option<u8>,
    #[serde(default)]
    value: Option<Value>,
    #[serde(borrow, default)]
    address: Cow<'l, str>,
    #[serde(borrow, default)]
    capability: Cow<'l, str>,
    #[serde(default)]
    write_execute: bool,
    #[serde(borrow, default)]
    limit: Cow<'l, str>,
    #[serde(borrow, default)]
    by: Cow<'l, str>,
    #[serde(borrow, default)]
    signal: Cow<'l, str>,
    #[serde(borrow, default)]
    why: Cow<'l, str>,
    #[serde(default)]
    end: Option<End>,
}

/// What the last line says.
#[derive(Deserialize)]
struct End {
    clean: bool,
    /// False: it was stopped before it was ready.
    #[serde(default)]
    ready: Option<bool>,
    #[serde(default)]
    lines: Option<u64>,
    #[serde(default)]
    dropped: u64,
    #[serde(default)]
    packages: Option<Value>,
}

/// Reads one journal. Gives what a person should hear of it.
///
/// # Errors
/// The journal, by its name and the line, cannot be used, and why; `accept_unclean`
/// forgives that the run ended badly and that lines are missing.
pub fn read(
    name: &str,
    mut input: impl BufRead,
    accept_unclean: bool,
    into: &mut Observations,
) -> Result<Vec<String>, Unusable> {
    let mut reader = Reader { name, number: 0, digest: Sha256::new(), line: Vec::new() };
    if !reader.next(&mut input)? {
        return Err(Unusable(format!("{name}: is empty: the run never began")));
    }
    let header = reader.header()?;
    let run = into.begin(header).map_err(|error| Unusable(format!("{name}: {}", error.0)))?;
    let mut notes = Vec::new();
    let (mut observed, mut unknown) = (0u64, 0u64);
    let (mut lasted, mut end): (u64, Option<End>) = (0, None);
    let mut cut = None;
    while reader.next(&mut input)? {
        if let Some(wrong) = cut {
            return Err(wrong);
        }
        if end.is_some() {
            return Err(reader.wrong("stands after the end of the run; a journal holds one run"));
        }
        match serde_json::from_slice::<Line>(&reader.line) {
            Ok(line) if line.end.is_some() => (lasted, end) = (line.t, line.end),
            Ok(line) if !line.kind.is_empty() => {
                observed += 1;
                match observe(&line, run, into) {
                    Ok(true) => {}
                    Ok(false) => unknown += 1,
                    Err(what) => return Err(reader.wrong(&what)),
                }
            }
            Ok(_) => return Err(reader.wrong("is no line of a journal: it has neither \"kind\" nor \"end\"")),
            // The last line alone may be cut; whether it is the last shows next.
            Err(error) => cut = Some(reader.wrong(&format!("is no line of a journal: {}", plain(&error)))),
        }
    }
    if cut.is_some() {
        notes.push(format!("{name}:{}: the last line is cut, and was left out", reader.number));
    }
    if unknown > 0 {
        notes.push(format!("{name}: {unknown} lines are of kinds that this remit does not know"));
    }
    let bad = match &end {
        None => Some("has no end: the run was killed, or is not over".to_owned()),
        Some(End { clean: false, ready: Some(false), .. }) => {
            Some(format!("was stopped after {}, before it was ready", seconds(lasted)))
        }
        Some(end) if !end.clean => Some("ended badly".to_owned()),
        Some(End { lines: Some(lines), .. }) if *lines != observed => {
            Some(format!("says that it has {lines} lines, and has {observed}"))
        }
        Some(_) => None,
    };
    if let Some(bad) = &bad {
        if !accept_unclean {
            return Err(Unusable(format!(
                "{name}: {bad}; a profile of it would lack what comes later (remove it, or take it with --accept-unclean)"
            )));
        }
        notes.push(format!("{name}: {bad}; taken nevertheless"));
    }
    let dropped = end.as_ref().map_or(0, |end| end.dropped);
    if dropped > 0 {
        notes.push(format!("{name}: {dropped} observations were lost while it ran"));
    }
    let packages = end.and_then(|end| end.packages);
    let digest = format!("sha256:{}", hex::lower(&reader.digest.finalize()));
    let again = into
        .end(run, |run| {
            run.clean = bad.is_none();
            run.dropped = dropped;
            run.journal = digest;
            // What a run uses is known at its end.
            if let (Some(packages), Some(fingerprint)) = (packages, run.fingerprint.as_object_mut()) {
                fingerprint.insert("packages".into(), packages);
            }
        })
        .map_err(|error| Unusable(format!("{name}: {}", error.0)))?;
    if again {
        notes.push(format!("{name}: the same run was given before, and counts once"));
    }
    Ok(notes)
}

struct Reader<'n> {
    name: &'n str,
    number: u64,
    digest: Sha256,
    line: Vec<u8>,
}

impl Reader<'_> {
    /// The next line; false at the end of the file.
    fn next(&mut self, input: &mut impl BufRead) -> Result<bool, Unusable> {
        self.line.clear();
        let failed = |error: io::Error| Unusable(format!("{}: cannot be read: {error}", self.name));
        let most = LINE as u64 + 1;
        let length = io::Read::take(&mut *input, most).read_until(b'\n', &mut self.line).map_err(failed)?;
        self.number += u64::from(length > 0);
        if length > LINE {
            return Err(self.wrong("is longer than 1 MiB, so it is no line of a journal"));
        }
        self.digest.update(&self.line);
        Ok(length > 0)
    }

    fn wrong(&self, what: &str) -> Unusable {
        Unusable(format!("{}:{}: {what}", self.name, self.number))
    }

    fn header(&self) -> Result<Run, Unusable> {
        #[derive(Deserialize)]
        struct Version {
            journal: u64,
        }
        let no_journal = || self.wrong("is no journal: its first line has to begin {\"journal\":1,\"run\":…");
        let version: Version = serde_json::from_slice(&self.line).map_err(|_| no_journal())?;
        if version.journal > VERSION {
            return Err(self.wrong(&format!(
                "version {} of the journal is newer than this remit, which reads {VERSION}; use a newer remit",
                version.journal
            )));
        }
        let header: Header = serde_json::from_slice(&self.line)
            .map_err(|error| self.wrong(&format!("is no first line of a journal: {}", plain(&error))))?;
        let arch = header.fingerprint["arch"].as_str().unwrap_or_default();
        arch.parse::<crate::kernel::Arch>().map_err(|error| self.wrong(&format!("fingerprint: {error}")))?;
        let command = header.command.into_iter().next().ok_or_else(|| self.wrong("names no command"))?;
        Ok(Run {
            run: header.run,
            label: header.label.unwrap_or_default(),
            command,
            outer_seccomp: header.outer["seccomp"].as_bool().unwrap_or(false),
            outer_denied: header.outer["denied"]
                .as_array()
                .map(|names| names.iter().filter_map(|name| name.as_str().map(str::to_owned)).collect())
                .unwrap_or_default(),
            fingerprint: header.fingerprint,
            clean: false,
            exact: header.exact,
            dropped: 0,
            journal: String::new(),
        })
    }
}

/// An error of serde_json without its place, which is in a line of a file.
fn plain(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.split(" at line ").next().unwrap_or(&text).to_owned()
}

/// `0.8 s`.
fn seconds(milliseconds: u64) -> String {
    format!("{}.{} s", milliseconds / 1000, milliseconds / 100 % 10)
}

/// Adds what a line says. Whether its kind is known.
fn observe(line: &Line, run: usize, into: &mut Observations) -> Result<bool, String> {
    let phase = match &*line.phase {
        "startup" => Phase::Startup,
        "serving" => Phase::Serving,
        other => return Err(format!("phase {other:?} is none; expected \"startup\" or \"serving\"")),
    };
    let ok = matches!(&*line.result, "" | "ok");
    let mut add = |fact| into.add(fact, run, phase, None);
    match &*line.kind {
        "exec" if ok => exec(line, &mut add)?,
        "open" | "change" if ok => {
            for (path, did) in uses(line)? {
                let mount = mount(line, path)?;
                file(path, did, mount, run, phase, into);
            }
            if matches!(&*line.op, "rename" | "link") && line.kind == "change" {
                let named = |path: &str| {
                    let path = literal(path);
                    template(&path).unwrap_or_else(|| path.into_owned())
                };
                let (from, to) = (named(absolute(&line.path)?), named(absolute(&line.to)?));
                into.add(Fact::Moved { from, to }, run, phase, None);
            }
        }
        "exec" | "open" | "change" => {}
        "listen" if ok => {
            let (address, example) = place(&line.address);
            into.add(Fact::Listen { address }, run, phase, example);
        }
        // Whoever refuses to answer was tried nevertheless, and will answer one day.
        "connect"
            if ok
                || matches!(&*line.result, "EINPROGRESS" | "ECONNREFUSED")
                || (line.result == "ENOENT" && NSCD.contains(&&*line.address)) =>
        {
            let (address, example) = place(&line.address);
            into.add(Fact::Connect { address }, run, phase, example);
        }
        "listen" | "connect" => add(refused(line, &place(&line.address).0)),
        "syscall" if matches!(&*line.result, "EPERM" | "ENOSYS") => add(refused(line, &line.call)),
        "syscall" => {
            let value = line.value.as_ref().map(|value| match value {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            });
            add(Fact::Call { call: line.call.clone().into_owned(), when: line.arg.zip(value) });
        }
        "capability" if ok => add(Fact::Capability {
            capability: line.capability.clone().into_owned(),
            call: line.call.clone().into_owned(),
        }),
        "capability" => add(refused(line, &line.capability)),
        "memory" if ok && line.write_execute => add(Fact::WriteExecute),
        "credential" if ok => {
            let value = line.value.as_ref().map(Value::to_string).unwrap_or_default();
            add(Fact::Credential { what: format!("{} {value}", line.call).trim_end().to_owned() });
        }
        "limit" => {
            let value = line.value.as_ref().and_then(Value::as_u64).unwrap_or_default();
            add(Fact::Limit { limit: line.limit.clone().into_owned(), value });
        }
        "blind" => add(Fact::Blind { what: format!("{} ({})", line.path, line.why) }),
        "ready" => add(Fact::Ready { by: line.by.clone().into_owned() }),
        "signal" => add(Fact::Signal { signal: line.signal.trim_start_matches("SIG").to_owned() }),
        "memory" | "credential" => {}
        _ => return Ok(false),
    }
    Ok(true)
}

/// An address by what a rule can name, and the literal where that is less: there may be
/// any number of them.
fn place(address: &str) -> (String, Option<&str>) {
    let port = address.rsplit(':').next().unwrap_or_default();
    match address.split_once('/').filter(|(protocol, _)| matches!(*protocol, "tcp" | "udp")) {
        Some((protocol, rest)) if rest != port => (format!("{protocol}/{port}"), Some(address)),
        None if address.starts_with("unix:")
            && volatile(address.rsplit(['/', '@']).next().unwrap_or_default()) =>
        {
            ("unix:*".to_owned(), Some(address))
        }
        _ => (address.to_owned(), None),
    }
}

fn refused(line: &Line, what: &str) -> Fact {
    Fact::Refused { what: format!("{what}: {}", line.result) }
}

fn exec(line: &Line, add: &mut impl FnMut(Fact)) -> Result<(), String> {
    let program =
        Name { path: absolute(&line.program)?.to_owned(), applet: line.applet.clone().into_owned() };
    let path = program.path.clone();
    if !line.interpreter.is_empty() {
        let interpreter = absolute(&line.interpreter)?.to_owned();
        add(Fact::Interpreter { path: path.clone(), interpreter });
    }
    if !line.loader.is_empty() {
        add(Fact::Loader { path: path.clone(), loader: absolute(&line.loader)?.to_owned() });
    }
    if !line.sha256.is_empty() {
        add(Fact::Digest { path, sha256: line.sha256.trim_start_matches("sha256:").to_owned() });
    }
    if line.parent.is_empty() {
        add(Fact::Entry(program.clone()));
    } else {
        let from = Name {
            path: absolute(&line.parent)?.to_owned(),
            applet: line.parent_applet.clone().into_owned(),
        };
        add(Fact::Edge { from, to: program.clone() });
    }
    add(Fact::Program(program));
    Ok(())
}

/// What a line says was done, with which path.
fn uses<'l>(line: &'l Line) -> Result<Vec<(&'l str, Did)>, String> {
    let path = absolute(&line.path)?;
    if line.kind == "open" {
        let did = |access: &Cow<str>| match &**access {
            "read" if line.directory => Ok((path, Did::List)),
            "list" => Ok((path, Did::List)),
            "read" => Ok((path, Did::Read)),
            "write" | "append" | "truncate" => Ok((path, Did::Write)),
            "create" => Ok((path, Did::Create)),
            "ioctl" => Ok((path, Did::Ioctl)),
            other => Err(format!("access {other:?} is none; expected read, write, create, list or ioctl")),
        };
        return line.access.iter().map(did).collect();
    }
    let made = if line.directory { Did::MakeDirectory } else { Did::Create };
    Ok(match &*line.op {
        "create" | "symlink" | "mknod" | "bind" => vec![(path, made)],
        "mkdir" => vec![(path, Did::MakeDirectory)],
        "remove" | "unlink" | "rmdir" => vec![(path, Did::Remove)],
        "truncate" => vec![(path, Did::Write)],
        "rename" => vec![(path, Did::Remove), (absolute(&line.to)?, made)],
        "link" => vec![(absolute(&line.to)?, made)],
        "ioctl" => vec![(path, Did::Ioctl)],
        // chmod, chown, utime, xattr: no file rights govern them.
        _ => Vec::new(),
    })
}

fn mount(line: &Line, path: &str) -> Result<Mount, String> {
    Ok(match &*line.mount {
        _ if path.starts_with("/proc/") || path == "/proc" => Mount::Proc,
        "volume" if line.mount_point.is_empty() => Mount::Volume(None),
        "volume" => Mount::Volume(Some(literal(absolute(&line.mount_point)?).into_owned())),
        "tmpfs" => Mount::Tmpfs,
        "proc" => Mount::Proc,
        _ => Mount::Image,
    })
}

/// Names are made anew for what is written; what the image holds is as it is.
fn file(path: &str, did: Did, mount: Mount, run: usize, phase: Phase, into: &mut Observations) {
    let fixed =
        matches!(mount, Mount::Image) && matches!(did, Did::Read | Did::List) && !path.starts_with("/dev/");
    // isatty and its kin are ioctls, and nobody sees those that every program may make.
    let terminal = ["/dev/pts/", "/dev/ptmx", "/dev/tty"].iter().any(|lead| path.starts_with(lead));
    if terminal && matches!(did, Did::Read | Did::Write) {
        file(path, Did::Ioctl, mount.clone(), run, phase, into);
    }
    let kept = literal(path);
    match template(&kept).filter(|_| !fixed) {
        Some(template) => {
            into.add(Fact::File { path: template, did, mount }, run, phase, Some(path));
        }
        None => into.add(Fact::File { path: kept.into_owned(), did, mount }, run, phase, None),
    }
}

/// A path as the format has them.
fn absolute(path: &str) -> Result<&str, String> {
    let normal = path.starts_with('/')
        && !path.contains('\0')
        && (path == "/" || path[1..].split('/').all(|name| !matches!(name, "" | "." | "..")));
    if normal { Ok(path) } else { Err(format!("path {path:?} is not absolute and normal")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_bytes_are_a_journal_or_an_error() {
        let first = br#"{"journal":1,"run":"app-1","command":["app"],"label":"idle","exact":false,"fingerprint":{"arch":"x86_64","kernel":"6.18.44","libc":"glibc 2.36","programs":"sha256:0"},"outer":{"seccomp":true,"capabilities":["chown"],"denied":["keyctl"]}}"#;
        let exec = br#"{"t":1,"phase":"startup","kind":"exec","program":"/bin/app","result":"ok","parent":"","args":["app"],"sha256":"sha256:0"}"#;
        let open = br#"{"t":1,"phase":"startup","kind":"open","program":"/bin/app","result":"ok","path":"/data/1","access":["read"],"mount":"volume","mount_point":"/data"}"#;
        let end = br#"{"t":9,"end":{"exit":{"code":0},"clean":true,"lines":2,"dropped":0}}"#;
        let journal = [&first[..], exec, open, end].join(&b'\n');
        let read = |bytes: &[u8]| super::read("journal", bytes, true, &mut Observations::default());
        read(&journal).expect("a journal");
        crate::mutation::each(&[&journal, first, end], |bytes| {
            if let Err(error) = read(bytes) {
                assert!(error.0.starts_with("journal"), "it says where: {}", error.0);
            }
        });
    }
}
