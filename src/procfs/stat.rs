//! `/proc/PID/stat` (proc_pid_stat(5)).

use nix::errno::Errno;

use super::read;
use crate::ids::{Pid, StartTime, Tid};

/// The fields of a process's or a thread's stat that are used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stat {
    /// Field 2: the thread's name, which it may give itself.
    pub name: String,
    /// Field 3: `R`, `S`, `D`, `T`, `t`, `Z`, `X` and others.
    pub state: char,
    /// Field 4: the parent.
    pub parent: Pid,
    /// Field 5: the process group.
    pub group: i32,
    /// Field 6: the session.
    pub session: i32,
    /// Field 10: page faults that needed no disk.
    pub minor_faults: u64,
    /// Field 12: the others.
    pub major_faults: u64,
    /// Field 19: the nice value, from 19 to -20.
    pub nice: i32,
    /// Field 20: how many threads the process has.
    pub threads: u32,
    /// Field 22: when it started.
    pub started: StartTime,
    /// Field 28: the address at which its stack began at its exec; none where the reader may not
    /// trace the process, for which the kernel writes 0.
    pub stack: Option<u64>,
    /// Field 40: 0, or the real-time priority.
    pub real_time_priority: i32,
}

impl Stat {
    /// Reads `/proc/TID/stat`: the counts are of the whole process.
    ///
    /// # Errors
    /// ENOENT or ESRCH for a thread that is gone, ESRCH also where the text cannot be parsed.
    pub fn of(tid: Tid) -> Result<Stat, Errno> {
        Stat::parse(&read(tid, "stat")?).ok_or(Errno::ESRCH)
    }

    /// Reads `/proc/PID/task/TID/stat`: the counts are of the thread alone.
    ///
    /// # Errors
    /// As [`Stat::of`]: the thread is gone, or the text cannot be parsed.
    pub fn of_thread(pid: Pid, tid: Tid) -> Result<Stat, Errno> {
        Stat::parse(&read(pid.first_thread(), &format!("task/{tid}/stat"))?).ok_or(Errno::ESRCH)
    }

    /// Reads the text. The name, in parentheses, may have any bytes.
    pub fn parse(text: &str) -> Option<Stat> {
        let (name, rest) = text.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        let field = |number: usize| fields.get(number - 3).copied();
        let id = |number: usize| field(number)?.parse::<i32>().ok();
        let count = |number: usize| field(number)?.parse::<u64>().ok();
        Some(Stat {
            name: name.split_once('(')?.1.to_owned(),
            state: field(3)?.chars().next()?,
            parent: Pid::from_raw(id(4)?),
            group: id(5)?,
            session: id(6)?,
            minor_faults: count(10)?,
            major_faults: count(12)?,
            nice: id(19)?,
            threads: field(20)?.parse().ok()?,
            started: StartTime::from_raw(count(22)?),
            stack: Some(count(28)?).filter(|stack| *stack != 0),
            real_time_priority: id(40)?,
        })
    }
}

/// When a process started; none for one that is gone.
pub fn started(pid: Pid) -> Option<StartTime> {
    Stat::of(pid.first_thread()).ok().map(|stat| stat.started)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_behind_any_name() {
        // Each field is its number, but for the state.
        let fields: Vec<String> = (4..=52).map(|field| field.to_string()).collect();
        let text = format!("12 (a) b (c) S {}", fields.join(" "));
        let expected = Stat {
            name: "a) b (c".to_owned(),
            state: 'S',
            parent: Pid::from_raw(4),
            group: 5,
            session: 6,
            minor_faults: 10,
            major_faults: 12,
            nice: 19,
            threads: 20,
            started: StartTime::from_raw(22),
            stack: Some(28),
            real_time_priority: 40,
        };
        assert_eq!(Stat::parse(&text), Some(expected.clone()));
        assert_eq!(Stat::parse(&text.replace(" 28 ", " 0 ")), Some(Stat { stack: None, ..expected }));
        assert_eq!(Stat::parse("12 (a) S 3"), None);
        assert_eq!(Stat::parse("12 (cut"), None);
    }

    #[test]
    fn this_process_has_one() {
        let own = Stat::of(Pid::own().first_thread()).expect("own stat");
        assert_eq!((own.parent.as_raw(), own.real_time_priority), (nix::unistd::getppid().as_raw(), 0));
        assert_eq!(started(Pid::own()), Some(own.started));
        assert!(own.stack.is_some());
        assert_eq!(Stat::of_thread(Pid::own(), Tid::own()).expect("own stat").group, own.group);
    }

    #[test]
    fn any_stat_is_read_or_refused() {
        let stat = b"7 (a) b) S 1 7 7 0 -1 4194560 10 0 2 0 5 6 0 0 20 0 3 0 4711 1000 100 18446744073709551615 1 1 \
            140720000000000 0 0 0 0 0 0 0 0 0 17 1 0 0 0 0 0";
        let mut read = 0;
        crate::mutation::each(&[stat], |bytes| {
            read += u32::from(Stat::parse(&String::from_utf8_lossy(bytes)).is_some());
        });
        assert!(read > 100, "a change elsewhere leaves it a stat");
    }
}
