//! A log of made-up events, with which `remit events` is measured.

use std::fs::File;
use std::io::{BufWriter, Result, Write};
use std::path::Path;

/// A log of so many events, as a server under a profile that is too tight writes them.
pub fn write(path: &Path, events: u64) -> Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    for seq in 1..=events {
        let time = format!(
            "2026-11-{:02}T{:02}:{:02}:{:02}.{:06}Z",
            1 + seq / 86_400_000 % 28,
            seq / 3_600_000 % 24,
            seq / 60_000 % 60,
            seq / 1000 % 60,
            seq % 1000 * 1000
        );
        let process = format!(
            "\"process\":{{\"pid\":{},\"parent_pid\":7,\"uid\":33,\"executable\":{{\"path\":\"/usr/sbin/nginx\"}},\"args\":[\"nginx\",\"-g\",\"daemon off;\"]}},\"ancestors\":[\"/docker-entrypoint.sh\"]",
            10 + seq % 50
        );
        let body = match seq {
            1 => format!("\"event\":\"start\",{process}"),
            _ if seq % 4 == 0 => format!("\"event\":\"exec\",\"action\":\"allowed\",{process}"),
            _ if seq % 4 == 1 => format!("\"event\":\"exit\",{process},\"exit\":{{\"code\":0}}"),
            _ => format!(
                "\"event\":\"violation\",\"kind\":\"file\",\"action\":\"denied\",\"errno\":\"EACCES\",\"object\":{{\"path\":\"/data/{0}\",\"access\":[\"write\"]}},\"rule\":\"/files\",{process},\"hint\":[{{\"op\":\"add\",\"path\":\"/files/-\",\"value\":{{\"path\":\"/data/{0}\",\"allow\":[\"write\"]}}}}]",
                seq % 1000
            ),
        };
        let head = format!(
            "{{\"remit\":1,\"seq\":{seq},\"nonce\":\"0123456789abcdef0123456789abcdef\",\"time\":\"{time}\",\"policy\":{{\"name\":\"web\",\"digest\":\"sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08\"}}"
        );
        writeln!(file, "{head},{body}}}")?;
    }
    file.flush()
}
