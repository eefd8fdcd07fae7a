//! Reads journals, one run a file, line by line into [`Observations`], so memory grows with the number
//! of distinct facts and not with the length of the file.

use std::collections::BTreeSet;
use std::io::{self, BufRead};
use std::path::Path;

use super::error::{InputFault, UncleanRun, Unusable};
use super::fact::{Did, Fact, Mount, Name};
use super::files::{NEVER, parent};
use super::network::{CHOSEN_PORTS, NSCD};
use super::observations::Observations;
use super::volatile::{general, literal, template, volatile};
use crate::image::digest::ContentHash;
use crate::journal::line::{End, Line, LineError, Observed, RunSummary, Start};
use crate::journal::observation::{Observation, Of, Phase, Value, What, Word};
use crate::journal::run::Run;
use crate::profile::LONGEST_PATH;
use crate::syscalls::{self, groups};
use crate::visible::counted;

/// The longest line, in bytes.
const LINE: usize = 1 << 20;

/// Reads one journal. Returns the notes for the user.
///
/// # Errors
/// The journal, by its name and the line, cannot be used, and why; with `accept_unclean` a run
/// that ended badly and missing lines are accepted.
pub fn read(
    name: &str,
    mut input: impl BufRead,
    accept_unclean: bool,
    into: &mut Observations,
) -> Result<Vec<String>, Unusable> {
    let mut reader = RunReader { name, number: 0, digest: ContentHash::new(), line: Vec::new() };
    if !reader.next(&mut input)? {
        return Err(Unusable::of(name, InputFault::Empty));
    }
    let (run, unseen) = reader.start()?;
    let run = into.begin(run).map_err(|fault| Unusable::of(name, fault))?;
    for phase in [Phase::Startup, Phase::Serving] {
        for call in &unseen {
            into.add(Fact::Call { call: (*call).to_owned(), when: None }, run, phase, None);
        }
    }
    let mut notes = Vec::new();
    let (mut observed, mut unknown, mut unknown_results, mut too_long) = (0u64, 0u64, 0u64, 0u64);
    let mut end: Option<End> = None;
    let mut numbered = BTreeSet::new();
    let mut cut = None;
    while reader.next(&mut input)? {
        if let Some(wrong) = cut {
            return Err(wrong);
        }
        if end.is_some() {
            return Err(reader.wrong(InputFault::AfterEnd));
        }
        match Line::read(&reader.line) {
            Ok(Line::Observed(Observed { phase, observation, sha256, .. })) => {
                observed += 1;
                unknown += u64::from(observation.what == What::Unknown);
                unknown_results += u64::from(!observation.has_known_result());
                let mut facts = FactBuilder { run, phase, into, numbered: &mut numbered };
                match facts.observe(&observation, sha256) {
                    // A call reaches such a file from its directory, and no rule can name it.
                    Err(InputFault::LongPath) => too_long += 1,
                    done => done.map_err(|fault| reader.wrong(fault))?,
                }
            }
            Ok(Line::End(line)) => end = Some(line),
            // Only the last line may be cut; the next read shows whether this is the last.
            Err(error @ LineError::Malformed(_)) => cut = Some(reader.wrong(InputFault::Line(error))),
            Err(error) => return Err(reader.wrong(InputFault::Line(error))),
        }
    }
    if cut.is_some() {
        notes.push(format!("{name}:{}: the last line is cut, and was left out", reader.number));
    }
    if unknown > 0 {
        notes.push(format!("{name}: {} of a kind that this remit does not know", counted(unknown, "line")));
    }
    if unknown_results > 0 {
        notes.push(format!(
            "{name}: {} with a result that this remit does not know",
            counted(unknown_results, "line")
        ));
    }
    if too_long > 0 {
        notes.push(format!(
            "{name}: {} with a path of more than {LONGEST_PATH} bytes left out: no profile can name it",
            counted(too_long, "line")
        ));
    }
    let lasted = end.as_ref().map_or(0, |end| end.t);
    let end = end.map(|end| end.end);
    let bad = match &end {
        None => Some(UncleanRun::NoEnd),
        Some(RunSummary { clean: false, ready: Some(false), .. }) => Some(UncleanRun::BeforeReady(lasted)),
        Some(end) if !end.clean => Some(UncleanRun::Bad),
        Some(RunSummary { lines: None, .. }) => Some(UncleanRun::Uncounted),
        Some(RunSummary { lines: Some(lines), .. }) if *lines != observed => {
            Some(UncleanRun::Lines { written: *lines, read: observed })
        }
        Some(_) => None,
    };
    let clean = bad.is_none();
    if let Some(bad) = bad {
        if !accept_unclean {
            return Err(Unusable::of(name, InputFault::Unclean(bad)));
        }
        notes.push(format!("{name}: {bad}; taken nevertheless"));
    }
    let dropped = end.as_ref().map_or(0, |end| end.dropped);
    if dropped > 0 {
        notes.push(format!("{name}: {dropped} observations were lost while it ran"));
    }
    let packages = end.map(|end| end.packages).unwrap_or_default();
    let digest = format!("sha256:{}", reader.digest.finish());
    let again = into
        .end(run, |run| {
            run.clean = clean;
            run.dropped = dropped;
            run.journal = digest;
            // The programs of a run are known at its end.
            if !packages.is_empty() {
                run.fingerprint.packages = packages;
            }
        })
        .map_err(|fault| Unusable::of(name, fault))?;
    if again {
        notes.push(format!("{name}: the same run was given before, and counts once"));
    }
    Ok(notes)
}

