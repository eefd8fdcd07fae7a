//! The calls by which a thread hands something out, one after the other, and the registers
//! that make it do a call: pure, for both architectures.
//!
//! It has one end of a pair of sockets. Memory it writes there. A descriptor takes a
//! message with control data, which has to lie in its memory: so it maps a page of its own,
//! reads into it what the message is to be, sends it, and unmaps the page. Of a directory
//! it opens a descriptor first, by a path read into the same page (O_PATH, which opens
//! nothing for reading).
//!
//! Another thread can write into that page, so that a message goes where it wants. Where the
//! filter does not let every such message through, none is sent, but the name of what is
//! wanted, which the thread reads from its own directory of /proc.

use nix::errno::Errno;

use crate::kernel::Arch;
use crate::notify::handed::{CHUNK, HandedItem};
use crate::syscalls;

/// The flags of a message.
pub const SEND: u64 = libc::MSG_DONTWAIT as u64 | libc::MSG_NOSIGNAL as u64;

/// A call to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScriptedCall {
    /// The system call number.
    pub number: u32,
    /// The arguments, as registers have them.
    pub args: [u64; 6],
    /// The bytes that it reads from its end of the sockets.
    pub feed: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ScriptStep {
    Begin,
    Write,
    Map,
    Path,
    Link,
    Name,
    Open,
    Message,
    Send,
    Shut,
    Unmap,
    Close,
    Over,
}

/// How a descriptor is handed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// The descriptor itself, in a message (SCM_RIGHTS).
    Message,
    /// By its name, which begins at the thread's root; of the root itself there is none.
    Name,
}

/// The calls of one hand-out, and which of them comes next.
#[derive(Debug)]
pub struct CallScript {
    wanted: HandedItem,
    way: Way,
    /// The descriptor of its end of the socket pair.
    socket: i32,
    step: ScriptStep,
    /// The address of the page that it has mapped.
    page: u64,
    /// The descriptor of the directory that it has opened.
    opened: i32,
    /// The length of the name, in bytes.
    length: u64,
    sent: Result<(), Errno>,
}

impl CallScript {
    /// One that begins; `socket` is the descriptor by which the thread has its end.
    pub fn new(wanted: HandedItem, way: Way, socket: i32) -> CallScript {
        let (step, sent) = (ScriptStep::Begin, Err(Errno::EIO));
        CallScript { wanted, way, socket, step, page: 0, opened: -1, length: 0, sent }
    }

    /// Gives it another descriptor for its end, before the first call.
    pub fn on(&mut self, socket: i32) {
        self.socket = socket;
    }

    /// Whether what is wanted was sent, once the script is over. EFAULT and EBADF are of what is
    /// wanted: the memory or the descriptor does not exist; any other errno is of the hand-out.
    pub fn sent(&self) -> Result<(), Errno> {
        self.sent
    }

    /// What the last call has answered becomes the next call; none once it is over. For the
    /// first one there is no answer, and any will do.
    pub fn next(&mut self, answer: Result<i64, Errno>) -> Option<ScriptedCall> {
        self.step = match (self.step, answer) {
            (ScriptStep::Begin, _) if matches!(self.wanted, HandedItem::Memory(_)) => ScriptStep::Write,
            (ScriptStep::Begin, _) if self.way == Way::Name && self.wanted == HandedItem::Root => {
                ScriptStep::Close
            }
            (ScriptStep::Begin, _) => ScriptStep::Map,
            (ScriptStep::Write, answer) => {
                self.sent = match answer {
                    Ok(0) => Err(Errno::EIO),
                    answer => answer.map(drop),
                };
                ScriptStep::Close
            }
            (ScriptStep::Map, Ok(page)) => {
                self.page = page as u64;
                let is_sent = self.way == Way::Message && matches!(self.wanted, HandedItem::Descriptor(_));
                if is_sent { ScriptStep::Message } else { ScriptStep::Path }
            }
            (ScriptStep::Map, Err(_)) => ScriptStep::Close,
            (ScriptStep::Path, Ok(_)) if self.way == Way::Name => ScriptStep::Link,
            (ScriptStep::Path, Ok(_)) => ScriptStep::Open,
            (ScriptStep::Link, Ok(length)) => {
                self.length = length as u64;
                ScriptStep::Name
            }
            (ScriptStep::Link, Err(errno)) => {
                if errno == Errno::ENOENT {
                    self.sent = Err(Errno::EBADF);
                }
                ScriptStep::Unmap
            }
            (ScriptStep::Name, answer) => {
                self.sent = answer.map(drop);
                ScriptStep::Unmap
            }
            (ScriptStep::Open, Ok(fd)) => {
                self.opened = fd as i32;
                ScriptStep::Message
            }
            (ScriptStep::Message, Ok(_)) => ScriptStep::Send,
            (ScriptStep::Send, answer) => {
                self.sent = answer.map(drop);
                if self.opened >= 0 { ScriptStep::Shut } else { ScriptStep::Unmap }
            }
            (ScriptStep::Message, Err(_)) if self.opened >= 0 => ScriptStep::Shut,
            (ScriptStep::Path | ScriptStep::Open | ScriptStep::Message, Err(_)) | (ScriptStep::Shut, _) => {
                ScriptStep::Unmap
            }
            (ScriptStep::Unmap, _) => ScriptStep::Close,
            (ScriptStep::Close | ScriptStep::Over, _) => ScriptStep::Over,
        };
        self.call()
    }

