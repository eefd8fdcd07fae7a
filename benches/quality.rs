//! How good the profiles are that come of learning: for each of fifteen real programs, learn from
//! some randomised runs, then enforce on others and count what is refused wrongly, what is granted
//! that no run needs, and which of the dangerous calls are among it.
//!
//! `cargo bench --bench quality [-- PROGRAM…] [--learn N] [--enforce N] [--truth N] [--jobs N] [--drop-test]`.
//! The programs are Debian's, from the root that `.ci/servers` makes (`REMIT_IMAGES=1 scripts/test --set-up`).
//! Each run is a container of its own, with another host name and other process numbers. The workloads are the
//! scripts in `quality/`. Nothing is timed.

#[path = "quality/app.rs"]
mod app;
#[path = "quality/container.rs"]
mod container;
#[path = "quality/figures.rs"]
mod figures;

use std::process::ExitCode;

use app::App;
use container::Image;
use figures::Figures;

/// The programs, and the most calls that a profile of each is to allow.
const APPS: [(&str, usize); 15] = [
    ("nginx", 90),
    ("redis", 90),
    ("memcached", 90),
    ("haproxy", 90),
    ("apache", 90),
    ("postgres", 105),
    ("mariadb", 105),
    ("php-fpm", 105),
    ("python", 105),
    ("gunicorn", 105),
    ("node", 105),
    ("jvm", 120),
    ("entrypoint", 105),
    ("static", 90),
    ("musl", 90),
];

/// How many runs there are of each kind, and how many at once.
#[derive(Clone, Copy)]
pub struct Runs {
    learn: usize,
    enforce: usize,
    truth: usize,
    jobs: usize,
    /// Whether each capability is taken away in turn.
    drop_test: bool,
}

fn main() -> ExitCode {
    let (named, runs, given) = match arguments() {
        Ok(all) => all,
        Err(why) => {
            eprintln!("quality: {why}");
            return ExitCode::from(2);
        }
    };
    let image = match given.map_or_else(Image::made, Image::given) {
        Ok(image) => image,
        Err(why) => {
            eprintln!("quality: {why}");
            return ExitCode::FAILURE;
        }
    };
    let mut rows = Vec::new();
    let mut failed = false;
    for (name, goal) in
        APPS.iter().filter(|(name, _)| named.is_empty() || named.iter().any(|one| one == name))
    {
        match App::new(name, &image).and_then(|app| app.measure(*goal, runs)) {
            Ok(figures) => {
                println!("{figures}");
                rows.push(figures.row());
            }
            Err(why) => {
                println!("{name}: {why}\n");
                rows.push(format!("| {name} | {} |", why.lines().next().unwrap_or_default()));
                failed = true;
            }
        }
    }
    println!("{}\n{}", Figures::HEAD, rows.join("\n"));
    ExitCode::from(u8::from(failed))
}

type Arguments = (Vec<String>, Runs, Option<String>);

/// The programs that are named, how many runs there are, and an image that is there already.
fn arguments() -> Result<Arguments, String> {
    let mut runs = Runs { learn: 5, enforce: 20, truth: 3, jobs: 2, drop_test: false };
    let (mut named, mut image) = (Vec::new(), None);
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
        let number = |text: String| text.parse().map_err(|_| format!("{word}: {text} is no number"));
        match word.as_str() {
            "--learn" => runs.learn = number(value()?)?,
            "--enforce" => runs.enforce = number(value()?)?,
            "--truth" => runs.truth = number(value()?)?,
            "--jobs" => runs.jobs = number(value()?)?,
            "--drop-test" => runs.drop_test = true,
            "--image" => image = Some(value()?),
            // Cargo's own.
            "--bench" => {}
            _ if APPS.iter().any(|(name, _)| *name == word) => named.push(word),
            _ => return Err(format!("{word} is no option and no program")),
        }
    }
    if runs.learn == 0 || runs.truth == 0 || runs.jobs == 0 {
        return Err("at least one run is learned from, one is the truth, and one is made at once".to_owned());
    }
    Ok((named, runs, image))
}
