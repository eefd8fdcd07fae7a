//! Reads the inputs of `remit build` on all cores: journals, evidence files, and profiles with
//! theirs. What comes of it, an error too, depends on the inputs and their order alone.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;

use super::{evidence_of, profile_file};
use crate::learn::{self, Observations, Unusable, evidence, journal};
use crate::tool::{ToolError, named_file};

/// The content of the inputs.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    pub observations: Observations,
    /// The names of grants that the user had removed.
    pub removed: BTreeSet<String>,
    pub notes: Vec<String>,
    /// The names of the runs that were read from journals.
    pub journals: BTreeSet<String>,
}

/// Reads the inputs with so many threads. `progress` is called from any of them, with the bytes
/// that were read and those that there are.
///
/// # Errors
/// That of the first input that cannot be used, beside those before it.
pub(super) fn gather(
    paths: &[PathBuf],
    accept_unclean: bool,
    threads: usize,
    progress: &(dyn Fn(u64, u64) + Sync),
) -> Result<Gathered, ToolError> {
    let inputs = listed(paths)?;
    let sizes: Vec<u64> =
        inputs.iter().map(|path| fs::metadata(path).map_or(0, |found| found.len())).collect();
    // The largest first, so that none is left for one thread at the end.
    let mut order: Vec<usize> = (0..inputs.len()).collect();
    order.sort_by_key(|input| (std::cmp::Reverse(sizes[*input]), *input));
    let queue = InputQueue {
        inputs: &inputs,
        order: &order,
        accept_unclean,
        next: AtomicUsize::new(0),
        failed: AtomicUsize::new(usize::MAX),
        done: AtomicU64::new(0),
        all: sizes.iter().sum(),
        progress,
    };
    let parts: Vec<ReadPart> = thread::scope(|scope| {
        let more = 1..threads.min(inputs.len());
        // Where no thread can be made, those that there are read the rest.
        let others: Vec<_> =
            more.map_while(|_| thread::Builder::new().spawn_scoped(scope, || queue.read()).ok()).collect();
        let own = queue.read();
        let ended = others.into_iter().map(|other| other.join());
        let ended = ended.map(|part| part.unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        std::iter::once(own).chain(ended).collect()
    });
    assembled(&inputs, parts)
}

/// The files that the paths name: a directory stands for the journals in it.
fn listed(paths: &[PathBuf]) -> Result<Vec<PathBuf>, ToolError> {
    let mut inputs = Vec::new();
    for path in paths {
        if !path.is_dir() {
            inputs.push(path.clone());
            continue;
        }
        let entries = fs::read_dir(path).map_err(|error| ToolError::Input { path: path.clone(), error })?;
        let mut journals: Vec<PathBuf> = entries
            .filter_map(|entry| entry.ok().map(|entry| entry.path()))
            .filter(|path| path.extension().is_some_and(|end| end == "jsonl"))
            .collect();
        journals.sort();
        if journals.is_empty() {
            return Err(ToolError::NoJournals(path.clone()));
        }
        inputs.append(&mut journals);
    }
    Ok(inputs)
}

/// The inputs, of which each thread takes the next.
struct InputQueue<'q> {
    inputs: &'q [PathBuf],
    order: &'q [usize],
    accept_unclean: bool,
    /// The next place in `order`.
    next: AtomicUsize,
    /// The first input that cannot be used: those behind it do not matter.
    failed: AtomicUsize,
    done: AtomicU64,
    all: u64,
    progress: &'q (dyn Fn(u64, u64) + Sync),
}

/// What one thread has read.
struct ReadPart {
    observations: Observations,
    /// By the number of the input.
    inputs: Vec<(usize, Result<ReadInput, ToolError>)>,
}

/// What was read of one input, beside its facts.
struct ReadInput {
    /// The numbers of its runs in the part.
    runs: Range<usize>,
    removed: BTreeSet<String>,
    notes: Vec<String>,
    /// Whether it is a journal, and so one run.
    is_journal: bool,
}

