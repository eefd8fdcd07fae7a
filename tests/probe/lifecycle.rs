//! Programs whose whole work is to be a child of PID 1.

use std::process::ExitCode;

use crate::syscall::{self, Forked, Refused, errno_name};

/// Prints `signal N` for every signal; ends with CODE on SIGNAL, where named.
pub fn signals(arguments: &[String]) -> Result<ExitCode, String> {
    let last = arguments.first().and_then(|text| text.parse::<i32>().ok());
    let code = arguments.get(1).and_then(|text| text.parse().ok()).unwrap_or(0);
    let all = block_all()?;
    println!("ready");
    loop {
        let signal = next(&all)?;
        println!("signal {signal}");
        if Some(signal) == last {
            return Ok(ExitCode::from(code));
        }
    }
}

/// Leaves N orphans that end at once, and says how many PID 1 had not reaped
/// after a minute, or as many seconds as are named.
pub fn orphans(arguments: &[String]) -> Result<ExitCode, String> {
    let count: usize = arguments.first().and_then(|text| text.parse().ok()).unwrap_or(10);
    let (from, to) = syscall::pipe().map_err(step)?;
    for _ in 0..count {
        match syscall::fork("fork").map_err(step)? {
            Forked::Child => {
                let grandchild = match syscall::fork("fork") {
                    Ok(Forked::Child) => syscall::leave(0),
                    Ok(Forked::Parent(pid)) => pid,
                    Err(_) => 0,
                };
                let bytes = grandchild.to_le_bytes();
                let fd = std::os::fd::AsRawFd::as_raw_fd(&to) as usize;
                let written = syscall::call("write", libc::SYS_write, &[fd, bytes.as_ptr() as usize, 4]);
                syscall::leave(i32::from(written.is_err()))
            }
            Forked::Parent(child) => {
                syscall::wait(child);
            }
        }
    }
    drop(to);
    let mut bytes = Vec::new();
    std::io::Read::read_to_end(&mut std::fs::File::from(from), &mut bytes)
        .map_err(|error| format!("reading pids: {error}"))?;
    let pids: Vec<i32> =
        bytes.chunks_exact(4).map(|four| i32::from_le_bytes([four[0], four[1], four[2], four[3]])).collect();
    // A zombie still takes signals; a reaped process is ESRCH. There is no event
    // for it that a stranger could wait on.
    let there = |pid: &i32| syscall::call("kill", libc::SYS_kill, &[*pid as usize, 0]).is_ok();
    let patience = arguments.get(1).and_then(|text| text.parse().ok()).unwrap_or(60);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(patience);
    while pids.iter().any(there) && std::time::Instant::now() < deadline {
        std::thread::yield_now();
    }
    println!("orphans {} unreaped {}", pids.len(), pids.iter().filter(|pid| there(pid)).count());
    Ok(ExitCode::SUCCESS)
}

/// Leaves a grandchild in a session of its own, which no process group
/// reaches; on TERM it takes 200 ms to clean up, and says so. This process ends
/// with 0 on TERM, at once.
pub fn sleeper() -> Result<ExitCode, String> {
    let all = block_all()?;
    let (from, to) = syscall::pipe().map_err(step)?;
    if let Forked::Child = syscall::fork("fork").map_err(step)? {
        drop(from);
        syscall::call("setsid", libc::SYS_setsid, &[]).map_err(step)?;
        if let Forked::Parent(_) = syscall::fork("fork").map_err(step)? {
            syscall::leave(0);
        }
        println!("sleeper waits");
        drop(to);
        while next(&all)? != libc::SIGTERM {}
        println!("sleeper got TERM");
        std::thread::sleep(std::time::Duration::from_millis(200));
        println!("sleeper is done");
        syscall::leave(0);
    }
    drop(to);
    let mut end = Vec::new();
    std::io::Read::read_to_end(&mut std::fs::File::from(from), &mut end)
        .map_err(|error| format!("waiting for the sleeper: {error}"))?;
    println!("ready");
    loop {
        if next(&all)? == libc::SIGTERM {
            return Ok(ExitCode::SUCCESS);
        }
    }
}

/// Ends with a code.
pub fn exit(arguments: &[String]) -> Result<ExitCode, String> {
    arguments
        .first()
        .and_then(|text| text.parse::<u8>().ok())
        .map(ExitCode::from)
        .ok_or("which code?".to_owned())
}

/// Ends by a signal.
pub fn die(arguments: &[String]) -> Result<ExitCode, String> {
    let signal = arguments.first().and_then(|text| text.parse().ok()).unwrap_or(libc::SIGKILL);
    // SAFETY: neither call takes memory.
    unsafe {
        libc::signal(signal, libc::SIG_DFL);
        libc::kill(libc::getpid(), signal);
    }
    Err(format!("signal {signal} did not end me"))
}

/// Prints its arguments, its environment's names and its open descriptors.
pub fn arguments(arguments: &[String]) -> Result<ExitCode, String> {
    let names: std::collections::BTreeMap<String, String> = std::env::vars().collect();
    let open: Vec<i32> = (0..256)
        .filter(|fd| syscall::call("fcntl", libc::SYS_fcntl, &[*fd as usize, libc::F_GETFD as usize]).is_ok())
        .collect();
    println!(
        "{}",
        serde_json::json!({ "arguments": arguments, "environment": names, "descriptors": open, "pid": std::process::id() })
    );
    Ok(ExitCode::SUCCESS)
}

/// Blocks every signal, those that libc keeps for itself included.
fn block_all() -> Result<u64, String> {
    let all = u64::MAX;
    syscall::call(
        "rt_sigprocmask",
        libc::SYS_rt_sigprocmask,
        &[libc::SIG_SETMASK as usize, (&raw const all) as usize, 0, 8],
    )
    .map_err(step)?;
    Ok(all)
}

/// Waits for the next signal.
fn next(set: &u64) -> Result<i32, String> {
    loop {
        let taken = syscall::call(
            "rt_sigtimedwait",
            libc::SYS_rt_sigtimedwait,
            &[set as *const u64 as usize, 0, 0, 8],
        );
        match taken {
            Ok(signal) => return Ok(signal as i32),
            Err(refused) if refused.errno == libc::EINTR => {}
            Err(refused) => return Err(step(refused)),
        }
    }
}

fn step(refused: Refused) -> String {
    format!("{}: {}", refused.step, errno_name(refused.errno))
}
