//! As much HTTP as a test needs.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use super::Running;

/// One connection, connection alive.
pub struct Client(BufReader<TcpStream>);

/// What a server answered.
#[derive(Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The body.
    pub body: String,
}

impl Client {
    /// Speaks on this connection.
    pub fn new(stream: TcpStream) -> Client {
        Client(BufReader::new(stream))
    }

    /// One request; the connection stays open.
    pub fn get(&mut self, target: &str) -> std::io::Result<Answer> {
        let request = format!("GET {target} HTTP/1.1\r\nHost: test\r\n\r\n");
        self.0.get_mut().write_all(request.as_bytes())?;
        let broken = || std::io::Error::from(std::io::ErrorKind::UnexpectedEof);
        let mut line = String::new();
        self.0.read_line(&mut line)?;
        let status = line.split_whitespace().nth(1).and_then(|code| code.parse().ok()).ok_or_else(broken)?;
        let mut length = 0;
        loop {
            line.clear();
            if self.0.read_line(&mut line)? == 0 {
                return Err(broken());
            }
            if line.trim().is_empty() {
                break;
            }
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().map_err(|_| broken())?;
            }
        }
        let mut body = vec![0; length];
        self.0.read_exact(&mut body)?;
        Ok(Answer { status, body: String::from_utf8_lossy(&body).into_owned() })
    }
}

/// Real load: `connections` at the same time, each of `requests`; every answer
/// has to be 200. A server may close a connection that it keeps alive, as nginx
/// does at a reload; a new one has to answer.
pub fn load(running: &Running, port: u16, connections: usize, requests: usize) {
    let client = || Client::new(running.connect(port).expect("a connection"));
    std::thread::scope(|scope| {
        for _ in 0..connections {
            scope.spawn(|| {
                let mut connection = client();
                for _ in 0..requests {
                    let answer = connection.get("/").or_else(|_| {
                        connection = client();
                        connection.get("/")
                    });
                    assert_eq!(answer.expect("an answer under load").status, 200);
                }
            });
        }
    });
}
