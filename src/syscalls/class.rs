//! Classes of calls: each gives no power beyond the others of its class, so that a
//! profile which needs one has them all. A new C library, or another architecture,
//! changes which of them a program makes, and not its effect.

use super::all;

macro_rules! classes {
    ($($name:ident $about:literal,)*) => {
        /// A class; `about` describes its calls.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Class {
            $(#[doc = $about] $name,)*
        }

        impl Class {
            /// Every class, in the order of docs/learning.md.
            pub const ALL: &[Class] = &[$(Class::$name,)*];

            /// The effect of its calls: "change a file's mode".
            pub const fn about(self) -> &'static str {
                match self { $(Class::$name => $about,)* }
            }
        }
    };
}

classes! {
    Accept "wait for a connection and take it",
    Access "look whether a path may be used",
    Mode "change a file's mode",
    Owner "change a file's owner",
    WorkingDirectory "change the working directory",
    Duplicate "duplicate a descriptor",
    EpollCreate "make an event queue",
    EpollWait "wait on an event queue",
    Eventfd "make a counter of events",
    Poll "wait for descriptors",
    ListDirectory "list a directory",
    ReadXattr "read an extended attribute",
    ListXattrs "list extended attributes",
    RemoveXattr "remove an extended attribute",
    WriteXattr "write an extended attribute",
    Link "make a file's name for another name",
    Symlink "make a symbolic link",
    MakeDirectory "make a directory",
    Rename "rename",
    RemoveName "remove a name",
    ReadLink "read a link",
    Stat "look at a file",
    Statfs "look at a file system",
    Truncate "shorten a file",
    Times "set a file's times",
    Flush "write back to the disk",
    Read "read at an offset or into several places",
    Write "write at an offset or from several places",
    MoveBytes "move bytes between descriptors",
    Pipe "make a pipe",
    Watch "watch files for changes",
    Signalfd "take signals from a descriptor",
    Aio "asynchronous input and output of the kernel's first kind",
    LockAll "keep memory from being paged out",
    MemoryPolicy "choose memory nodes for oneself",
    SharedMemory "shared memory of System V",
    Semaphores "semaphores of System V",
    MessageQueues "message queues of System V",
    PosixQueues "message queues of POSIX",
    Fork "make a process",
    Wait "wait for a child, or for a signal: its SIGCHLD",
    TakeUser "take on another user",
    TakeGroup "take on another group",
}

impl Class {
    /// The names of its calls, sorted.
    pub fn calls(self) -> impl Iterator<Item = &'static str> {
        all().filter(move |syscall| syscall.class == Some(self)).map(|syscall| syscall.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::syscalls::find;

    #[test]
    fn every_class_has_calls_that_need_the_same_capability() {
        for class in Class::ALL {
            let needs: Vec<_> =
                class.calls().map(|call| find(call).and_then(|syscall| syscall.needs())).collect();
            assert!(needs.len() > 1, "{class:?}");
            assert!(needs.windows(2).all(|pair| pair[0] == pair[1]), "{class:?}: {needs:?}");
        }
    }

    #[test]
    fn the_documentation_has_the_table() {
        let rows = Class::ALL.iter().map(|class| {
            let calls: Vec<String> = class.calls().map(|call| format!("`{call}`")).collect();
            format!("| {} | {} |\n", class.about(), calls.join(", "))
        });
        let table = format!("| to … | calls |\n|---|---|\n{}", rows.collect::<String>());
        let documented = include_str!("../../docs/learning.md").contains(&table);
        assert!(documented, "put into docs/learning.md:\n{table}");
    }
}
