//! execve and execveat: the program, its interpreter and its loader.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::sys::stat::fstat;

use super::programs::{ProgramName, applet};
use super::{CallObservations, Recorder, result};
use crate::event::redact;
use crate::image::{Executable, FileId, FileKind, elf};
use crate::journal::observation::{Observation, RecordedArgs, What};
use crate::kernel::Arch;
use crate::notify::caller::Caller;
use crate::notify::capabilities;
use crate::notify::path_resolver::{PathResolver, Resolved};
use crate::notify::resolve::Target;
use crate::notify::syscall_args::{self, PathArg};
use crate::policy::args::Need;
use crate::policy::call::Call;
use crate::processes::proc_fs::LiveProcFs;
use crate::procfs::link_to;

/// Arguments that are read: those that are recorded, and one more; the first ones name an applet.
const NEEDED: Need = Need { strings: MOST_ARGS + 1, bytes: 32 << 10 };
/// The number of arguments that an observation records.
const MOST_ARGS: usize = 32;

/// The most variables that an observation records.
const MOST_VARIABLES: usize = 64;

/// The number of programs whose digest is remembered as recorded.
const DIGESTS: usize = 4096;

impl Recorder {
    pub(super) fn exec(&mut self, call: &Call, caller: &Caller) -> CallObservations {
        // The exec of the app's first process, which is a child of the supervisor.
        let launch = self.launch.take_if(|launch| launch.app == caller.tgid);
        let is_launch = launch.is_some();
        let (reached, args, named) = match launch {
            Some(launch) => {
                let file = at_cwd(&launch.file);
                let reached = self.resolver().file(caller, &file, true);
                (reached, launch.args, launch.file)
            }
            None => {
                let memory = self.memory_of(caller);
                let exec = syscall_args::Exec::of(call);
                let Ok(path) = exec.path(&memory) else { return CallObservations::default() };
                let args = syscall_args::args(&memory, exec.args, NEEDED).unwrap_or_default().shown();
                let (file, follow) = exec.file(&path);
                (self.resolver().file(caller, &file, follow), args, path)
            }
        };
        let parent = if is_launch {
            ProgramName::default()
        } else {
            self.programs.of(caller, &LiveProcFs(&self.identity))
        };
        let found = match runs(&self.resolver(), caller, reached) {
            Ok(found) => found,
            Err(errno) => {
                let program = named.to_string_lossy().into_owned();
                return CallObservations::of(vec![Observation {
                    what: plain(program, &parent),
                    result: result(Some(errno)),
                }]);
            }
        };
        let name = ProgramName { applet: applet(&found.path, &args), path: found.path };
        let variables = if is_launch { Vec::new() } else { self.variables(call, caller, &found.interpreter) };
        let mut what = plain(name.path.clone(), &parent);
        if let What::Exec { applet, args: recorded, loader, interpreter, variables: set, .. } = &mut what {
            *set = variables;
            applet.clone_from(&name.applet);
            *recorded = RecordedArgs(redact::secrets(&shortened(args)));
            *loader = found.loader;
            *interpreter = found.interpreter;
        }
        let mut observations = vec![Observation::ok(what)];
        observations.extend(found.needs.map(|capability| self.needed(caller, call, capability)));
        let runs_unreadable = found.mode & 0o444 != 0o444
            && matches!(
                self.identity.with_caller_creds(caller, || opens(&found.opened)),
                Err(Errno::EACCES | Errno::EPERM)
            );
        let file = (!self.digests.contains(&found.id)).then_some(found.file).flatten();
        if file.is_some() {
            if self.digests.len() >= DIGESTS {
                self.digests.clear();
            }
            self.digests.push(found.id);
        }
        CallObservations {
            observations,
            file,
            exec: Some((parent, name, found.image)),
            runs_unreadable,
            program: String::new(),
            answer: None,
        }
    }
}