    fn call(&self) -> Option<ScriptedCall> {
        const HERE: u64 = libc::AT_FDCWD as u64;
        const PATH: u64 = libc::O_PATH as u64 | libc::O_DIRECTORY as u64 | libc::O_CLOEXEC as u64;
        const RIGHTS: u64 = libc::PROT_READ as u64 | libc::PROT_WRITE as u64;
        const OWN: u64 = libc::MAP_PRIVATE as u64 | libc::MAP_ANONYMOUS as u64;
        /// Where in the page the name is put, and how long it may be.
        const NAME: (u64, u64) = (64, CHUNK - 64);
        let (socket, page) = (self.socket as u64, self.page);
        let length = |feed: &[u8]| feed.len() as u64;
        let (name, args, feed): (_, [u64; 6], Vec<u8>) = match self.step {
            ScriptStep::Begin | ScriptStep::Over => return None,
            ScriptStep::Write => {
                let HandedItem::Memory(address) = self.wanted else { return None };
                ("write", [socket, address, CHUNK, 0, 0, 0], Vec::new())
            }
            ScriptStep::Map => ("mmap", [0, CHUNK, RIGHTS, OWN, u64::MAX, 0], Vec::new()),
            ScriptStep::Path => {
                let path = self.path();
                ("read", [socket, page, length(&path), 0, 0, 0], path)
            }
            ScriptStep::Link => ("readlinkat", [HERE, page, page + NAME.0, NAME.1, 0, 0], Vec::new()),
            ScriptStep::Name => ("write", [socket, page + NAME.0, self.length, 0, 0, 0], Vec::new()),
            ScriptStep::Open => ("openat", [HERE, page, PATH, 0, 0, 0], Vec::new()),
            ScriptStep::Message => {
                let fd = match self.wanted {
                    HandedItem::Descriptor(fd) => fd,
                    _ => self.opened,
                };
                let message = message(page, fd);
                ("read", [socket, page, length(&message), 0, 0, 0], message)
            }
            ScriptStep::Send => ("sendmsg", [socket, page, SEND, 0, 0, 0], Vec::new()),
            ScriptStep::Shut => ("close", [self.opened as u64, 0, 0, 0, 0, 0], Vec::new()),
            ScriptStep::Unmap => ("munmap", [page, CHUNK, 0, 0, 0, 0], Vec::new()),
            ScriptStep::Close => ("close", [socket, 0, 0, 0, 0, 0], Vec::new()),
        };
        Some(ScriptedCall { number: syscalls::number(Arch::THIS, name)?, args, feed })
    }

    /// The path that is opened, or the link that is read.
    fn path(&self) -> Vec<u8> {
        let path = match (self.way, self.wanted) {
            (Way::Message, HandedItem::Root) => "/".to_owned(),
            (Way::Message, _) => ".".to_owned(),
            (Way::Name, HandedItem::Descriptor(fd)) => format!("/proc/thread-self/fd/{fd}"),
            (Way::Name, _) => "/proc/thread-self/cwd".to_owned(),
        };
        [path.as_bytes(), &[0]].concat()
    }
}

/// A struct msghdr at this address, with one byte and one descriptor (sendmsg(2), cmsg(3));
/// the layout is that of every 64-bit kernel.
fn message(at: u64, fd: i32) -> Vec<u8> {
    const PART: u64 = 56;
    const CONTROL: u64 = PART + 16;
    const BYTE: u64 = CONTROL + 24;
    /// CMSG_LEN and CMSG_SPACE of one int.
    const LENGTH: u64 = 20;
    const SPACE: u64 = 24;
    let kind = [libc::SOL_SOCKET as u32, libc::SCM_RIGHTS as u32];
    let kind = u64::from(kind[0]) | u64::from(kind[1]) << 32;
    // Name and its length, parts and their number, control data and its length, flags.
    let header = [0, 0, at + PART, 1, at + CONTROL, SPACE, 0];
    let part = [at + BYTE, 1];
    let control = [LENGTH, kind, u64::from(fd as u32)];
    let words = header.into_iter().chain(part).chain(control).chain([0]);
    words.flat_map(u64::to_le_bytes).collect()
}

