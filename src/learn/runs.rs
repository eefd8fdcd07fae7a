//! Sets of runs: one bit each, since every fact has two of them.

/// A set of runs by their number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Runs(Vec<u64>);

impl Runs {
    /// The set of one run.
    pub fn one(run: usize) -> Runs {
        let mut runs = Runs::default();
        runs.insert(run);
        runs
    }

    /// Adds a run.
    pub fn insert(&mut self, run: usize) {
        if self.0.len() <= run / 64 {
            self.0.resize(run / 64 + 1, 0);
        }
        self.0[run / 64] |= 1 << (run % 64);
    }

    /// Whether the set contains a run.
    pub fn contains(&self, run: usize) -> bool {
        self.0.get(run / 64).is_some_and(|word| word & (1 << (run % 64)) != 0)
    }

    /// Adds all runs of another set.
    pub fn join(&mut self, other: &Runs) {
        if self.0.len() < other.0.len() {
            self.0.resize(other.0.len(), 0);
        }
        for (word, more) in self.0.iter_mut().zip(&other.0) {
            *word |= more;
        }
    }

    /// The number of runs.
    pub fn len(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Whether the set is empty.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    /// The numbers of the runs, ascending.
    pub fn iter(&self) -> impl Iterator<Item = usize> {
        (0..self.0.len() * 64).filter(|run| self.contains(*run))
    }

    /// The set with each run's number replaced by its entry in `numbers`.
    pub fn renumbered(&self, numbers: &[usize]) -> Runs {
        self.iter().map(|run| numbers[run]).collect()
    }
}

/// `0-3,7`: what many facts have in common is short.
impl std::fmt::Display for Runs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut comma = "";
        let mut runs = self.iter().peekable();
        while let Some(first) = runs.next() {
            let mut last = first;
            while let Some(next) = runs.next_if_eq(&(last + 1)) {
                last = next;
            }
            match first == last {
                true => write!(f, "{comma}{first}")?,
                false => write!(f, "{comma}{first}-{last}")?,
            }
            comma = ",";
        }
        Ok(())
    }
}

impl Runs {
    /// What [`Display`](std::fmt::Display) wrote, where each run is below `end`.
    pub fn parse(text: &str, end: usize) -> Option<Runs> {
        let mut runs = Runs::default();
        for part in text.split(',').filter(|part| !part.is_empty()) {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last) = (first.parse::<usize>().ok()?, last.parse::<usize>().ok()?);
            if first > last || last >= end {
                return None;
            }
            (first..=last).for_each(|run| runs.insert(run));
        }
        Some(runs)
    }
}

impl FromIterator<usize> for Runs {
    fn from_iter<I: IntoIterator<Item = usize>>(runs: I) -> Runs {
        let mut set = Runs::default();
        for run in runs {
            set.insert(run);
        }
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        for (runs, text) in
            [(&[][..], ""), (&[0], "0"), (&[0, 1, 2, 7], "0-2,7"), (&[63, 64, 99], "63-64,99")]
        {
            let runs: Runs = runs.iter().copied().collect();
            assert_eq!(runs.to_string(), text);
            assert_eq!(Runs::parse(text, 100), Some(runs));
        }
        for bad in ["100", "3-1", "x", "1-", "-"] {
            assert_eq!(Runs::parse(bad, 100), None, "{bad}");
        }
    }
}
