//! A tiny static HTTP server that also makes acts, from inside a confined app.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::process::ExitCode;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::syscall::call;
use crate::{acts, elf, places};

/// How often this server was sent USR2; a page that its acts, in children, see too.
static SIGNALS: OnceLock<&AtomicU32> = OnceLock::new();

/// The number so far; none where this is no server.
pub fn signals() -> u32 {
    SIGNALS.get().map_or(0, |count| count.load(Ordering::Relaxed))
}

extern "C" fn count_signal(_: i32) {
    if let Some(count) = SIGNALS.get() {
        count.fetch_add(1, Ordering::Relaxed);
    }
}

fn count_signals() -> Result<(), String> {
    let (protection, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_ANONYMOUS);
    let words = [0, size_of::<AtomicU32>(), protection as usize, flags as usize, usize::MAX, 0];
    let page = call("mmap", libc::SYS_mmap, &words).map_err(|refused| format!("mmap: {}", refused.errno))?;
    // SAFETY: the mapping is new, larger than the number, zero, and never unmapped.
    SIGNALS.get_or_init(|| unsafe { &*(page as *const AtomicU32) });
    let handler: extern "C" fn(i32) = count_signal;
    // SAFETY: the handler adds to a number, which a signal may do at any moment.
    unsafe { libc::signal(libc::SIGUSR2, handler as usize) };
    Ok(())
}

/// Serves for ever on PORT; `listening PORT` is its one line on stdout.
pub fn serve(arguments: &[String]) -> Result<ExitCode, String> {
    let port: u16 =
        arguments.first().and_then(|text| text.parse().ok()).ok_or("which port? expected `serve PORT`")?;
    let listener =
        TcpListener::bind(("0.0.0.0", port)).map_err(|error| format!("cannot listen on {port}: {error}"))?;
    count_signals()?;
    println!("listening {port}");
    for connection in listener.incoming() {
        let connection = connection.map_err(|error| format!("accept: {error}"))?;
        std::thread::spawn(move || answer_all(connection));
    }
    Ok(ExitCode::SUCCESS)
}

/// Answers every request of a connection; a broken one just ends.
fn answer_all(connection: TcpStream) -> std::io::Result<()> {
    let mut requests = BufReader::new(connection.try_clone()?);
    let mut answers = connection;
    loop {
        let mut line = String::new();
        if requests.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let target = line.split_whitespace().nth(1).unwrap_or("/").to_owned();
        loop {
            let mut header = String::new();
            if requests.read_line(&mut header)? == 0 || header.trim().is_empty() {
                break;
            }
        }
        let (status, body) = answer(&target);
        let head =
            format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: keep-alive\r\n\r\n", body.len());
        answers.write_all(&[head.as_bytes(), &body].concat())?;
    }
}

fn answer(target: &str) -> (&'static str, Vec<u8>) {
    let Some(act) = target.strip_prefix("/act/") else {
        return match target {
            "/" => ("200 OK", b"served by the probe\n".to_vec()),
            // What an intruder fetches: commands for a shell, and a program.
            "/payload.sh" => ("200 OK", b"exit 42\n".to_vec()),
            "/payload" => ("200 OK", elf::exits()),
            _ => ("404 Not Found", b"nothing here\n".to_vec()),
        };
    };
    let (name, query) = act.split_once('?').unwrap_or((act, ""));
    let arguments: Vec<String> =
        query.split('&').filter_map(|pair| pair.strip_prefix("arg=")).map(decoded).collect();
    match places::throw_away().and_then(|()| acts::in_child(name, &arguments)) {
        Ok(outcome) => ("200 OK", format!("{}\n", outcome.line(name)).into_bytes()),
        Err(why) => ("500 Internal Server Error", format!("{why}\n").into_bytes()),
    }
}

/// The text of an argument, in which `%20` stands for a space.
fn decoded(text: &str) -> String {
    let mut parts = text.split('%');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| match part.get(..2).map(|hex| u8::from_str_radix(hex, 16)) {
        Some(Ok(byte)) => text + char::from(byte).encode_utf8(&mut [0; 4]) + &part[2..],
        _ => text + "%" + part,
    })
}
