//! `remit events`: the lines of a log that are remit's, and what they come to.

mod convert;
mod ecs;
mod follow;
mod ids;
mod incidents;
mod json;
mod log;
mod ocsf;
mod otlp;
mod parts;
mod prometheus;
mod selection;
mod sink;
mod summary;
mod text;
mod wait;

use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::Instant;

use self::convert::{EventConverter, EventSchema};
use self::follow::{FollowError, Followers, TakeLog};
use self::incidents::{IncidentFormat, IncidentPrinter};
use self::log::{EventLog, LeftOut, LogTrust};
use self::selection::EventSelection;
use self::sink::{EventOutput, EventSink};
use self::wait::{WaitEnd, Waiter};
use super::staged::refuse_inputs;
use super::{Format, ToolError, VerbOutput, VerbResult, named_file, print_error};
use crate::visible::Colours;

/// The arguments of `remit events`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  docker logs web 2>&1 >/dev/null | remit events --format text
  remit events --kind program --action denied events.jsonl
  remit events --summary events.jsonl
  remit events --incidents events.jsonl
  remit events --to ocsf events.jsonl
  remit events --prometheus remit.prom events.jsonl

Exit codes: 0 all that looks like events is remit's, 1 some of it is not, or nothing proves that it is, 2 bad input.")]
pub(super) struct EventsArguments {
    /// Event files, or a container's stderr with events in it, also as Docker's json-file or
    /// Kubernetes' CRI log has it; by default, and for -, stdin
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Take only events with this nonce, which is in a start's first event; by default the one
    /// with which the log begins
    #[arg(long, value_name = "NONCE")]
    nonce: Vec<String>,
    /// Take the events of every start: for a file that nothing but remit writes
    #[arg(long, conflicts_with = "nonce")]
    every_start: bool,
    /// Wait for more, also where a file is rotated or truncated, until SIGINT or SIGTERM
    #[arg(short = 'f', long)]
    follow: bool,
    /// A readable line for each event, or the lines as they are; by default text on a terminal
    #[arg(long, value_enum)]
    format: Option<Format>,
    #[command(flatten)]
    selection: EventSelection,
    /// Print counts by event, kind, action, program and rule, and the first and last time
    #[arg(long, conflicts_with_all = ["incidents", "to"])]
    summary: bool,
    /// Print incidents: what a process and those that it started did against the profile, with
    /// their tree and a sentence
    #[arg(long, conflicts_with = "event")]
    incidents: bool,
    /// Convert events, or with --incidents incidents, to another schema, a line of JSON each
    #[arg(long, value_enum, value_name = "SCHEMA", conflicts_with = "format")]
    to: Option<EventSchema>,
    /// Write counters for node_exporter's textfile collector to FILE, whole each time; nothing else
    /// is printed then unless it is asked for
    #[arg(long, value_name = "FILE")]
    prometheus: Option<PathBuf>,
}

pub(super) fn run(arguments: &EventsArguments) -> VerbResult {
    let trust = LogTrust::of(&arguments.nonce, arguments.every_start);
    let mut sink =
        EventSink::new(arguments.selection.filter(), output(arguments), arguments.prometheus.clone());
    let is_stdin = |path: &PathBuf| path == Path::new("-");
    for path in arguments.files.iter().filter(|path| !is_stdin(path)) {
        named_file::refuse_device(path).map_err(|error| ToolError::File { path: path.clone(), error })?;
    }
    refuse_inputs(arguments.prometheus.as_deref(), arguments.files.iter().map(PathBuf::as_path))?;
    let read = if arguments.files.is_empty() || arguments.files.iter().all(is_stdin) {
        stdin(&mut sink, &trust)
    } else if arguments.follow {
        follow(&arguments.files, &mut sink, &trust)
    } else {
        files(&arguments.files, &mut sink, &trust)
    };
    let left_out = match read {
        Ok(left_out) => left_out,
        // The reader of stdout has all that it wants.
        Err(ReadEnd::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
            return Ok(VerbOutput::plain(String::new(), 0));
        }
        Err(ReadEnd::Output(error)) => return Err(ToolError::Write { path: "stdout".into(), error }),
        Err(ReadEnd::Error(error)) => return Err(error),
    };
    let all = left_out.iter().fold(LeftOut::default(), |all, (_, left_out)| all.and(*left_out));
    match sink.finish() {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            return Err(ToolError::Write { path: "stdout".into(), error });
        }
        _ => {}
    }
    sink.write_counters(all, true)?;
    for (name, left_out) in &left_out {
        left_out.sentences().iter().for_each(|why| print_error(&format!("{name}: {why}")));
    }
    Ok(VerbOutput::plain(String::new(), u8::from(!all.is_none())))
}

/// Why the reading ended before the end.
enum ReadEnd {
    /// stdout cannot be written.
    Output(io::Error),
    /// An input cannot be read, or the counters not be written.
    Error(ToolError),
}

impl From<ToolError> for ReadEnd {
    fn from(error: ToolError) -> ReadEnd {
        ReadEnd::Error(error)
    }
}

/// What was left out of each log, by its name.
type LeftOutOfLogs = Vec<(String, LeftOut)>;