impl InputQueue<'_> {
    fn read(&self) -> ReadPart {
        let mut part = ReadPart { observations: Observations::part(), inputs: Vec::new() };
        while let Some(&input) = self.order.get(self.next.fetch_add(1, Ordering::Relaxed)) {
            if input > self.failed.load(Ordering::Relaxed) {
                continue;
            }
            let read = self.input(&self.inputs[input], &mut part.observations);
            if read.is_err() {
                self.failed.fetch_min(input, Ordering::Relaxed);
            }
            part.inputs.push((input, read));
        }
        part
    }

    fn input(&self, path: &Path, into: &mut Observations) -> Result<ReadInput, ToolError> {
        let name = path.display().to_string();
        let failed = |error| ToolError::Input { path: path.to_owned(), error };
        let file = CountedFile { file: named_file::open(path).map_err(failed)?, queue: self };
        let mut input = BufReader::with_capacity(1 << 18, file);
        let beginning = input.fill_buf().map_err(failed)?;
        let first = into.runs().len();
        let (mut removed, mut notes, mut is_journal) = (BTreeSet::new(), Vec::new(), false);
        let mut join = |known: evidence::Evidence, into: &mut Observations| {
            removed.extend(known.removed);
            into.join(known.observations)
        };
        if evidence::is_profile(beginning) {
            let document = profile_file(path)?;
            let known = evidence_of(path)?.ok_or_else(|| ToolError::NoEvidence(path.to_owned()))?;
            if known.profile_digest != document.digest {
                notes.push(format!(
                    "{name}: was changed since it was built; what was removed stays removed, what was added is not an \
                     observation (--base {name} keeps it)"
                ));
            }
            let granted = known.granted.clone();
            join(known, into)?;
            removed.extend(granted.difference(&learn::keys(&document.profile)).cloned());
        } else if evidence::is_evidence(beginning) {
            join(evidence::read(&name, &named_file::read(path).map_err(failed)?)?, into)?;
        } else {
            is_journal = true;
            notes = journal::read(&name, input, self.accept_unclean, into)?;
        }
        Ok(ReadInput { runs: first..into.runs().len(), removed, notes, is_journal })
    }
}

/// Counts what is read.
struct CountedFile<'q> {
    file: File,
    queue: &'q InputQueue<'q>,
}

impl Read for CountedFile<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(into)?;
        let done = self.queue.done.fetch_add(count as u64, Ordering::Relaxed) + count as u64;
        (self.queue.progress)(done, self.queue.all.max(done));
        Ok(count)
    }
}

/// Joins the parts, the runs in the order of the inputs.
fn assembled(inputs: &[PathBuf], parts: Vec<ReadPart>) -> Result<Gathered, ToolError> {
    let mut gathered = Gathered::default();
    let mut numbers: Vec<Vec<usize>> = Vec::new();
    let mut read = Vec::new();
    let mut sets = Vec::new();
    for (number, part) in parts.into_iter().enumerate() {
        numbers.push(vec![0; part.observations.runs().len()]);
        sets.push(part.observations);
        read.extend(part.inputs.into_iter().map(|(input, read)| (input, number, read)));
    }
    read.sort_by_key(|(input, ..)| *input);
    for (input, part, read) in read {
        let read = read?;
        let name = inputs[input].display();
        gathered.notes.extend(read.notes);
        gathered.removed.extend(read.removed);
        for run in read.runs {
            let admitted = gathered.observations.admit(&sets[part].runs()[run]);
            let (number, again) = admitted.map_err(|fault| Unusable::of(&name, fault))?;
            numbers[part][run] = number;
            if read.is_journal {
                gathered.journals.insert(sets[part].runs()[run].run.clone());
            }
            if again && read.is_journal {
                gathered.notes.push(format!("{name}: the same run was given before, and counts once"));
            }
        }
    }
    let mut parts: Vec<_> = sets.into_iter().zip(numbers).collect();
    // The facts of the first become those of the whole, and those of the others are added one by one.
    parts.sort_by_key(|(part, _)| std::cmp::Reverse(part.unsorted().len()));
    for (part, numbers) in parts {
        gathered.observations.absorb(part, &numbers);
    }
    Ok(gathered)
}

#[cfg(test)]
mod tests;