struct RunReader<'n> {
    name: &'n str,
    number: u64,
    digest: ContentHash,
    line: Vec<u8>,
}

impl RunReader<'_> {
    /// Reads the next line; false at the end of the file.
    fn next(&mut self, input: &mut impl BufRead) -> Result<bool, Unusable> {
        self.line.clear();
        let failed = |error: io::Error| Unusable::of(self.name, InputFault::Read(error));
        let most = LINE as u64 + 1;
        let length = io::Read::take(&mut *input, most).read_until(b'\n', &mut self.line).map_err(failed)?;
        self.number += u64::from(length > 0);
        if length > LINE {
            return Err(self.wrong(InputFault::LongLine));
        }
        self.digest.update(&self.line);
        Ok(length > 0)
    }

    fn wrong(&self, fault: InputFault) -> Unusable {
        Unusable::at(self.name, self.number, fault)
    }

    /// The run, and the calls beyond `@base` that it may have made unwatched.
    fn start(&self) -> Result<(Run, Vec<&'static str>), Unusable> {
        let start = Start::read(&self.line).map_err(|error| self.wrong(InputFault::Start(error)))?;
        let arch = start.fingerprint.arch.parse::<crate::kernel::Arch>();
        arch.map_err(|error| self.wrong(InputFault::Arch(error)))?;
        let command = start.command.into_iter().next().ok_or_else(|| self.wrong(InputFault::NoCommand))?;
        let base = groups::BASE.calls();
        let unwatched = start.unwatched.as_deref();
        let covers =
            |call: &String| base.contains_key(&**call) || groups::NOT_OF_GLIBC.contains(&call.as_str());
        let watched = unwatched.is_some_and(|calls| calls.iter().all(covers));
        let unseen = groups::NOT_OF_GLIBC.into_iter();
        let unseen = unseen
            .filter(|call| watched && unwatched.is_some_and(|calls| calls.iter().any(|one| one == call)));
        let unseen = unseen.collect();
        let run = Run {
            run: start.run,
            label: start.label.unwrap_or_default(),
            command,
            outer_seccomp: start.outer.seccomp,
            outer_denied: start.outer.denied,
            fingerprint: start.fingerprint,
            clean: false,
            exact: start.exact,
            watched,
            dropped: 0,
            journal: String::new(),
        };
        Ok((run, unseen))
    }
}

/// Adds the content of lines to the facts of their run.
struct FactBuilder<'o> {
    run: usize,
    phase: Phase,
    into: &'o mut Observations,
    /// Addresses and paths that have a number of the process that used them.
    numbered: &'o mut BTreeSet<String>,
}

