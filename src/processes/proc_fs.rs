//! What `/proc` shows of processes and of the programs that they run (proc(5)).

use std::collections::HashSet;
use std::path::PathBuf;

use nix::errno::Errno;

use crate::ids::{Pid, StartTime, Tid};
use crate::image::FileId;
use crate::notify::caller::{Caller, Identity};
use crate::notify::image;
use crate::procfs::stat::Stat;
use crate::procfs::{self, processes};

/// The file that a process runs, `/proc/PID/exe`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Device and inode.
    pub id: FileId,
    /// Its path, without links.
    pub path: PathBuf,
}

/// The stack that an exec gave to a process. All that it forks have it too, and no other exec
/// was given it, where the kernel randomises addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ExecStack {
    /// The file that was executed.
    pub image: FileId,
    /// The address at which the stack began: field 28 of `/proc/PID/stat`.
    pub start: u64,
}

/// When a process started, and where its stack began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcessStart {
    /// The time: field 22 of `/proc/PID/stat`.
    pub time: StartTime,
    /// The address: field 28, which the kernel shows to those alone that may read the process.
    pub stack: Option<u64>,
}

/// What can be read of processes.
pub trait ProcFs {
    /// The status of a thread; `None` for one that is gone.
    fn thread(&self, tid: Tid) -> Option<Caller>;

    /// A thread of a process that has not ended: the first, or where that has ended another.
    fn living_thread(&self, pid: Pid) -> Option<Caller>;

    /// Whether a thread has ended.
    fn is_dead(&self, pid: Pid, tid: Tid) -> bool;

    /// When a process started, and where its stack began as far as `reader` may read that.
    fn start(&self, pid: Pid, reader: Option<&Caller>) -> Option<ProcessStart>;

    /// The file that a caller's process runs; `None` where the caller may not read that.
    fn image(&self, caller: &Caller) -> Option<Image>;

    /// The inode of that file alone.
    fn image_id(&self, caller: &Caller) -> Option<FileId>;

    /// The file that a caller's process runs and the stack of its exec, whose address may be
    /// known.
    fn exec_stack(&self, caller: &Caller, start: Option<u64>) -> Option<(Image, ExecStack)>;

    /// The address at which the stack began, of every living process that can be read.
    fn stacks(&self) -> HashSet<u64>;

    /// When a process started; `None` for one that is gone.
    fn started(&self, pid: Pid) -> Option<StartTime> {
        self.start(pid, None).map(|start| start.time)
    }
}

/// `/proc` itself, read with the file-system ids of each process's own user.
#[derive(Clone, Copy, Debug)]
pub struct LiveProcFs<'a>(pub &'a Identity);

impl ProcFs for LiveProcFs<'_> {
    fn thread(&self, tid: Tid) -> Option<Caller> {
        Caller::of(tid).ok()
    }

    fn living_thread(&self, pid: Pid) -> Option<Caller> {
        if !processes::is_dead(pid, pid.first_thread()) {
            return Caller::of(pid.first_thread()).ok();
        }
        let mut tids = processes::threads(pid).ok()?.into_iter();
        tids.find(|tid| !processes::is_dead(pid, *tid)).and_then(|tid| Caller::of(tid).ok())
    }

    fn is_dead(&self, pid: Pid, tid: Tid) -> bool {
        processes::is_dead(pid, tid)
    }

    fn start(&self, pid: Pid, reader: Option<&Caller>) -> Option<ProcessStart> {
        let read = || Stat::of(pid.first_thread());
        let stat = match reader {
            Some(reader) => self.0.with_caller_fsids(reader, read).or_else(|_| read()),
            None => read(),
        };
        stat.ok().map(|stat| ProcessStart { time: stat.started, stack: stat.stack })
    }

    fn image(&self, caller: &Caller) -> Option<Image> {
        image::image(caller, self.0).map(|(id, path)| Image { id, path })
    }

    fn image_id(&self, caller: &Caller) -> Option<FileId> {
        image::image_id(caller, self.0)
    }

    fn exec_stack(&self, caller: &Caller, start: Option<u64>) -> Option<(Image, ExecStack)> {
        let read = || image::image_and_stack(caller, start);
        let (id, path, start) = self.0.with_caller_fsids(caller, read).ok()?;
        Some((Image { id, path }, ExecStack { image: id, start }))
    }

    fn stacks(&self) -> HashSet<u64> {
        let pids = procfs::numbers("/proc").unwrap_or_default().into_iter().map(Pid::from_raw);
        let stack = |pid: Pid| {
            let caller = Caller::of(pid.first_thread()).ok()?;
            let read = || Stat::of(pid.first_thread())?.stack.ok_or(Errno::ESRCH);
            self.0.with_caller_fsids(&caller, read).ok()
        };
        pids.filter_map(stack).collect()
    }
}
