//! What the next start of the same container would find by name. A process that changes it
//! decides what that start executes, reads or writes, so the app may not change it: the files
//! themselves, every link that leads to them, and names that do not exist yet but would be found
//! before them.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::command;
use super::options::Options;
use crate::enforce::source::Loaded;
use crate::event::Destination;
use crate::image::{Executable, FileKind, ImageFiles};

/// Paths, each with its description for a message.
type Named = Vec<(&'static str, PathBuf)>;

/// What a start finds by name.
pub(super) struct NextStart<'a> {
    pub options: &'a Options,
    pub loaded: &'a Loaded,
    /// `argv[0]` of this process.
    pub called_as: Option<&'a Path>,
    /// The container's PATH.
    pub path: Option<OsString>,
    /// COMMAND, where it was found.
    pub found: &'a Path,
    pub files: &'a dyn ImageFiles,
}

impl NextStart<'_> {
    /// Files that the app must not be able to change.
    pub fn guarded(&self) -> Named {
        let mut files = Vec::new();
        files.extend(self.loaded.path.clone().map(|path| ("the profile", path)));
        files.extend(self.itself().map(|path| ("remit-init", path)));
        let events = self.options.events.path().filter(|path| !self.is_device(path));
        files.extend(events.map(|path| ("the event file", path.to_owned())));
        // An inherited descriptor may be open on a file that has a path here.
        if let Destination::Fd(number @ 3..) = self.options.events {
            let behind = std::fs::read_link(format!("/proc/self/fd/{number}")).ok();
            let behind = behind.filter(|path| path.is_absolute() && path.exists() && !self.is_device(path));
            files.extend(behind.map(|path| ("the event file", path)));
        }
        files.extend(self.users().map(|path| ("which --run-as reads", path)));
        files
    }

    /// Links that the app must not be able to change, and names that it must not be able to
    /// make. Only `argv[0]` shows by which links remit-init itself was reached.
    pub fn links(&self) -> Named {
        let mut links = BTreeSet::new();
        links.extend(self.loaded.links.iter().cloned());
        let named = self.called_as.filter(|name| name.as_os_str().as_bytes().contains(&b'/'));
        let before_itself = self.called_as.map(|name| self.before_itself(name.as_os_str()));
        let to_files =
            [("a link to remit-init", named), ("a link to the event file", self.options.events.path())];
        for (what, path) in to_files {
            links.extend(path.into_iter().flat_map(|path| self.trail(path).links).map(|link| (what, link)));
        }
        let searched = [
            ("which --run-as reads", self.users().collect()),
            (
                "which PATH would find before remit-init, unless ENTRYPOINT is a whole path",
                before_itself.unwrap_or_default(),
            ),
            ("which PATH would find before COMMAND, unless that is a whole path", self.before_command()),
            ("which env would find before COMMAND's interpreter along PATH", self.before_interpreter()),
        ];
        for (what, paths) in searched {
            let trails = paths.iter().map(|path| self.trail(path));
            let names = trails.flat_map(|trail| trail.links.into_iter().chain([trail.end]));
            links.extend(names.map(|name| (what, name)));
        }
        links.into_iter().collect()
    }

    fn trail(&self, path: &Path) -> crate::image::Trail {
        self.files.trail(&std::path::absolute(path).unwrap_or_else(|_| path.into()))
    }

    fn itself(&self) -> Option<PathBuf> {
        std::fs::read_link("/proc/self/exe").ok()
    }

    fn users(&self) -> impl Iterator<Item = PathBuf> + use<> {
        let read = self.options.run_as.is_some();
        ["/etc/passwd", "/etc/group"].into_iter().filter(move |_| read).map(PathBuf::from)
    }

    /// A device, such as /dev/null, is not protected.
    fn is_device(&self, path: &Path) -> bool {
        matches!(self.files.stat(path), Ok(Some(stat)) if stat.kind == FileKind::Device)
    }

    /// An engine finds an ENTRYPOINT without a slash along the container's PATH.
    fn before_itself(&self, name: &OsStr) -> Vec<PathBuf> {
        let id = |path: &Path| self.files.stat(path).ok().flatten().map(|stat| stat.id);
        let itself = self.itself().and_then(|path| id(&path));
        command::tried_before(name, self.path.as_deref(), |path| itself.is_some() && id(path) == itself)
    }

    fn before_command(&self) -> Vec<PathBuf> {
        let is_found = |path: &Path| path == self.found;
        command::tried_before(&self.options.command[0], self.path.as_deref(), is_found)
    }

    /// `#!/usr/bin/env NAME` has its interpreter searched along PATH.
    fn before_interpreter(&self) -> Vec<PathBuf> {
        let Ok(Executable::Script(env, Some(argument))) = self.files.executable(self.found) else {
            return Vec::new();
        };
        let mut words = argument.split_whitespace();
        let name = words.find(|word| !word.starts_with('-') && !word.contains('='));
        let name = name.filter(|_| env.file_name() == Some("env".as_ref()));
        let runs = |path: &Path| matches!(self.files.stat(path), Ok(Some(stat)) if stat.kind == FileKind::Regular && stat.mode & 0o111 != 0);
        name.map(|name| command::tried_before(name.as_ref(), self.path.as_deref(), runs)).unwrap_or_default()
    }
}
