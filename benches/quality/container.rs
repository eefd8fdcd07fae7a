//! The images and containers of the runs.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{SystemTime, UNIX_EPOCH};

pub const REMIT: &str = env!("CARGO_BIN_EXE_remit");
pub const SHIM: &str = env!("CARGO_BIN_EXE_remit-init");

/// Where a container has the scripts.
pub const SCRIPTS: &str = "/quality";

/// An image with all programs; removed when dropped, if it was made here.
pub struct Image {
    pub name: String,
    made: bool,
}

impl Image {
    /// Of Debian's packages and what `quality/image.sh` adds.
    pub fn made() -> Result<Image, String> {
        let image = Image { name: unique("remit-quality"), made: true };
        let made = Command::new(scripts().join("image.sh")).arg(&image.name).output();
        succeeded("image.sh", &made.map_err(|error| error.to_string())?)?;
        Ok(image)
    }

    /// One that is there.
    pub fn given(name: String) -> Result<Image, String> {
        docker(&["image", "inspect", "--format", "{{.Id}}", &name])?;
        Ok(Image { name, made: false })
    }

    /// This image with remit-init, after a command in a container of it. (A volume would be one file for
    /// all containers, and the opens of one would be recorded in the others.)
    pub fn after(&self, app: &str, environment: &[String], command: &[&str]) -> Result<Image, String> {
        let container = Container(unique(&format!("remit-quality-{app}-prepare")));
        let mut create = vec!["create", "--network", "none", "--name", &container.0];
        let scripts = volume(&scripts(), SCRIPTS);
        create.extend(["--volume", &scripts]);
        environment.iter().for_each(|one| create.extend(["--env", one.as_str()]));
        create.push(&self.name);
        create.extend(command);
        docker(&create)?;
        docker(&["cp", SHIM, &format!("{}:/remit-init", container.0)])?;
        docker(&["start", "--attach", &container.0])?;
        let image = Image { name: unique(&format!("remit-quality-{app}")), made: true };
        docker(&["commit", &container.0, &image.name])?;
        Ok(image)
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        if self.made
            && let Err(why) = docker(&["rmi", "--force", &self.name])
        {
            eprintln!("quality: {} is left behind: {why}", self.name);
        }
    }
}

/// A container, removed when dropped.
pub struct Container(pub String);

impl Drop for Container {
    fn drop(&mut self) {
        if let Err(why) = docker(&["rm", "--force", "--volumes", &self.0]) {
            eprintln!("quality: {} is left behind: {why}", self.0);
        }
    }
}

/// The folder of the scripts.
pub fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/quality")
}

/// A volume that is not written.
pub fn volume(from: &Path, to: &str) -> String {
    format!("{}:{to}:ro", from.display())
}

/// The output of docker(1).
pub fn docker(words: &[&str]) -> Result<String, String> {
    let output = Command::new("docker").args(words).output().map_err(|error| format!("docker: {error}"))?;
    succeeded(&format!("docker {}", words.first().unwrap_or(&"")), &output)?;
    String::from_utf8(output.stdout).map_err(|error| error.to_string())
}

/// A name that no other container or image has.
pub fn unique(name: &str) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_nanos());
    format!("{name}-{}-{now:x}", std::process::id())
}

/// An error where a command failed: the last lines of what it wrote.
pub fn succeeded(what: &str, output: &Output) -> Result<(), String> {
    if output.status.success() {
        return Ok(());
    }
    let wrote = [&output.stderr, &output.stdout].map(|text| String::from_utf8_lossy(text).into_owned());
    let last = wrote.iter().find(|text| !text.trim().is_empty()).map(|text| last_lines(text, 6));
    Err(format!("{what}: {}: {}", output.status, last.unwrap_or_default()))
}

/// The last lines of a text.
pub fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.trim().lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n  ")
}
