//! Programs as inodes: each entry found, read, and followed to the loader and the
//! interpreter that the kernel would start for it.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use super::error;
use super::libraries::Library;
use super::{
    Derived, FileProvenance, Host, Libraries, PlanError, PlanFault, PolicyProgram, ProgramIndex,
    ProgramTarget, Role, libraries,
};
use crate::image::{Executable, FileId, FileInfo, FileKind, ImageFiles, elf};
use crate::kernel::{Arch, Kernel};
use crate::profile::{Profile, ProfileIndex, Program, ProgramPlace, Transition};

/// The programs of a profile, resolved in this image.
#[derive(Debug, Default)]
pub(super) struct Programs {
    /// The entries whose files exist.
    pub entries: Vec<PolicyProgram>,
    /// Every file and directory with the right to be executed.
    pub executables: Vec<ExecutableFile>,
    /// Directories from which only files of the image run, each with its entry's JSON Pointer. They
    /// may be data as well.
    pub trees: Vec<(FileInfo, String)>,
    /// Loaders and interpreters, in the order in which they are printed.
    pub derived: Vec<Derived>,
    /// The files from which code may be mapped.
    pub libraries: Vec<Library>,
    /// Files by which the loader finds code, as in [`Host::guarded`].
    pub guarded: Vec<(&'static str, PathBuf)>,
    /// Links to all of these, and paths that do not exist yet, as in [`Host::links`].
    pub names: Vec<(&'static str, PathBuf)>,
    /// Some program is started by a loader, which opens libraries.
    pub dynamic: bool,
    /// Notes on entries that were left out or have no effect.
    pub notes: Vec<String>,
}

/// A file that may be executed, or a directory of them.
#[derive(Debug)]
pub(super) struct ExecutableFile {
    pub info: FileInfo,
    /// `None` for a program itself.
    pub role: Option<Role>,
    /// JSON Pointer of the entry that needs it.
    pub because: String,
}

/// How many levels of scripts may interpret a script (fs/exec.c, exec_binprm).
const MOST_SCRIPTS: usize = 5;

impl Programs {
    /// Every entry of the profile, resolved.
    pub fn find(
        profile: &Profile,
        host: &Host,
        files: &dyn ImageFiles,
        kernel: &Kernel,
        provenance: &FileProvenance,
    ) -> Result<Programs, PlanError> {
        let arch = kernel.arch;
        // Landlock's EXECUTE does not distinguish files below a directory.
        let verified = kernel.trace.is_ok() && kernel.notify.is_ok();
        let mut found = Programs::default();
        let has_directories = host.embedded
            && profile.programs.iter().any(|program| matches!(program.place, ProgramPlace::Beneath(_)));
        let mut at = BTreeMap::<&OsStr, Vec<ProfileIndex>>::new();
        for (index, program) in profile.indexed_programs() {
            at.entry(program.place.path().as_os_str()).or_default().push(index);
        }
        let mut known = Known::default();
        for (index, program) in profile.indexed_programs() {
            let pointer = format!("/programs/{index}");
            let Some(info) = found.stand(program, &pointer, host, files)? else { continue };
            let beside = has_directories && !is_command(&info, &pointer, host, files)?;
            if let Some(why) = left_out(program, &info, verified, beside, provenance, files) {
                found.notes.push(format!("{pointer}: {} {why}", program.place.path().display()));
                continue;
            }
            let before = found.executables.len();
            let own_name = info.canonical.file_name().map(|name| name.to_string_lossy().into_owned());
            let target = match &program.place {
                ProgramPlace::Beneath(_) => {
                    let directory = info.canonical.clone();
                    found.loaders(&pointer, files, arch)?;
                    if program.from_image {
                        found.trees.push((info, pointer.clone()));
                    } else {
                        let because = pointer.clone();
                        found.executables.push(ExecutableFile { info, role: None, because });
                    }
                    ProgramTarget::Beneath(directory)
                }
                ProgramPlace::Path(path) => {
                    let id = info.id;
                    if known
                        .twice(id, program, ProgramIndex::new(found.entries.len()))
                        .map_or(Ok(false), |earlier| found.is_twice(earlier, program, &pointer, host))?
                    {
                        continue;
                    }
                    found.file(program, path, info, &pointer, files)?;
                    ProgramTarget::File(id)
                }
            };
            let interpreter = match &program.interpreter {
                Some(path) => error::stat(files.stat(path), path, &pointer)?.map(|info| info.id),
                None => None,
            };
            let libraries = found.libraries(program, &pointer, before, files)?;
            found.names(program, files);
            found.entries.push(PolicyProgram {
                index,
                path: program.place.path().to_owned(),
                target,
                from_image: program.from_image,
                entry: program.entry,
                interpreter,
                may_run: transitions(&at, profile, program),
                args: program.args.clone(),
                applet: program.applet.clone(),
                own_name: own_name.unwrap_or_default(),
                sha256: program.sha256.clone(),
                user: program.user.clone(),
                instances: program.instances,
                libraries,
            });
        }
        found.derived_names(files, arch);
        Ok(found)
    }

    /// Collects the links and missing paths that decide how an entry's paths resolve at the next start.
    fn names(&mut self, program: &Program, files: &dyn ImageFiles) {
        for path in [Some(program.place.path()), program.interpreter.as_deref()].into_iter().flatten() {
            self.leads("a link to a program", path, files);
        }
        for path in program.libraries.iter().flatten() {
            match files.stat(path) {
                Ok(Some(_)) => self.leads("a link to what code may be mapped from", path, files),
                _ => self.missing("from which code may be mapped once it is there", path, files),
            }
        }
    }

    /// The same for loaders and interpreters, and for the files that the loader reads first.
    fn derived_names(&mut self, files: &dyn ImageFiles, arch: Arch) {
        let derived: Vec<PathBuf> = self.derived.iter().map(|derived| derived.path.clone()).collect();
        for path in &derived {
            self.leads("a link to a program", path, files);
        }
        if self.dynamic {
            for path in elf::loader_files(arch) {
                const WHAT: &str = "which tells the loader what code to map";
                self.missing(WHAT, path, files);
                self.guarded.push((WHAT, path.to_owned()));
            }
        }
        let mut names = BTreeSet::new();
        names.extend(self.names.drain(..));
        self.names.extend(names);
    }

    /// Records a path that does not exist, and the links that lead there.
    fn missing(&mut self, what: &'static str, path: &Path, files: &dyn ImageFiles) {
        let trail = files.trail(path);
        self.names.extend(trail.links.into_iter().chain([trail.end]).map(|name| (what, name)));
    }

    fn leads(&mut self, what: &'static str, path: &Path, files: &dyn ImageFiles) {
        self.names.extend(files.trail(path).links.into_iter().map(|link| (what, link)));
    }

    /// The files from which an entry's code may be mapped; those that the kernel maps for it are in
    /// `executables`, from `before` on.
    fn libraries(
        &mut self,
        program: &Program,
        pointer: &str,
        before: usize,
        files: &dyn ImageFiles,
    ) -> Result<Option<Libraries>, PlanError> {
        let Some(listed) = &program.libraries else { return Ok(None) };
        let found = libraries::find(listed, pointer, files, &mut self.notes)?;
        let is_own = |executable: &&ExecutableFile| executable.info.kind == FileKind::Regular;
        let own = self.executables[before..]
            .iter()
            .filter(is_own)
            .map(|executable| (executable.info.id, executable.info.canonical.clone()));
        let libraries = Libraries { own: own.collect(), ..libraries::of(&found) };
        self.libraries.extend(found);
        Ok(Some(libraries))
    }

    /// The file at an entry's path; `None` when the entry is left out.
    fn stand(
        &mut self,
        program: &Program,
        pointer: &str,
        host: &Host,
        files: &dyn ImageFiles,
    ) -> Result<Option<FileInfo>, PlanError> {
        let path = program.place.path();
        let (key, wanted) = match program.place {
            ProgramPlace::Path(_) => ("path", FileKind::Regular),
            ProgramPlace::Beneath(_) => ("beneath", FileKind::Directory),
        };
        let pointer = format!("{pointer}/{key}");
        match error::stat(files.stat(path), path, &pointer)? {
            Some(info) if info.kind == wanted => Ok(Some(info)),
            Some(info) if info.kind == FileKind::Directory => {
                Err(PlanError::at(pointer, PlanFault::ProgramIsDirectory(path.to_owned())))
            }
            Some(_) if wanted == FileKind::Directory => {
                Err(PlanError::at(pointer, PlanFault::NotDirectory(path.to_owned())))
            }
            Some(_) => Err(PlanError::at(pointer, PlanFault::NotRegular(path.to_owned()))),
            None if host.embedded => {
                self.missing("what the next start would take for a program", path, files);
                self.notes.push(format!("{pointer}: {} is not there, so it is left out", path.display()));
                Ok(None)
            }
            None => Err(PlanError::at(pointer, PlanFault::NoProgram(path.to_owned()))),
        }
    }

    /// Whether another entry has this inode already: two names of one file can only be
    /// distinguished by `applet`. In an embedded profile that is no error.
    fn is_twice(
        &self,
        earlier: ProgramIndex,
        program: &Program,
        pointer: &str,
        host: &Host,
    ) -> Result<bool, PlanError> {
        if host.embedded {
            return Ok(true);
        }
        let other = &self.entries[earlier.0];
        Err(PlanError::at(
            format!("{pointer}/path"),
            PlanFault::SameProgram {
                path: program.place.path().to_owned(),
                other: other.path.clone(),
                index: other.index.get(),
            },
        ))
    }

    /// Adds one file, and the loader or interpreter that the kernel starts for it.
    fn file(
        &mut self,
        program: &Program,
        path: &Path,
        info: FileInfo,
        pointer: &str,
        files: &dyn ImageFiles,
    ) -> Result<(), PlanError> {
        let at = |key: &str| format!("{pointer}/{key}");
        if info.mode & 0o111 == 0 {
            self.notes.push(format!(
                "{}: {} has no execute bit, so it cannot run",
                at("path"),
                path.display()
            ));
        }
        let how = read(files, &info.canonical, &at("path"))?;
        match (&how, &program.interpreter) {
            (Executable::Script(line, _), None) => {
                let fault = PlanFault::NoInterpreter { path: path.to_owned(), line: line.clone() };
                return Err(PlanError::at(at("path"), fault));
            }
            (Executable::Script(line, _), Some(named)) if line != named => {
                let (path, line, named) = (path.to_owned(), line.clone(), named.clone());
                let fault = PlanFault::OtherInterpreter { path, line, named };
                return Err(PlanError::at(at("interpreter"), fault));
            }
            (Executable::Script(..), Some(_)) => {}
            (_, Some(_)) => {
                return Err(PlanError::at(at("interpreter"), PlanFault::NotScript(path.to_owned())));
            }
            (_, None) => {}
        }
        self.executables.push(ExecutableFile { info, role: None, because: pointer.to_owned() });
        self.follow(path, how, pointer, files, MOST_SCRIPTS)
    }

    /// Derives the loader or interpreter that the kernel starts for a file, recursively.
    fn follow(
        &mut self,
        path: &Path,
        how: Executable,
        pointer: &str,
        files: &dyn ImageFiles,
        scripts: usize,
    ) -> Result<(), PlanError> {
        let (next, role) = match how {
            Executable::Static | Executable::Loader => return Ok(()),
            Executable::Dynamic(loader) => {
                self.dynamic = true;
                (loader, Role::Loader)
            }
            Executable::Script(interpreter, _) if scripts > 0 => (interpreter, Role::Interpreter),
            Executable::Script(..) => {
                let fault = PlanFault::DeepScript { path: path.to_owned(), most: MOST_SCRIPTS };
                return Err(PlanError::at(pointer, fault));
            }
            Executable::Foreign(machine) => {
                return Err(PlanError::at(pointer, PlanFault::Foreign { path: path.to_owned(), machine }));
            }
            Executable::Unknown => {
                return Err(PlanError::at(pointer, PlanFault::NotExecutable(path.to_owned())));
            }
        };
        if !next.is_absolute() {
            return Err(PlanError::at(pointer, PlanFault::Relative { path: path.to_owned(), role, next }));
        }
        let Some(info) = error::stat(files.stat(&next), &next, pointer)? else {
            return Err(PlanError::at(pointer, PlanFault::NoFile { path: path.to_owned(), role, next }));
        };
        let how = read(files, &info.canonical, pointer)?;
        self.derive(next.clone(), role, info, pointer);
        if role == Role::Loader { Ok(()) } else { self.follow(&next, how, pointer, files, scripts - 1) }
    }

    /// The loaders that distributions ship are recognised by their inodes: the files of a directory
    /// of programs are not read one by one.
    fn loaders(&mut self, pointer: &str, files: &dyn ImageFiles, arch: Arch) -> Result<(), PlanError> {
        self.dynamic = true;
        for loader in elf::standard_loaders(arch) {
            match error::stat(files.stat(loader), loader, pointer)? {
                Some(there) => self.derive(loader.to_owned(), Role::Loader, there, pointer),
                None => self.missing("what the next start would take for a loader", loader, files),
            }
        }
        Ok(())
    }

    fn derive(&mut self, path: PathBuf, role: Role, info: FileInfo, pointer: &str) {
        let entry = Derived { path, role, because: pointer.to_owned() };
        // Those of one entry are together, at the end.
        if !self.derived.iter().rev().take_while(|one| one.because == pointer).any(|one| *one == entry) {
            self.derived.push(entry);
            self.executables.push(ExecutableFile { info, role: Some(role), because: pointer.to_owned() });
        }
    }

    /// Whether a script may be a program: one is listed, or may be below a directory.
    pub fn scripts(&self) -> bool {
        self.entries
            .iter()
            .any(|entry| entry.interpreter.is_some() || matches!(entry.target, ProgramTarget::Beneath(_)))
    }

    /// The inodes that may be executed only because a program needs them. An interpreter below a
    /// directory of programs is a program; a loader there is not, since it would run any readable
    /// file.
    pub fn only_derived(&self) -> BTreeMap<FileId, Role> {
        let (mut files, mut directories) = (BTreeSet::new(), BTreeSet::new());
        for entry in &self.entries {
            match &entry.target {
                ProgramTarget::File(id) => drop(files.insert(*id)),
                ProgramTarget::Beneath(directory) => drop(directories.insert(directory.as_path())),
            }
        }
        let is_program = |id: FileId| files.contains(&id);
        let is_beneath = |path: &Path| path.ancestors().any(|above| directories.contains(above));
        let derived = self
            .executables
            .iter()
            .filter_map(|executable| executable.role.map(|role| (&executable.info, role)))
            .filter(|(info, _)| !is_program(info.id))
            .filter(|(info, role)| *role == Role::Loader || !is_beneath(&info.canonical))
            .map(|(info, role)| (info.id, role));
        let mut only = BTreeMap::new();
        only.extend(derived);
        only
    }
}

fn is_command(
    info: &FileInfo,
    pointer: &str,
    host: &Host,
    files: &dyn ImageFiles,
) -> Result<bool, PlanError> {
    let Some(command) = &host.command else { return Ok(false) };
    Ok(error::stat(files.stat(command), command, pointer)?.is_some_and(|command| command.id == info.id))
}

/// Why an entry whose file is there is left out, if it is: where files of the image cannot be distinguished
/// from others, none below a directory runs by `from_image`; and what lies `beside` COMMAND under an
/// embedded profile may have been written by an earlier run.
fn left_out(
    program: &Program,
    info: &FileInfo,
    verified: bool,
    beside: bool,
    provenance: &FileProvenance,
    files: &dyn ImageFiles,
) -> Option<&'static str> {
    let tells = || provenance.tells(&info.canonical);
    match program.place {
        ProgramPlace::Beneath(_) if !program.from_image => None,
        ProgramPlace::Beneath(_) if !verified => Some("is left out: no exec is verified here"),
        ProgramPlace::Beneath(_) if tells() => None,
        ProgramPlace::Beneath(_) => Some("is left out: nothing shows which files came with the image"),
        ProgramPlace::Path(_) => {
            let came = || provenance.is_of_image(&info.canonical, info.changed, files);
            let is_other = beside && provenance.dates(&info.canonical) && !came();
            is_other.then_some("did not come with the image, or was changed since: it is left out")
        }
    }
}

/// The entries that `program` may run, by their indices in the profile; `at` has the entries of
/// each path.
fn transitions(
    at: &BTreeMap<&OsStr, Vec<ProfileIndex>>,
    profile: &Profile,
    program: &Program,
) -> Vec<ProfileIndex> {
    let leads = |transition: &Transition, other: &Program| {
        transition.applet.is_none() || transition.applet == other.applet
    };
    let mut transitions = BTreeSet::new();
    for transition in program.may_run.iter().map(|transition| &transition.what) {
        let there = at.get(transition.path.as_os_str()).into_iter().flatten();
        transitions.extend(there.filter(|index| leads(transition, &profile.programs[index.get()])));
    }
    transitions.into_iter().collect()
}

/// The entries of each file that were found so far.
#[derive(Default)]
struct Known {
    first: BTreeMap<FileId, ProgramIndex>,
    /// The first for all of a file, and for each applet.
    same: BTreeMap<(FileId, Option<String>), ProgramIndex>,
}

impl Known {
    /// The first entry of the same file whose applet does not distinguish it from this one. Records
    /// this one.
    fn twice(&mut self, id: FileId, program: &Program, here: ProgramIndex) -> Option<ProgramIndex> {
        let own = (id, program.applet.clone());
        let earlier = match program.applet {
            None => self.first.get(&id).copied(),
            Some(_) => [self.same.get(&(id, None)), self.same.get(&own)].into_iter().flatten().min().copied(),
        };
        if earlier.is_none() {
            self.first.entry(id).or_insert(here);
            self.same.insert(own, here);
        }
        earlier
    }
}

fn read(files: &dyn ImageFiles, path: &Path, pointer: &str) -> Result<Executable, PlanError> {
    files.executable(path).map_err(|error| PlanError::at(pointer, PlanFault::Read(path.to_owned(), error)))
}