impl FactBuilder<'_> {
    fn add(&mut self, fact: Fact) {
        self.into.add(fact, self.run, self.phase, None);
    }

    fn observe(&mut self, observation: &Observation, sha256: Option<String>) -> Result<(), InputFault> {
        let result = &*observation.result;
        let ok = matches!(result, "" | "ok");
        match &observation.what {
            What::Exec { .. } if ok => self.exec(&observation.what, sha256)?,
            What::Open { path, access, of, directory, .. } if ok => {
                let path = absolute(path)?;
                for access in access {
                    self.file(path, opened(access, *directory)?, mount(of, path)?);
                }
            }
            What::Change { op, path, to, of, directory, .. } if ok => {
                for (path, did) in changed(op, path, to, *directory)? {
                    self.file(path, did, mount(of, path)?);
                }
                if matches!(&**op, "rename" | "link") {
                    let (from, to) = (general(absolute(path)?), general(absolute(to)?));
                    self.add(Fact::Moved { from, to });
                }
            }
            // A name that was taken or refused is bound by the same call another day.
            What::Listen { address, .. } if ok || matches!(result, "EADDRINUSE" | "EACCES") => {
                let (address, example) = self.place(address);
                self.into.add(Fact::Listen { address }, self.run, self.phase, example);
            }
            // A refused connection is granted too: the peer may accept another day.
            What::Connect { address, .. }
                if ok
                    || matches!(result, "EINPROGRESS" | "ECONNREFUSED")
                    || (result == "ENOENT" && NSCD.contains(&&**address)) =>
            {
                let (address, example) = self.place(address);
                self.into.add(Fact::Connect { address }, self.run, self.phase, example);
            }
            // Another day it may be there, and a stable name grants no other.
            What::Connect { address, .. } if result == "ENOENT" && self.is_named_socket(address) => {
                self.add(Fact::Connect { address: address.clone() });
            }
            What::Listen { address, .. } | What::Connect { address, .. } => {
                let (address, _) = self.place(address);
                self.refused(&address, result);
            }
            // For want of a capability, which it needs or may need: the call is made all the same, and fails again.
            What::Syscall { call, .. }
                if result == "ENOSYS" || (result == "EPERM" && !syscalls::has_privilege(call)) =>
            {
                self.refused(call, result);
            }
            What::Syscall { program, call, arg, value } => {
                let value = value.as_ref().map(|value| match value {
                    Value::Name(name) => name.to_string(),
                    Value::Number(number) => number.to_string(),
                });
                let program = Some(&*program.0).filter(|program| !program.is_empty());
                let fact = Fact::Call { call: call.clone(), when: arg.zip(value) };
                self.into.add(fact, self.run, self.phase, program);
            }
            What::Capability { capability, call, .. } if ok => {
                self.add(Fact::Capability { capability: capability.clone(), call: call.clone() });
            }
            What::Capability { capability, .. } => self.refused(capability, result),
            What::Memory { write_execute: true, .. } if ok => self.add(Fact::WriteExecute),
            What::Credential { call, value, .. } if ok => {
                let ids: Vec<String> = value.iter().map(u32::to_string).collect();
                self.add(Fact::Credential { what: format!("{call} [{}]", ids.join(",")) });
            }
            What::Limit { limit, value } => {
                self.add(Fact::Limit { limit: limit.to_string(), value: *value });
            }
            What::Gap { path, call, why } if call.is_empty() => {
                self.add(Fact::Gap { what: format!("{path} ({why})") });
            }
            What::Gap { path, call, why } => {
                let program = if path.is_empty() { "a program that is not known" } else { path };
                self.add(Fact::Unread { what: format!("{call} of {program} ({why})") });
            }
            What::Numbered { name, part, was } => self.numbered(name, part, was)?,
            What::Ready { by } => self.add(Fact::Ready { by: by.to_string() }),
            What::Signal { signal } => {
                self.add(Fact::Signal { signal: signal.trim_start_matches("SIG").to_owned() });
            }
            // The kernel refuses it again; the profile does too, which is an event.
            What::Open { path, access, .. }
                if matches!(result, "EACCES" | "EROFS") && access.iter().any(|word| word != "read") =>
            {
                self.refused(&format!("a write in {}", parent(absolute(path)?)), result);
            }
            What::Change { op, path, to, .. }
                if matches!(result, "EACCES" | "EPERM" | "EROFS")
                    && !matches!(&**op, "chmod" | "chown" | "utime") =>
            {
                let path = absolute(if to.is_empty() { path } else { to })?;
                self.refused(&format!("{op} in {}", parent(path)), result);
            }
            What::Exec { .. }
            | What::Open { .. }
            | What::Change { .. }
            | What::Memory { .. }
            | What::Credential { .. }
            | What::Unknown => {}
        }
        Ok(())
    }

    /// A socket by such a name is granted as any is; a file is made in a directory that is granted,
    /// but in those that never are.
    fn numbered(&mut self, name: &str, part: &str, was: &str) -> Result<(), InputFault> {
        let at = name.rfind(['/', '@']).map_or(0, |at| at + 1);
        let (above, last) = name.split_at(at);
        let what = format!("{above}{}", last.replace(part, &format!("{{{was}}}")));
        self.numbered.insert(name.to_owned());
        let address = name.starts_with("unix:") || name.starts_with("tcp/");
        if !address && !NEVER.contains(&parent(absolute(name)?)) {
            return Ok(());
        }
        self.into.add(Fact::Numbered { what }, self.run, self.phase, Some(name));
        Ok(())
    }

    /// Whether a unix socket's address is one that a rule can name.
    fn is_named_socket(&self, address: &str) -> bool {
        address.strip_prefix("unix:/").is_some() && self.place(address).1.is_none()
    }

    /// An address as a rule names it, and the literal where that says more.
    fn place<'a>(&self, address: &'a str) -> (String, Option<&'a str>) {
        let path = address.strip_prefix("unix:").filter(|path| path.starts_with('/'));
        let mut above =
            path.into_iter().flat_map(|path| Path::new(path).ancestors()).filter_map(Path::to_str);
        if !self.numbered.contains(address) && !above.any(|above| self.numbered.contains(above)) {
            return place(address);
        }
        let general = if address.starts_with("unix:") { "unix:*" } else { CHOSEN_PORTS };
        (general.to_owned(), Some(address))
    }

    fn refused(&mut self, what: &str, result: &str) {
        self.add(Fact::Refused { what: format!("{what}: {result}") });
    }

    fn exec(&mut self, what: &What, sha256: Option<String>) -> Result<(), InputFault> {
        let What::Exec { program, applet, parent, parent_applet, loader, interpreter, variables, .. } = what
        else {
            return Ok(());
        };
        for name in variables {
            self.add(Fact::Variable { name: name.clone() });
        }
        let path = absolute(program)?.to_owned();
        let program = Name { path: path.clone(), applet: applet.clone() };
        if !interpreter.is_empty() {
            let interpreter = absolute(interpreter)?.to_owned();
            self.add(Fact::Interpreter { path: path.clone(), interpreter });
        }
        if !loader.is_empty() {
            self.add(Fact::Loader { path: path.clone(), loader: absolute(loader)?.to_owned() });
        }
        if let Some(sha256) = sha256.filter(|digest| !digest.is_empty()) {
            self.add(Fact::Digest { path, sha256: sha256.trim_start_matches("sha256:").to_owned() });
        }
        if parent.is_empty() {
            self.add(Fact::Entry(program.clone()));
        } else {
            let from = Name { path: absolute(parent)?.to_owned(), applet: parent_applet.clone() };
            self.add(Fact::Transition { from, to: program.clone() });
        }
        self.add(Fact::Program(program));
        Ok(())
    }

    /// Adds a file. Volatile names are replaced, except in files of the image that were only read.
    fn file(&mut self, path: &str, did: Did, mount: Mount) {
        let fixed = matches!(mount, Mount::Image)
            && matches!(did, Did::Read | Did::List)
            && !path.starts_with("/dev/");
        // isatty(3) and others are ioctls; those that every program may make are not observed.
        let terminal = ["/dev/pts/", "/dev/ptmx", "/dev/tty"].iter().any(|lead| path.starts_with(lead));
        if terminal && matches!(did, Did::Read | Did::Write) {
            self.file(path, Did::Ioctl, mount.clone());
        }
        let escaped = literal(path);
        match template(&escaped).filter(|_| !fixed) {
            Some(template) => {
                self.into.add(Fact::File { path: template, did, mount }, self.run, self.phase, Some(path));
            }
            None => self.add(Fact::File { path: escaped.into_owned(), did, mount }),
        }
    }
}

