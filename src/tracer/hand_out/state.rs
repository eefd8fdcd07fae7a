//! How far a thread is that hands something out, pure: a stop becomes what is to be done.

use super::Notified;
use super::script::{CallScript, ScriptedCall, Way};
use crate::notify::handed::HandedItem;
use crate::sys::ptrace::AtCall;

/// A stop of the thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandOutStop {
    /// PTRACE_EVENT_STOP, requested or of a group stop.
    Requested {
        /// Its group is stopped.
        group: bool,
        /// By its registers it is in its notified call, or makes that next.
        at_call: bool,
    },
    /// The entry or exit of a call, as PTRACE_GET_SYSCALL_INFO describes it.
    Syscall(Option<AtCall>),
    /// Signal-delivery-stop, with the signal.
    Signal(i32),
    /// Any other stop.
    Other,
}

/// What is to be done with the thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HandOutAction {
    /// Save its registers and its signal mask, and block its signals.
    Save,
    /// Send what the call reads, set the registers so that the thread makes it, and continue
    /// the thread to its entry.
    Make(ScriptedCall),
    /// Continue the thread to the next entry or exit of a call, and deliver this signal.
    ContToSyscall(i32),
    /// Continue the thread, and deliver this signal.
    Cont(i32),
    /// Hand out nothing and leave the stop to the table: a signal came first, and a call that
    /// the thread makes afterwards is another one.
    Abandon,
    /// Receive what was sent, restore the registers so that the thread makes its notified call
    /// again, and continue it.
    Finish,
    /// The same, but nothing was handed out.
    Fail,
}

/// How far a thread is.
#[derive(Debug)]
pub struct HandOutState {
    wanted: HandedItem,
    way: Way,
    script: CallScript,
    stage: HandOutStage,
    /// The call that is decided once this is over.
    notified: Notified,
    socket: SocketEnd,
    /// Its group was stopped meanwhile.
    group_stopped: bool,
}

#[derive(Debug)]
enum HandOutStage {
    /// Its stop was requested.
    Awaited,
    /// It is to make this call.
    Entering(ScriptedCall),
    /// It makes it.
    Within(ScriptedCall),
}

/// The thread's end of the pair of sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SocketEnd {
    /// It makes the notified call again, as the answer to which it is given its end.
    Missing,
    /// It was given it, and the call is not over yet.
    Given,
    /// It has it.
    There,
}

impl HandOutState {
    /// The stop of a thread was requested. `socket` is the descriptor by which it has its end;
    /// none where it is to be given one.
    pub fn new(wanted: HandedItem, way: Way, socket: Option<i32>, notified: Notified) -> HandOutState {
        HandOutState {
            wanted,
            way,
            script: CallScript::new(wanted, way, socket.unwrap_or(-1)),
            stage: HandOutStage::Awaited,
            notified,
            socket: if socket.is_some() { SocketEnd::There } else { SocketEnd::Missing },
            group_stopped: false,
        }
    }

    /// What is handed out.
    pub fn wanted(&self) -> HandedItem {
        self.wanted
    }

    /// Whether bytes are sent, and no message with a descriptor.
    pub fn is_text(&self) -> bool {
        matches!(self.wanted, HandedItem::Memory(_)) || self.way == Way::Name
    }

    /// Whether what is wanted was sent: [`CallScript::sent`].
    pub fn sent(&self) -> Result<(), nix::errno::Errno> {
        self.script.sent()
    }

    /// Whether its group was stopped meanwhile, so that it has to stop again.
    pub fn is_group_stopped(&self) -> bool {
        self.group_stopped
    }

    /// Whether the registers of its first stop have to be read: it may not be in its call.
    pub fn may_be_elsewhere(&self) -> bool {
        self.socket == SocketEnd::Missing && matches!(self.stage, HandOutStage::Awaited)
    }

    /// Whether this notified call is one of the script's.
    pub fn makes(&self, (number, args): Notified) -> bool {
        self.socket == SocketEnd::There
            && matches!(&self.stage, HandOutStage::Within(call) if call.number == number && call.args == args)
    }

    /// Whether the thread makes this call to be given its end of the sockets.
    pub fn wants_socket(&self, notified: Notified) -> bool {
        self.socket == SocketEnd::Missing
            && self.notified == notified
            && matches!(self.stage, HandOutStage::Within(_))
    }

    /// It has its end of the sockets by this descriptor.
    pub fn give_socket(&mut self, socket: i32) {
        self.script.on(socket);
        self.socket = SocketEnd::Given;
    }

