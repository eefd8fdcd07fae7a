//! The first strings of a list of any length: a process's arguments or environment.

/// A limit on how much of a list of strings is copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Need {
    /// The number of strings.
    pub strings: usize,
    /// The sum of their lengths in bytes.
    pub bytes: usize,
}

/// The first strings of a list of any length.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Args {
    /// The strings, in order, without their terminating NUL.
    pub list: Vec<Vec<u8>>,
    /// The beginning of the first string left out; `None` when the list is complete.
    pub cut: Option<Vec<u8>>,
    bytes: usize,
}

impl Args {
    /// Appends a string, up to the limit.
    pub fn take(&mut self, need: Need, text: &[u8]) {
        /// How much of the first string left out is copied, in bytes.
        const BEGINNING: usize = 2048;
        if self.cut.is_some() {
            return;
        }
        if self.list.len() >= need.strings || self.bytes + text.len() > need.bytes {
            self.cut = Some(text[..text.len().min(BEGINNING)].to_vec());
        } else {
            self.bytes += text.len();
            self.list.push(text.to_vec());
        }
    }

    /// Whether the list is complete.
    pub fn is_whole(&self) -> bool {
        self.cut.is_none()
    }

    /// The memory that the strings take, in bytes.
    pub fn weight(&self) -> usize {
        self.bytes + self.list.len() * size_of::<Vec<u8>>()
    }

    /// A copy, cut to a limit.
    #[must_use]
    pub fn within(&self, need: Need) -> Args {
        let mut args = Args::default();
        self.list.iter().chain(&self.cut).for_each(|text| args.take(need, text));
        // A list that was cut before stays cut.
        args.cut = args.cut.or_else(|| self.cut.clone());
        args
    }

    /// The strings as text for events and messages.
    pub fn shown(&self) -> Vec<String> {
        self.list.iter().chain(&self.cut).map(|text| String::from_utf8_lossy(text).into_owned()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_once_is_left_out_for_good() {
        let all = Need { strings: 9, bytes: 9 };
        let mut args = Args::default();
        [&b"a"[..], b"b", b"cc"].iter().for_each(|text| args.take(all, text));
        assert_eq!(args.within(all), args);
        let few = args.within(Need { strings: 2, bytes: 9 });
        assert_eq!((few.list.len(), &few.cut), (2, &Some(b"cc".to_vec())));
        assert!(!few.within(all).is_whole());
    }
}