/// Where the registers of a call are among those of [`ptrace`](crate::sys::ptrace).
struct Layout {
    number: usize,
    args: [usize; 6],
    /// The address of the next instruction.
    at: usize,
    /// How long the instruction is that makes a call.
    instruction: u64,
    /// The register that is set to -1 so that the kernel restarts no call (orig_rax).
    again: Option<usize>,
}

const fn layout(arch: Arch) -> Layout {
    match arch {
        // rax; rdi, rsi, rdx, r10, r8, r9; rip; `syscall`.
        Arch::X86_64 => {
            Layout { number: 10, args: [14, 13, 12, 7, 9, 8], at: 16, instruction: 2, again: Some(15) }
        }
        // x8; x0 to x5; pc; `svc #0`.
        Arch::Aarch64 => Layout { number: 8, args: [0, 1, 2, 3, 4, 5], at: 32, instruction: 4, again: None },
    }
}

/// Registers with which a thread makes a call next, by the instruction that ends at `end`;
/// all others stay.
pub fn calling(arch: Arch, registers: &mut [u64], end: u64, number: u32, args: [u64; 6]) {
    let layout = layout(arch);
    registers[layout.number] = u64::from(number);
    for (register, value) in layout.args.into_iter().zip(args) {
        registers[register] = value;
    }
    registers[layout.at] = end - layout.instruction;
    if let Some(again) = layout.again {
        registers[again] = u64::MAX;
    }
}