fn output(arguments: &EventsArguments) -> EventOutput {
    let is_terminal = io::stdout().is_terminal();
    let colours = Colours::of_stdout();
    let default = if is_terminal { Format::Text } else { Format::Json };
    let is_text = |otherwise| arguments.format.unwrap_or(otherwise) == Format::Text;
    if arguments.incidents {
        let format = match arguments.to {
            Some(schema) => IncidentFormat::Schema(EventConverter::to(schema)),
            None if is_text(Format::Text) => IncidentFormat::Text(colours),
            None => IncidentFormat::Json,
        };
        let printer = IncidentPrinter::new(arguments.selection.filter(), format, arguments.follow);
        return EventOutput::Incidents(Box::new(printer));
    }
    if arguments.summary {
        return EventOutput::Summary { summary: Box::default(), is_json: !is_text(Format::Text) };
    }
    match arguments.to {
        Some(schema) => EventOutput::Schema(EventConverter::to(schema)),
        None if arguments.prometheus.is_some() && arguments.format.is_none() => EventOutput::None,
        None if is_text(default) => EventOutput::Text { colours, has_names: arguments.files.len() > 1 },
        None => EventOutput::Json,
    }
}

/// Reads files, and stdin among them, each to its end.
fn files(paths: &[PathBuf], sink: &mut EventSink, trust: &LogTrust) -> Result<LeftOutOfLogs, ReadEnd> {
    let mut all = LeftOutOfLogs::new();
    // Nothing is printed of some where others are not there.
    let open = |path: &PathBuf| -> Result<Box<dyn Read>, ToolError> {
        if path == Path::new("-") {
            return Ok(Box::new(io::stdin().lock()));
        }
        let failed = |error| ToolError::File { path: path.clone(), error };
        let file = File::open(path).map_err(failed)?;
        if file.metadata().map_err(failed)?.is_dir() {
            return Err(failed(nix::errno::Errno::EISDIR.into()));
        }
        Ok(Box::new(file))
    };
    for path in paths {
        drop(open(path)?);
    }
    for path in paths {
        let mut input = open(path)?;
        let mut log = EventLog::of(path.display().to_string(), trust);
        loop {
            let failed = |error| ToolError::File { path: path.clone(), error };
            let is_over = log.lines.fill(&mut input).map_err(failed)? == 0;
            if is_over {
                log.lines.end();
            }
            sink.take_log(&mut log).map_err(ReadEnd::Output)?;
            if is_over {
                break;
            }
        }
        all.push((log.name.clone(), log.left_out()));
    }
    Ok(all)
}

/// Reads stdin to its end: what has come is printed before more is waited for.
fn stdin(sink: &mut EventSink, trust: &LogTrust) -> Result<LeftOutOfLogs, ReadEnd> {
    let failed = |error| ReadEnd::Error(ToolError::File { path: "-".into(), error });
    let mut input = File::from(io::stdin().as_fd().try_clone_to_owned().map_err(failed)?);
    let waiter = Waiter::new().map_err(failed)?;
    let mut log = EventLog::of("-".to_owned(), trust);
    loop {
        let is_over = match waiter.wait(input.as_fd(), sink.due()).map_err(failed)? {
            WaitEnd::Interrupted => true,
            WaitEnd::OutputClosed => return Err(ReadEnd::Output(io::ErrorKind::BrokenPipe.into())),
            WaitEnd::Due => false,
            WaitEnd::Ready => log.lines.fill(&mut input).map_err(failed)? == 0,
        };
        if is_over {
            log.lines.end();
        }
        sink.tick();
        sink.take_log(&mut log).map_err(ReadEnd::Output)?;
        sink.write().map_err(ReadEnd::Output)?;
        sink.write_counters(log.left_out(), false)?;
        if is_over {
            return Ok(vec![(log.name.clone(), log.left_out())]);
        }
    }
}

/// Reads files, and waits for more.
fn follow(paths: &[PathBuf], sink: &mut EventSink, trust: &LogTrust) -> Result<LeftOutOfLogs, ReadEnd> {
    let failed = |path: &Path, error| ToolError::File { path: path.to_owned(), error };
    if paths.iter().any(|path| path == Path::new("-")) {
        return Err(ReadEnd::Error(ToolError::FollowedStdin));
    }
    for path in paths.iter().filter(|path| path.exists()) {
        named_file::open_regular(path).map_err(|error| failed(path, error))?;
    }
    let waiter = Waiter::new().map_err(|error| failed(Path::new("signalfd"), error))?;
    let mut followers = Followers::of(paths, trust).map_err(|(path, error)| failed(&path, error))?;
    let (mut is_first, mut is_over) = (true, false);
    loop {
        let is_more = followers.read(sink).map_err(|error| match error {
            FollowError::File(path, error) => ReadEnd::Error(failed(&path, error)),
            FollowError::Take(error) => ReadEnd::Output(error),
        })?;
        if is_first {
            for path in followers.missing() {
                print_error(&format!("{}: is not there yet; waiting for it", path.display()));
            }
            is_first = false;
        }
        sink.tick();
        sink.write().map_err(ReadEnd::Output)?;
        let all = followers.left_out().fold(LeftOut::default(), |all, (_, left_out)| all.and(left_out));
        sink.write_counters(all, false)?;
        if is_over {
            break;
        }
        let due = if is_more { Some(Instant::now()) } else { sink.due() };
        match waiter.wait(followers.descriptor(), due) {
            Ok(WaitEnd::Ready | WaitEnd::Due) => {}
            // What was written before the signal is read, but for more than a pass.
            Ok(WaitEnd::Interrupted) => is_over = true,
            Ok(WaitEnd::OutputClosed) => return Err(ReadEnd::Output(io::ErrorKind::BrokenPipe.into())),
            Err(error) => return Err(ReadEnd::Error(failed(Path::new("poll"), error))),
        }
    }
    followers.end(sink).map_err(ReadEnd::Output)?;
    Ok(followers.left_out().map(|(name, left_out)| (name.to_owned(), left_out)).collect())
}