    /// What follows from a stop, in order.
    pub fn step(&mut self, stop: HandOutStop) -> Vec<HandOutAction> {
        match (&self.stage, stop) {
            (HandOutStage::Awaited, HandOutStop::Requested { at_call: false, .. })
                if self.socket == SocketEnd::Missing =>
            {
                vec![HandOutAction::Abandon]
            }
            (HandOutStage::Awaited, HandOutStop::Requested { group, .. }) => {
                self.group_stopped = group;
                let next = match self.socket {
                    SocketEnd::Missing => {
                        let (number, args) = self.notified;
                        self.make(ScriptedCall { number, args, feed: Vec::new() })
                    }
                    SocketEnd::Given | SocketEnd::There => self.next(Ok(0)),
                };
                vec![HandOutAction::Save, next]
            }
            (HandOutStage::Entering(call), HandOutStop::Syscall(Some(AtCall::Begins(number, args))))
                if number == call.number && args == call.args =>
            {
                self.stage = HandOutStage::Within(call.clone());
                vec![HandOutAction::ContToSyscall(0)]
            }
            // Another thread has changed what it was to do.
            (HandOutStage::Entering(_), HandOutStop::Syscall(_)) => vec![HandOutAction::Fail],
            (HandOutStage::Within(call), HandOutStop::Syscall(info)) => {
                let again = ScriptedCall { feed: Vec::new(), ..call.clone() };
                vec![self.exited(again, info)]
            }
            (stage, stop) => {
                let is_awaited = matches!(stage, HandOutStage::Awaited);
                self.group_stopped |= matches!(stop, HandOutStop::Requested { group: true, .. });
                let signal = if let HandOutStop::Signal(signal) = stop { signal } else { 0 };
                vec![if is_awaited {
                    HandOutAction::Cont(signal)
                } else {
                    HandOutAction::ContToSyscall(signal)
                }]
            }
        }
    }

    /// A call is over; `again` is the same one, for which nothing is sent once more.
    fn exited(&mut self, again: ScriptedCall, info: Option<AtCall>) -> HandOutAction {
        match (info, self.socket) {
            (Some(AtCall::Ended(_) | AtCall::Broken), SocketEnd::Given) => {
                self.socket = SocketEnd::There;
                self.next(Ok(0))
            }
            // It is given none.
            (Some(AtCall::Ended(_)), SocketEnd::Missing) => HandOutAction::Fail,
            (Some(AtCall::Ended(answer)), SocketEnd::There) => self.next(answer),
            // Its group was stopped.
            (Some(AtCall::Broken), SocketEnd::Missing | SocketEnd::There) => self.make(again),
            (Some(AtCall::Begins(..)) | None, _) => HandOutAction::Fail,
        }
    }

    fn next(&mut self, answer: Result<i64, nix::errno::Errno>) -> HandOutAction {
        match self.script.next(answer) {
            Some(call) => self.make(call),
            None => HandOutAction::Finish,
        }
    }

    fn make(&mut self, call: ScriptedCall) -> HandOutAction {
        self.stage = HandOutStage::Entering(call.clone());
        HandOutAction::Make(call)
    }
}

#[cfg(test)]
mod tests {
    use nix::errno::Errno;

    use super::*;
    use crate::kernel::Arch;
    use crate::syscalls;

    const NOTIFIED: Notified = (2, [1, 2, 3, 0, 0, 0]);
    const REQUESTED: HandOutStop = HandOutStop::Requested { group: false, at_call: true };

    fn state(socket: Option<i32>) -> HandOutState {
        HandOutState::new(HandedItem::Memory(0x1000), Way::Message, socket, NOTIFIED)
    }

    fn exit(answer: Result<i64, Errno>) -> HandOutStop {
        HandOutStop::Syscall(Some(AtCall::Ended(answer)))
    }

    const BROKEN: HandOutStop = HandOutStop::Syscall(Some(AtCall::Broken));

    fn text(actions: &[HandOutAction]) -> String {
        let one = |action: &HandOutAction| match action {
            HandOutAction::Make(call) if (call.number, call.args) == NOTIFIED => "make notified".to_owned(),
            HandOutAction::Make(call) => {
                format!("make {}", syscalls::name(Arch::THIS, call.number).expect("a call"))
            }
            action => format!("{action:?}"),
        };
        actions.iter().map(one).collect::<Vec<_>>().join(", ")
    }

    /// The stop at the entry of the call that it is to make.
    fn entry(state: &HandOutState) -> HandOutStop {
        match &state.stage {
            HandOutStage::Entering(call) => {
                HandOutStop::Syscall(Some(AtCall::Begins(call.number, call.args)))
            }
            stage => panic!("{stage:?}"),
        }
    }

    #[track_caller]
    fn enters(state: &mut HandOutState) {
        let entry = entry(state);
        assert_eq!(text(&state.step(entry)), "ContToSyscall(0)");
    }

    #[track_caller]
    fn run(state: &mut HandOutState, rows: &[(HandOutStop, &str)]) {
        for (stop, expected) in rows {
            assert_eq!(text(&state.step(*stop)), *expected, "{stop:?}");
        }
    }