/// An address as a rule names it, and the literal where that says more: there may be any number of
/// literals.
fn place(address: &str) -> (String, Option<&str>) {
    let port = address.rsplit(':').next().unwrap_or_default();
    match address.split_once('/').filter(|(protocol, _)| matches!(*protocol, "tcp" | "udp")) {
        Some((protocol, rest)) if rest != port => (format!("{protocol}/{port}"), Some(address)),
        None if address.starts_with("unix:") && address["unix:".len()..].split(['/', '@']).any(volatile) => {
            ("unix:*".to_owned(), Some(address))
        }
        _ => (address.to_owned(), None),
    }
}

/// The action of an open, by its access.
fn opened(access: &Word, directory: bool) -> Result<Did, InputFault> {
    match &**access {
        "read" if directory => Ok(Did::List),
        "list" => Ok(Did::List),
        "read" => Ok(Did::Read),
        "write" | "append" | "truncate" => Ok(Did::Write),
        "create" => Ok(Did::Create),
        "ioctl" => Ok(Did::Ioctl),
        other => Err(InputFault::Access(other.to_owned())),
    }
}

/// The actions of a change, with their paths.
fn changed<'l>(
    op: &str,
    path: &'l str,
    to: &'l str,
    directory: bool,
) -> Result<Vec<(&'l str, Did)>, InputFault> {
    let path = absolute(path)?;
    let made = if directory { Did::MakeDirectory } else { Did::Create };
    Ok(match op {
        "create" | "symlink" | "mknod" | "bind" => vec![(path, made)],
        "mkdir" => vec![(path, Did::MakeDirectory)],
        "remove" | "unlink" | "rmdir" => vec![(path, Did::Remove)],
        "truncate" => vec![(path, Did::Write)],
        "rename" => vec![(path, Did::Remove), (absolute(to)?, made)],
        "link" => vec![(absolute(to)?, made)],
        "ioctl" => vec![(path, Did::Ioctl)],
        // No file rights govern them.
        "chmod" | "chown" | "utime" | "xattr" => Vec::new(),
        other => return Err(InputFault::Change(other.to_owned())),
    })
}