/// Whether a stopped thread with these registers has made a call that was not answered, or
/// makes it next.
pub fn is_at(arch: Arch, registers: &[u64], end: u64, number: u32, args: [u64; 6]) -> bool {
    let layout = layout(arch);
    let at = registers[layout.at];
    let (number_at, answered) = match (at == end, layout.again) {
        (true, Some(again)) => (again, 0),
        // The answer is where the first argument was.
        (true, None) => (layout.number, 1),
        (false, _) => (layout.number, 0),
    };
    let mut same = layout.args.into_iter().zip(args).skip(answered);
    (at == end || at == end - layout.instruction)
        && registers[number_at] as u32 == number
        && same.all(|(register, value)| registers[register] == value)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The names of the calls, each answered so.
    fn run(wanted: HandedItem, answers: &[Result<i64, Errno>]) -> (Vec<&'static str>, Result<(), Errno>) {
        run_by(Way::Message, wanted, answers)
    }

    fn run_by(
        way: Way,
        wanted: HandedItem,
        answers: &[Result<i64, Errno>],
    ) -> (Vec<&'static str>, Result<(), Errno>) {
        let mut script = CallScript::new(wanted, way, 9);
        let mut calls = Vec::new();
        let mut answers = answers.iter().copied();
        let mut next = script.next(Ok(0));
        while let Some(call) = next {
            calls.push(syscalls::name(Arch::THIS, call.number).expect("a call"));
            next = script.next(answers.next().unwrap_or(Ok(0)));
        }
        (calls, script.sent())
    }

    #[test]
    fn memory_is_written() {
        let wanted = HandedItem::Memory(0x1000);
        assert_eq!(run(wanted, &[Ok(4096)]), (vec!["write", "close"], Ok(())));
        assert_eq!(run(wanted, &[Err(Errno::EFAULT)]), (vec!["write", "close"], Err(Errno::EFAULT)));
        let call = CallScript::new(wanted, Way::Message, 9).next(Ok(0)).expect("a call");
        assert_eq!(call.args[..3], [9, 0x1000, 4096]);
    }

    #[test]
    fn a_descriptor_is_sent_and_nothing_is_left_behind() {
        let all = ["mmap", "read", "sendmsg", "munmap", "close"];
        let wanted = HandedItem::Descriptor(3);
        assert_eq!(run(wanted, &[Ok(0x7000)]), (all.to_vec(), Ok(())));
        let refused = [Ok(0x7000), Ok(104), Err(Errno::EBADF)];
        assert_eq!(run(wanted, &refused), (all.to_vec(), Err(Errno::EBADF)));
        assert_eq!(run(wanted, &[Err(Errno::ENOMEM)]), (vec!["mmap", "close"], Err(Errno::EIO)));
        let unread = ["mmap", "read", "munmap", "close"];
        assert_eq!(run(wanted, &[Ok(0x7000), Err(Errno::EAGAIN)]), (unread.to_vec(), Err(Errno::EIO)));
    }

    #[test]
    fn a_directory_is_opened_sent_and_closed() {
        let all = ["mmap", "read", "openat", "read", "sendmsg", "close", "munmap", "close"];
        for wanted in [HandedItem::Working, HandedItem::Root] {
            assert_eq!(run(wanted, &[Ok(0x7000), Ok(2), Ok(5)]), (all.to_vec(), Ok(())));
        }
        let unopened = ["mmap", "read", "openat", "munmap", "close"];
        let answers = [Ok(0x7000), Ok(2), Err(Errno::EMFILE)];
        assert_eq!(run(HandedItem::Root, &answers), (unopened.to_vec(), Err(Errno::EIO)));
    }

    #[test]
    fn where_no_message_may_go_a_name_is_sent() {
        let all = ["mmap", "read", "readlinkat", "write", "munmap", "close"];
        for wanted in [HandedItem::Descriptor(3), HandedItem::Working] {
            assert_eq!(run_by(Way::Name, wanted, &[Ok(0x7000), Ok(24), Ok(4)]), (all.to_vec(), Ok(())));
        }
        let none = ["mmap", "read", "readlinkat", "munmap", "close"];
        let answers = [Ok(0x7000), Ok(24), Err(Errno::ENOENT)];
        let ended = run_by(Way::Name, HandedItem::Descriptor(3), &answers);
        assert_eq!(ended, (none.to_vec(), Err(Errno::EBADF)));
        assert_eq!(run_by(Way::Name, HandedItem::Root, &[]), (vec!["close"], Err(Errno::EIO)));
        let mut script = CallScript::new(HandedItem::Descriptor(3), Way::Name, 9);
        script.next(Ok(0));
        let path = script.next(Ok(0x7000)).expect("a call");
        assert_eq!(path.feed, b"/proc/thread-self/fd/3\0");
        assert_eq!(script.next(Ok(24)).expect("a call").args[1..4], [0x7000, 0x7040, 4032]);
    }

    #[test]
    fn a_message_is_laid_out_as_the_kernel_reads_it() {
        let message = message(0x7000, 5);
        let word = |at: usize| u64::from_le_bytes(message[at..at + 8].try_into().expect("eight"));
        assert_eq!((word(16), word(24)), (0x7000 + 56, 1), "msg_iov, msg_iovlen");
        assert_eq!((word(32), word(40)), (0x7000 + 72, 24), "msg_control, msg_controllen");
        assert_eq!((word(56), word(64)), (0x7000 + 96, 1), "iov_base, iov_len");
        assert_eq!((word(72), word(80)), (20, 1 | 1 << 32), "cmsg_len, SOL_SOCKET and SCM_RIGHTS");
        assert_eq!((word(88), message.len()), (5, 104));
    }

    #[test]
    fn the_registers_of_a_call_on_both_architectures() {
        let args = [1, 2, 3, 4, 5, 6];
        let mut registers = [0; 27];
        calling(Arch::X86_64, &mut registers, 0x1002, 7, args);
        let [rax, orig_rax, rip] = [10, 15, 16].map(|at| registers[at]);
        assert_eq!((rax, orig_rax, rip), (7, u64::MAX, 0x1000));
        assert_eq!([14, 13, 12, 7, 9, 8].map(|at| registers[at]), args);
        let mut registers = [0; 34];
        calling(Arch::Aarch64, &mut registers, 0x1004, 7, args);
        assert_eq!((registers[8], registers[32]), (7, 0x1000));
        assert_eq!(registers[..6], args);
    }

    #[test]
    fn a_thread_is_at_its_call_or_elsewhere() {
        let args = [1, 2, 3, 4, 5, 6];
        let is_at = |arch, registers: &[u64]| super::is_at(arch, registers, 0x1004, 7, args);
        // The registers of the number, of the address and of the call's result.
        for (arch, number, at, made) in [(Arch::X86_64, 15, 16, 10), (Arch::Aarch64, 8, 32, 0)] {
            let mut registers = [0; 34];
            calling(arch, &mut registers, 0x1004, 7, args);
            assert!(is_at(arch, &registers), "{arch}: it makes it next");
            (registers[number], registers[at], registers[made]) = (7, 0x1004, -512_i64 as u64);
            assert!(is_at(arch, &registers), "{arch}: it has made it");
            for (register, other) in [(at, 0x2000), (number, u64::MAX), (layout(arch).args[1], 9)] {
                let mut elsewhere = registers;
                elsewhere[register] = other;
                assert!(!is_at(arch, &elsewhere), "{arch}: {register}");
            }
        }
    }
}
