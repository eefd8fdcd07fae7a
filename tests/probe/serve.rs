//! A tiny static HTTP server that also makes acts, from inside a confined app.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::process::ExitCode;

use crate::{acts, places};

/// Serves for ever on PORT; `listening PORT` is its one line on stdout.
pub fn serve(arguments: &[String]) -> Result<ExitCode, String> {
    let port: u16 =
        arguments.first().and_then(|text| text.parse().ok()).ok_or("which port? expected `serve PORT`")?;
    let listener =
        TcpListener::bind(("0.0.0.0", port)).map_err(|error| format!("cannot listen on {port}: {error}"))?;
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
        let text = format!(
            "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: keep-alive\r\n\r\n{body}",
            body.len()
        );
        answers.write_all(text.as_bytes())?;
    }
}

fn answer(target: &str) -> (&'static str, String) {
    let Some(act) = target.strip_prefix("/act/") else {
        return if target == "/" {
            ("200 OK", "served by the probe\n".to_owned())
        } else {
            ("404 Not Found", "nothing here\n".to_owned())
        };
    };
    let (name, query) = act.split_once('?').unwrap_or((act, ""));
    let arguments: Vec<String> =
        query.split('&').filter_map(|pair| pair.strip_prefix("arg=")).map(str::to_owned).collect();
    match places::throw_away().and_then(|()| acts::in_child(name, &arguments)) {
        Ok(outcome) => ("200 OK", format!("{}\n", outcome.line(name))),
        Err(why) => ("500 Internal Server Error", format!("{why}\n")),
    }
}
