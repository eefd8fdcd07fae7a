//! Mappings that become executable: whether the program may map that file as code.

use std::path::{Path, PathBuf};

use nix::errno::Errno;

use super::{Decision, Enforcer, is_own_shortage};
use crate::event::ViolationObject;
use crate::image::FileId;
use crate::notify::caller::Caller;
use crate::notify::maps;
use crate::notify::syscall_args::MappingArgs;
use crate::plan::ProgramIndex;
use crate::policy::Denial;
use crate::policy::call::Call;
use crate::policy::libraries::Code;
use crate::procfs::errno;
use crate::tracer::Operation;

impl Enforcer {
    /// mmap, mprotect, pkey_mprotect and shmat, of which the filter allows by their registers
    /// those that map no code.
    pub(super) fn code(&mut self, call: &Call, caller: &Caller) -> Decision {
        let name = call.name.unwrap_or_default();
        let Some(mapping) = MappingArgs::decode(call) else { return Decision::Continue };
        let write_execute = self.rules.policy().write_execute;
        if !write_execute && (!mapping.is_mmap || mapping.writable) {
            return Decision::Deny(self.rules.memory(call));
        }
        if !self.rules.narrows_code() || name == "shmat" {
            return self.other(call, caller);
        }
        let Some(entry) = self.program_entry(caller) else {
            return Decision::Deny(self.rules.code_of_unknown_entry());
        };
        if self.rules.libraries(entry).is_none() {
            return Decision::Continue;
        }
        let looked = if mapping.is_mmap {
            self.what_is_mapped(mapping.file, caller).map(|source| vec![source])
        } else {
            self.what_is_there(mapping, caller)
        };
        let sources = match looked {
            Ok(sources) => sources,
            Err(Errno::EACCES | Errno::EPERM) => {
                return Decision::Deny(self.rules.unlisted_code(entry, None));
            }
            Err(own) if is_own_shortage(own) => return Decision::Fail(own),
            // No such descriptor: the kernel refuses that, unless it is another's by then.
            Err(_) => Vec::new(),
        };
        for source in &sources {
            if let Some(refusal) = self.is_elsewhere(entry, source, caller) {
                return Decision::Deny(refusal);
            }
        }
        // A program that may write its code gains nothing by a race.
        if write_execute || !self.rules.checks() {
            return Decision::Continue;
        }
        let object = match sources.first() {
            Some(source) => ViolationObject::program(&source.path),
            None => call.object(),
        };
        Decision::Trace(Operation::MapCode { entry, object })
    }

    fn is_elsewhere(&self, entry: ProgramIndex, source: &Source, caller: &Caller) -> Option<Box<Denial>> {
        let Source { path, id, mapped } = source;
        match self.rules.code(entry, path, *id) {
            Code::Allowed => None,
            Code::Refused(refusal) => Some(refusal),
            Code::IfThere => {
                let there = maps::known(path, caller, &self.identity) == Ok(*id)
                    || (*mapped && maps::stands(path, *id, caller, &self.identity));
                (!there).then(|| self.rules.unlisted_code(entry, Some(path)))
            }
        }
    }

    /// What mmap is to map.
    fn what_is_mapped(&self, file: Option<i32>, caller: &Caller) -> Result<Source, Errno> {
        let Some(fd) = file else {
            // As the kernel calls it.
            let path = Path::new("/dev/zero (deleted)").to_owned();
            return Ok(Source { path, id: FileId { device: 0, inode: 0 }, mapped: false });
        };
        let link = PathBuf::from(format!("/proc/{}/fd/{fd}", caller.tid));
        let path = self.identity.with_caller_fsids(caller, || std::fs::read_link(&link).map_err(errno))?;
        Ok(Source { path, id: maps::known(&link, caller, &self.identity)?, mapped: false })
    }

    /// What mprotect is to make executable.
    fn what_is_there(&self, mapping: MappingArgs, caller: &Caller) -> Result<Vec<Source>, Errno> {
        let (start, end) = (mapping.start, mapping.start.saturating_add(mapping.length));
        let touched = |one: &maps::Mapping| one.range.start < end && start < one.range.end;
        let touched = maps::of(caller, &self.identity, touched)?.into_iter();
        Ok(touched.map(|one| Source { path: one.path, id: one.id, mapped: true }).collect())
    }
}

/// A file that becomes code.
struct Source {
    /// Its path, as /proc shows it.
    path: PathBuf,
    id: FileId,
    /// Device and inode are those of a mapping in /proc/PID/maps.
    mapped: bool,
}