fn mount(of: &Of, path: &str) -> Result<Mount, InputFault> {
    Ok(match &*of.mount {
        _ if path.starts_with("/proc/") || path == "/proc" => Mount::Proc,
        "volume" if of.mount_point.is_empty() => Mount::Volume(None),
        "volume" => Mount::Volume(Some(literal(absolute(&of.mount_point)?).into_owned())),
        "tmpfs" => Mount::Tmpfs,
        "proc" => Mount::Proc,
        _ => Mount::Image,
    })
}

/// Checks that a path is absolute, and one that a profile can name.
fn absolute(path: &str) -> Result<&str, InputFault> {
    if path.len() > LONGEST_PATH {
        return Err(InputFault::LongPath);
    }
    let normal = path.starts_with('/')
        && !path.contains('\0')
        && (path == "/" || path[1..].split('/').all(|name| !matches!(name, "" | "." | "..")));
    if normal { Ok(path) } else { Err(InputFault::Path(path.to_owned())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_no_profile_can_name_is_left_out_and_said() {
        let line = |path: &str| {
            format!(
                "{{\"t\":1,\"phase\":\"serving\",\"kind\":\"open\",\"result\":\"ok\",\"path\":\"{path}\",\"access\":[\"read\"]}}\n"
            )
        };
        let of = |bytes: usize| format!("/{}", "d".repeat(bytes - 1));
        let journal = [
            "{\"journal\":1,\"run\":\"app-1\",\"command\":[\"app\"],\"fingerprint\":{\"arch\":\"x86_64\"},\"outer\":{}}\n".to_owned(),
            line(&of(LONGEST_PATH)),
            line(&of(LONGEST_PATH + 1)),
            line(&"/d".repeat(50_000)),
            "{\"t\":9,\"end\":{\"exit\":{\"code\":0},\"clean\":true,\"lines\":3,\"dropped\":0}}\n".to_owned(),
        ]
        .concat();
        let mut observations = Observations::default();
        let notes = read("journal", journal.as_bytes(), false, &mut observations).expect("a journal");
        assert_eq!(
            notes,
            ["journal: 2 lines with a path of more than 4095 bytes left out: no profile can name it"]
        );
        observations.settle();
        let paths: Vec<usize> = observations
            .facts()
            .into_keys()
            .filter_map(|fact| if let Fact::File { path, .. } = fact { Some(path.len()) } else { None })
            .collect();
        assert_eq!(paths, [LONGEST_PATH]);
    }

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
                assert!(error.to_string().starts_with("journal"), "it says where: {error}");
            }
        });
    }
}