impl Recorder {
    /// The names of the variables of an exec that a profile would refuse unless it keeps them, and
    /// that the container was not started with.
    fn variables(&self, call: &Call, caller: &Caller, interpreter: &str) -> Vec<String> {
        let mut names = Vec::new();
        let memory = self.memory_of(caller);
        let exec = syscall_args::Exec::of(call);
        let read = syscall_args::each(&memory, exec.environment, |variable| {
            let Some(end) = variable.iter().position(|byte| *byte == b'=') else { return true };
            let (name, value) = (&variable[..end], &variable[end + 1..]);
            let policy = self.rules.policy();
            let of_scripts = || !interpreter.is_empty() && policy.variable_of_scripts(name, value).is_some();
            let matters = policy.variable(name).is_some() || of_scripts();
            if matters && !self.inherited.iter().any(|one| one == variable) {
                names.push(String::from_utf8_lossy(name).into_owned());
            }
            names.len() < MOST_VARIABLES
        });
        // Then the exec fails, or the call is recorded as one that could not be read.
        if read.is_err() {
            return Vec::new();
        }
        names.sort_unstable();
        names
    }
}

/// The program that an exec runs.
struct ExecutedProgram {
    path: String,
    id: FileId,
    /// The file that `/proc/PID/exe` will name.
    image: FileId,
    loader: String,
    interpreter: String,
    needs: Option<caps::Capability>,
    file: Option<File>,
    /// The permission bits of the file.
    mode: u32,
    /// The file, by O_PATH.
    opened: OwnedFd,
}

/// Finds the program that an exec will run.
///
/// # Errors
/// The errno of execve(2) where it runs none.
fn runs(
    resolver: &PathResolver,
    caller: &Caller,
    reached: Result<Resolved, Errno>,
) -> Result<ExecutedProgram, Errno> {
    let (target, canonical) = executable(reached?)?;
    let stat = fstat(&target.fd)?;
    let owned = capabilities::Owned { mode: target.mode, ..capabilities::Owned::from(&stat) };
    let needs = capabilities::access(caller, owned, capabilities::SEARCH, false);
    if needs.is_some_and(|capability| !capabilities::has(caller, capability)) {
        return Err(Errno::EACCES);
    }
    // A file that is executable but not readable gets no digest.
    let file = readable(&target);
    let kind = file.as_ref().and_then(|file| elf::executable(file, Arch::THIS).ok());
    let mut runs = ExecutedProgram {
        path: canonical.to_string_lossy().into_owned(),
        id: target.id,
        image: target.id,
        loader: String::new(),
        interpreter: String::new(),
        needs,
        file,
        mode: target.mode,
        opened: target.fd,
    };
    match kind {
        Some(Executable::Dynamic(loader)) => runs.loader = loader.to_string_lossy().into_owned(),
        Some(Executable::Script(interpreter, _)) => {
            let found = interpreter_of(resolver, caller, &interpreter, 5)?;
            runs.image = found.image;
            runs.loader = found.loader;
            // An interpreter named relative to a working directory is recorded by its canonical path.
            let named = if interpreter.is_absolute() { interpreter } else { found.canonical };
            runs.interpreter = named.to_string_lossy().into_owned();
        }
        // On ENOEXEC a shell runs the file as its own script.
        Some(Executable::Unknown | Executable::Foreign(_)) => return Err(Errno::ENOEXEC),
        Some(Executable::Static | Executable::Loader) | None => {}
    }
    Ok(runs)
}

/// Checks that a target can be executed: a regular file with an execute bit.
fn executable((target, canonical): Resolved) -> Result<(Target, PathBuf), Errno> {
    let target = target.ok_or(Errno::ENOENT)?;
    if target.kind != FileKind::Regular || target.mode & 0o111 == 0 {
        return Err(Errno::EACCES);
    }
    Ok((target, canonical))
}

/// Opens the file of an O_PATH descriptor for reading. It opens through the descriptor, so it is
/// the same file that was resolved, and O_NONBLOCK keeps a lease from blocking it.
fn readable(target: &Target) -> Option<File> {
    let path = link_to(&target.fd);
    File::options().read(true).custom_flags(libc::O_NONBLOCK).open(path).ok()
}

/// Opens the file of an O_PATH descriptor for reading, with the rights of the calling thread.
fn opens(opened: &OwnedFd) -> Result<File, Errno> {
    let path = link_to(opened);
    File::options().read(true).custom_flags(libc::O_NONBLOCK).open(path).map_err(crate::procfs::errno)
}

