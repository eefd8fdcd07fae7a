//! The first strings of a list that an app may make as long as it likes: arguments, variables.

/// How much of a list of strings is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Need {
    /// So many of them.
    pub strings: usize,
    /// So many bytes of all of them.
    pub bytes: usize,
}

/// The first strings of a list that an app may make as long as it likes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Args {
    /// They.
    pub list: Vec<Vec<u8>>,
    /// There are more; and the beginning of the next.
    pub cut: Option<Vec<u8>>,
    bytes: usize,
}

impl Args {
    /// One more string, where it is needed still.
    pub fn take(&mut self, need: Need, text: &[u8]) {
        /// What a person sees of the first that is left out.
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

    /// Whether these are all.
    pub fn is_whole(&self) -> bool {
        self.cut.is_none()
    }

    /// How much memory they take.
    pub fn weight(&self) -> usize {
        self.bytes + self.list.len() * size_of::<Vec<u8>>()
    }

    /// No more of them than this.
    #[must_use]
    pub fn within(&self, need: Need) -> Args {
        let mut args = Args::default();
        self.list.iter().chain(&self.cut).for_each(|text| args.take(need, text));
        // What was left out before is left out still.
        args.cut = args.cut.or_else(|| self.cut.clone());
        args
    }

    /// For people.
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