    #[test]
    fn each_stop_is_a_step_of_the_script() {
        let mut state = state(Some(9));
        run(&mut state, &[(REQUESTED, "Save, make write")]);
        assert!(!state.makes(NOTIFIED), "it makes no call yet");
        enters(&mut state);
        let write = syscalls::number(Arch::THIS, "write").expect("a call");
        assert!(state.makes((write, [9, 0x1000, 4096, 0, 0, 0])));
        run(&mut state, &[(exit(Ok(4096)), "make close")]);
        enters(&mut state);
        run(&mut state, &[(exit(Ok(0)), "Finish")]);
        assert_eq!(state.sent(), Ok(()));
    }

    #[test]
    fn signals_are_delivered_until_they_are_blocked() {
        let mut state = state(Some(9));
        run(&mut state, &[(HandOutStop::Signal(15), "Cont(15)"), (HandOutStop::Other, "Cont(0)")]);
        run(&mut state, &[(REQUESTED, "Save, make write"), (HandOutStop::Signal(15), "ContToSyscall(15)")]);
        enters(&mut state);
    }

    #[test]
    fn a_group_stop_interrupts_a_call_that_is_made_again() {
        let group = HandOutStop::Requested { group: true, at_call: true };
        let mut state = state(Some(9));
        run(&mut state, &[(REQUESTED, "Save, make write")]);
        enters(&mut state);
        assert!(!state.is_group_stopped());
        run(&mut state, &[(group, "ContToSyscall(0)"), (BROKEN, "make write")]);
        assert!(state.is_group_stopped(), "it stops again at the end");
        enters(&mut state);
        run(&mut state, &[(exit(Ok(4096)), "make close")]);
        let mut state = self::state(Some(9));
        run(&mut state, &[(group, "Save, make write")]);
        assert!(state.is_group_stopped());
    }

    /// The socket has it already.
    #[test]
    fn a_call_that_is_made_again_is_not_fed_again() {
        let mut state = HandOutState::new(HandedItem::Descriptor(3), Way::Message, Some(9), NOTIFIED);
        run(&mut state, &[(REQUESTED, "Save, make mmap")]);
        enters(&mut state);
        let read = state.step(exit(Ok(0x7000)));
        assert!(matches!(&read[..], [HandOutAction::Make(call)] if !call.feed.is_empty()), "{read:?}");
        enters(&mut state);
        let again = state.step(BROKEN);
        assert!(matches!(&again[..], [HandOutAction::Make(call)] if call.feed.is_empty()), "{again:?}");
    }

    #[test]
    fn another_call_than_the_scripts_ends_it() {
        let mut state = state(Some(9));
        let other = HandOutStop::Syscall(Some(AtCall::Begins(0, [0; 6])));
        run(&mut state, &[(REQUESTED, "Save, make write"), (other, "Fail")]);
        let mut state = self::state(Some(9));
        run(&mut state, &[(REQUESTED, "Save, make write"), (HandOutStop::Syscall(None), "Fail")]);
        let mut state = self::state(Some(9));
        run(&mut state, &[(REQUESTED, "Save, make write")]);
        enters(&mut state);
        run(&mut state, &[(other, "Fail")]);
    }

    #[test]
    fn a_thread_that_has_no_socket_makes_its_call_to_be_given_one() {
        for over in [exit(Err(Errno::EINTR)), BROKEN] {
            let mut state = state(None);
            run(&mut state, &[(REQUESTED, "Save, make notified")]);
            assert!(!state.wants_socket(NOTIFIED), "it makes no call yet");
            enters(&mut state);
            assert!(state.wants_socket(NOTIFIED) && !state.wants_socket((2, [0; 6])));
            assert!(!state.makes(NOTIFIED), "it is not the script's");
            state.give_socket(9);
            assert!(!state.wants_socket(NOTIFIED), "it has one");
            run(&mut state, &[(over, "make write")]);
            enters(&mut state);
        }
    }

    #[test]
    fn a_thread_that_is_given_no_socket_hands_out_nothing() {
        let mut state = state(None);
        run(&mut state, &[(REQUESTED, "Save, make notified")]);
        enters(&mut state);
        run(&mut state, &[(BROKEN, "make notified")]);
        enters(&mut state);
        run(&mut state, &[(exit(Err(Errno::EINTR)), "Fail")]);
    }

    #[test]
    fn a_thread_that_stopped_elsewhere_is_left_alone() {
        let elsewhere = HandOutStop::Requested { group: false, at_call: false };
        let mut state = state(None);
        assert!(state.may_be_elsewhere());
        run(&mut state, &[(elsewhere, "Abandon")]);
        // Where only a kill interrupts the wait, it is in its call.
        let mut state = self::state(Some(9));
        assert!(!state.may_be_elsewhere());
        run(&mut state, &[(elsewhere, "Save, make write")]);
    }
}