/// An interpreter, resolved.
#[derive(Debug)]
struct Interpreter {
    /// Its canonical path.
    canonical: PathBuf,
    /// The file that runs: of a script, that of its last interpreter.
    image: FileId,
    /// The ELF loader of that file.
    loader: String,
}

/// Resolves an interpreter as the kernel does: from the caller's root and working directory,
/// with its rights. The app chooses the name, so only a regular file is opened: opening a pipe
/// would block every notified call.
///
/// # Errors
/// The errno of execve(2) where there is none.
fn interpreter_of(
    resolver: &PathResolver,
    caller: &Caller,
    path: &Path,
    depth: u32,
) -> Result<Interpreter, Errno> {
    let (target, canonical) = executable(resolver.file(caller, &at_cwd(path), true)?)?;
    // The kernel executes an interpreter that cannot be read.
    let kind = readable(&target).and_then(|file| elf::executable(&file, Arch::THIS).ok());
    let (image, loader) = match kind {
        Some(Executable::Script(next, _)) if depth > 0 => {
            let found = interpreter_of(resolver, caller, &next, depth - 1)?;
            (found.image, found.loader)
        }
        Some(Executable::Dynamic(loader)) => (target.id, loader.to_string_lossy().into_owned()),
        _ => (target.id, String::new()),
    };
    Ok(Interpreter { canonical, image, loader })
}

fn at_cwd(path: &Path) -> PathArg {
    PathArg::here(path)
}

fn plain(program: String, parent: &ProgramName) -> What {
    What::Exec {
        program,
        applet: String::new(),
        parent: parent.path.clone(),
        parent_applet: parent.applet.clone(),
        args: RecordedArgs(Vec::new()),
        loader: String::new(),
        interpreter: String::new(),
        variables: Vec::new(),
    }
}

/// Shortens arguments for the journal.
fn shortened(mut args: Vec<String>) -> Vec<String> {
    const LONGEST: usize = 200;
    args.truncate(MOST_ARGS);
    for arg in &mut args {
        if arg.len() > LONGEST {
            arg.truncate(arg.floor_char_boundary(LONGEST));
            arg.push('…');
        }
    }
    args
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use nix::sys::stat::Mode;

    use super::*;
    use crate::ids::Pid;
    use crate::notify::caller::Identity;

    #[test]
    fn an_interpreter_that_is_a_pipe_is_not_waited_for() {
        let place = tempfile::tempdir().expect("a directory");
        let pipe = place.path().join("pipe");
        nix::unistd::mkfifo(&pipe, Mode::from_bits_truncate(0o777)).expect("a pipe");
        let script = place.path().join("script");
        std::fs::write(&script, format!("#!{}\n", pipe.display())).expect("a script");
        std::fs::set_permissions(&script, PermissionsExt::from_mode(0o755)).expect("executable");

        let identity = Identity::own().expect("own ids");
        let resolver = PathResolver { identity: &identity, moves: false };
        let caller = Caller::of(Pid::own().first_thread()).expect("this process");
        let found = |path: &Path| {
            runs(&resolver, &caller, resolver.file(&caller, &at_cwd(path), true))
                .map(|found| found.interpreter)
        };
        assert_eq!(found(&script).err(), Some(Errno::EACCES));
        assert_eq!(found(&pipe).err(), Some(Errno::EACCES));
        let again = place.path().join("again");
        std::fs::write(&again, format!("#!{}\n", script.display())).expect("a script");
        std::fs::set_permissions(&again, PermissionsExt::from_mode(0o755)).expect("executable");
        assert_eq!(found(&again).err(), Some(Errno::EACCES), "the pipe is its interpreter's");
        std::fs::write(&again, "#!/nowhere\n").expect("a script");
        assert_eq!(found(&again).err(), Some(Errno::ENOENT));
        std::fs::write(&again, "#!/bin/sh\n").expect("a script");
        assert_eq!(found(&again).ok().as_deref(), Some("/bin/sh"), "control");
    }
}
