//! Journals of made-up runs of one server, a hundred or as many as are named, of so many bytes in
//! all: what `remit build` is measured with (docs/learning.md, examples/fleet).

use std::fs::{self, File};
use std::io::{BufWriter, Result, Write};
use std::path::Path;

const SERVER: &str = "/usr/bin/redis-server";

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (directory, bytes, runs) = match arguments.as_slice() {
        [directory, bytes] => (directory, bytes.parse::<u64>(), Ok(100)),
        [directory, bytes, runs] => (directory, bytes.parse(), runs.parse::<u64>()),
        _ => {
            eprintln!("usage: journals DIRECTORY BYTES [RUNS]");
            std::process::exit(2);
        }
    };
    let (Ok(bytes), Ok(runs @ 1..)) = (bytes, runs) else {
        eprintln!("BYTES and RUNS are numbers");
        std::process::exit(2);
    };
    make(Path::new(directory), bytes, runs)
}

/// Writes the journals of so many runs, of so many bytes in all, into a directory.
pub fn make(directory: &Path, bytes: u64, runs: u64) -> Result<()> {
    fs::create_dir_all(directory)?;
    let mut dice = Dice(1);
    for run in 0..runs {
        let name = format!("redis-20261122T{run:06}Z-{run:04x}");
        let mut out = BufWriter::new(File::create(directory.join(format!("{name}.jsonl")))?);
        journal(&mut out, &name, run, bytes / runs, &mut dice)?;
        out.flush()?;
    }
    Ok(())
}

/// Numbers that are the same everywhere.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }
}

fn journal(out: &mut impl Write, name: &str, run: u64, bytes: u64, dice: &mut Dice) -> Result<()> {
    let label = run % 5;
    writeln!(
        out,
        r#"{{"journal":1,"run":"{name}","command":["redis-server"],"label":"l{label}","exact":false,"fingerprint":{{"arch":"x86_64"}},"outer":{{"seccomp":true}}}}"#
    )?;
    writeln!(
        out,
        r#"{{"t":1,"phase":"startup","kind":"exec","program":"{SERVER}","parent":"","args":["redis-server"],"loader":"/lib64/ld-linux-x86-64.so.2"}}"#
    )?;
    let (mut time, mut lines, mut written) = (1, 1, 0);
    while written < bytes {
        time += dice.below(2000);
        let line = observation(time, dice);
        writeln!(out, "{line}")?;
        written += line.len() as u64 + 1;
        lines += 1;
    }
    writeln!(out, r#"{{"t":{time},"end":{{"exit":{{"code":0}},"clean":true,"lines":{lines},"dropped":0}}}}"#)
}

/// Files of the image, 80,000 of them; names that never come again, as a session and as a
/// word; calls; peers.
fn observation(time: u64, dice: &mut Dice) -> String {
    let start = format!(r#"{{"t":{time},"phase":"serving","program":"{SERVER}","result":"ok""#);
    match dice.below(10) {
        0..4 => {
            let path = format!("/srv/app{}/d{}/f{}.py", dice.below(4), dice.below(50), dice.below(400));
            format!(r#"{start},"kind":"open","path":"{path}","access":["read"],"mount":"image"}}"#)
        }
        4 | 5 => {
            let session = format!("{:08x}{:08x}", dice.below(1 << 31), dice.below(1 << 31));
            format!(
                r#"{start},"kind":"open","path":"/data/sess_{session}","access":["write","create"],"mount":"volume","mount_point":"/data"}}"#
            )
        }
        6 => {
            let word: String = (0..8).map(|_| char::from(b'a' + dice.below(16) as u8)).collect();
            format!(r#"{start},"kind":"change","op":"create","path":"/srv/out/{word}","mount":"image"}}"#)
        }
        7 | 8 => format!(r#"{start},"kind":"syscall","call":"ioctl","arg":1,"value":"TCSETSW"}}"#),
        _ => {
            let (third, fourth) = (dice.below(256), dice.below(256));
            format!(r#"{start},"kind":"connect","address":"tcp/10.0.{third}.{fourth}:5432"}}"#)
        }
    }
}
