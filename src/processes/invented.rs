//! For tests: invented processes, as `/proc` would show them.

use std::collections::HashSet;

use super::proc_fs::{ExecStack, Image, ProcFs, ProcessStart};
use crate::ids::{Pid, StartTime, Tid};
use crate::image::FileId;
use crate::notify::caller::Caller;

/// Processes, each of one thread: pid, parent, start time, inode of the image, address of the
/// stack.
#[derive(Default)]
pub struct Invented(pub Vec<(i32, i32, u64, u64, u64)>);

/// An inode of the invented file system.
pub fn inode(inode: u64) -> FileId {
    FileId { device: 1, inode }
}

impl Invented {
    fn of(&self, pid: Pid) -> Option<(i32, i32, u64, u64, u64)> {
        self.0.iter().copied().find(|(own, ..)| *own == pid.as_raw())
    }
}

impl ProcFs for Invented {
    fn thread(&self, tid: Tid) -> Option<Caller> {
        self.living_thread(Pid::from_raw(tid.as_raw()))
    }

    fn living_thread(&self, pid: Pid) -> Option<Caller> {
        let (_, parent, ..) = self.of(pid)?;
        let ppid = Pid::from_raw(parent);
        Some(Caller { tid: pid.first_thread(), tgid: pid, ppid, ..Caller::default() })
    }

    fn is_dead(&self, _: Pid, tid: Tid) -> bool {
        self.thread(tid).is_none()
    }

    fn start(&self, pid: Pid, reader: Option<&Caller>) -> Option<ProcessStart> {
        let (_, _, started, _, stack) = self.of(pid)?;
        Some(ProcessStart { time: StartTime::from_raw(started), stack: reader.map(|_| stack) })
    }

    fn image(&self, caller: &Caller) -> Option<Image> {
        let (_, _, _, image, _) = self.of(caller.tgid)?;
        Some(Image { id: inode(image), path: format!("/bin/{image}").into() })
    }

    fn image_id(&self, caller: &Caller) -> Option<FileId> {
        Some(self.image(caller)?.id)
    }

    fn exec_stack(&self, caller: &Caller, start: Option<u64>) -> Option<(Image, ExecStack)> {
        let (_, _, _, image, stack) = self.of(caller.tgid)?;
        let stack = ExecStack { image: inode(image), start: start.unwrap_or(stack) };
        Some((self.image(caller)?, stack))
    }

    fn stacks(&self) -> HashSet<u64> {
        self.0.iter().map(|(.., stack)| *stack).collect()
    }
}
