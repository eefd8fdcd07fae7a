//! A launch by an engine, whose own time is a hundred times ours: given as the
//! difference to the same container without a supervisor.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Instant;

use crate::contender::{Contender, Room};
use crate::{Section, interleave};

/// `docker run` of a static `true`, until the engine has removed the container.
pub fn launch(room: &Room) -> Result<Section, String> {
    const SHOWN: [&str; 4] = ["unconfined", "remit-init", "remit-init (musl)", "tini-static"];
    let mut all = room.everyone();
    all.retain(|contender| SHOWN.contains(&contender.name.as_str()));
    let image = match Image::make() {
        Ok(image) => image,
        Err(why) => {
            all.iter_mut().for_each(|contender| contender.absent = Some(why.clone()));
            return Ok(Section::of(&all, vec![Vec::new(); all.len()], SHOWN[0], 1));
        }
    };
    let samples = interleave(&all, 20, |contender| image.run_ms(room, contender))?;
    Ok(Section::of(&all, samples, SHOWN[0], 1).difference())
}

/// An image that holds nothing: all comes in by mounts. Removed when dropped.
struct Image(String);

impl Image {
    /// Why there is none, in a few words.
    fn make() -> Result<Image, String> {
        let empty = Command::new("tar")
            .args(["--create", "--files-from=/dev/null"])
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|e| format!("tar cannot be started: {e}"))?;
        let mut import = Command::new("docker");
        let name = format!("remit-bench-{}", std::process::id());
        import.args(["import", "-", &name]).stdin(empty.stdout.ok_or("tar has no output")?);
        done(&import.output().map_err(|_| "docker is not installed")?)?;
        Ok(Image(name))
    }

    fn run_ms(&self, room: &Room, contender: &Contender) -> Result<f64, String> {
        let mut docker = Command::new("docker");
        docker.args(["run", "--rm", "--network=none", "--volume", &mount(&room.dir, &room.dir)]);
        let worker = room.worker();
        if contender.file.as_os_str().is_empty() {
            docker.arg("--entrypoint").arg(&worker).arg(&self.0);
        } else {
            let profile = room.dir.join("profile.json");
            docker.args(["--volume", &mount(&contender.file, Path::new("/init"))]);
            docker.args(["--env", &format!("REMIT_PROFILE={}", profile.display())]);
            docker.args(["--entrypoint=/init", &self.0, "--"]).arg(&worker);
        }
        docker.arg("true");
        let start = Instant::now();
        let output = docker.output().map_err(|e| format!("docker cannot be started: {e}"))?;
        let took = start.elapsed();
        done(&output).map_err(|why| format!("{}: {why}", contender.name))?;
        Ok(took.as_secs_f64() * 1e3)
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        let removed = Command::new("docker").args(["image", "rm", "--force", &self.0]).output();
        if let Err(error) = removed {
            eprintln!("bench: image {} is left behind: {error}", self.0);
        }
    }
}

/// Read-only.
fn mount(from: &Path, to: &Path) -> String {
    format!("{}:{}:ro", from.display(), to.display())
}

/// Its end, or the first line of what it said.
fn done(output: &Output) -> Result<(), String> {
    let said = String::from_utf8_lossy(&output.stderr);
    let first = said.lines().next().unwrap_or("nothing on stderr");
    if output.status.success() { Ok(()) } else { Err(format!("{}: {first}", output.status)) }
}
