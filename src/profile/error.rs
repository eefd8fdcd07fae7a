//! The error of a profile: where it is, and what to write instead, in one line.

use std::fmt;
use std::net::IpAddr;

/// What a network entry looks like.
const ENDPOINT: &str = "expected PROTO/[ADDRESS:]PORT such as \"tcp/80\", \"tcp/10.0.0.0/8:5432\", \
                        \"tcp/[::1]:8000-8999\" or \"udp/*\", or \"unix:/PATH\", \"unix:@NAME\", \"unix:*\", \
                        \"icmp\", \"netlink\"";

/// The longest path that the kernel takes, in bytes: PATH_MAX, without the NUL at its end. How long one of
/// its names may be, each file system decides (FAT and FUSE take more than 255 bytes). This bounds a
/// `unix:` path too: one that is longer than sun_path is bound from its directory.
pub const LONGEST_PATH: usize = libc::PATH_MAX as usize - 1;

/// The longest name of an abstract socket, in bytes: sun_path, without the NUL at its beginning (unix(7)).
pub const LONGEST_ABSTRACT: usize = 107;

/// The error of a text that is no profile. Displays as `3:14: /files/0: what is wrong`; the
/// caller puts the file's name and a colon in front.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadError {
    /// JSON Pointer of the wrong value; empty for the whole document.
    pub pointer: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What the text has, what was expected, and the nearest valid word.
    pub message: String,
}

impl ReadError {
    /// An error at a byte offset of the text.
    pub(super) fn at(text: &str, offset: usize, pointer: &str, message: String) -> ReadError {
        let before = &text[..offset];
        let start = before.rfind('\n').map_or(0, |newline| newline + 1);
        ReadError {
            pointer: pointer.to_owned(),
            line: before.matches('\n').count() + 1,
            column: before[start..].chars().count() + 1,
            message,
        }
    }

    /// An error of the document as a whole.
    pub(super) fn whole(message: String) -> ReadError {
        ReadError { pointer: String::new(), line: 1, column: 1, message }
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: ", self.line, self.column)?;
        if !self.pointer.is_empty() {
            // A key is the author's, and may hold anything: the message stays one short line.
            let (shown, rest) = cut(&self.pointer);
            write!(f, "{}{rest}: ", shown.escape_debug())?;
        }
        f.write_str(&self.message)
    }
}

impl std::error::Error for ReadError {}

/// The error of a text that is no path, duration or network entry: what is wrong with it, and what
/// is expected. The caller adds where the text is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TextError {
    /// A path is none of the format.
    Path {
        /// The text.
        path: String,
        /// What is wrong with it.
        fault: PathFault,
    },
    /// A duration has no unit.
    NoUnit {
        /// The text.
        text: String,
        /// Its number.
        number: u64,
    },
    /// A text is no duration.
    Duration(String),
    /// A text is no network entry.
    Endpoint {
        /// The text.
        text: String,
        /// Whether it is a port, of which only the protocol is missing.
        is_port: bool,
    },
    /// An entry `unix:@NAME` without a name that a socket can have.
    NoSocket(String),
    /// The name of an abstract socket is longer than an address.
    LongSocket {
        /// The entry.
        text: String,
        /// The bytes of the name.
        bytes: usize,
    },
    /// An address in brackets has no port behind it.
    NoPortBehind(String),
    /// What stands behind the `/` of an address is no length of a prefix.
    Prefix {
        /// The network.
        text: String,
        /// The greatest length.
        most: u8,
    },
    /// A network has bits beyond its prefix.
    BeyondPrefix {
        /// The network.
        text: String,
        /// Its address.
        address: IpAddr,
        /// The address without these bits.
        network: IpAddr,
        /// The length of its prefix.
        length: u8,
    },
    /// A text is no address.
    Address(String),
    /// A text is neither a port nor a range of ports.
    Port(String),
    /// A range of ports ends before it begins.
    Backwards {
        /// The range.
        text: String,
        /// Its first port.
        first: u16,
        /// Its last port.
        last: u16,
    },
}

/// What is wrong with a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathFault {
    /// It has a NUL byte.
    Nul,
    /// It does not begin with `/`.
    Relative,
    /// It goes through `.` or `..`.
    Through(String),
    /// It has an empty part.
    Empty,
    /// It has this many bytes, more than the kernel takes.
    TooLong(usize),
}

impl fmt::Display for TextError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TextError::Path { path, fault } => write!(f, "path {} {fault}", quoted(path)),
            TextError::NoUnit { text, number } => {
                write!(f, "duration {text:?} has no unit; did you mean \"{number}s\"? Units are ms, s, m")
            }
            TextError::Duration(text) => {
                write!(f, "{} is no duration; expected such as \"500ms\", \"10s\" or \"2m\"", quoted(text))
            }
            TextError::Endpoint { text, is_port } => {
                write!(f, "{} is no network entry; ", quoted(text))?;
                if *is_port {
                    write!(f, "did you mean \"tcp/{text}\"? Or ")?;
                }
                f.write_str(ENDPOINT)
            }
            TextError::NoSocket(text) => write!(f, "{} names no socket; {ENDPOINT}", quoted(text)),
            TextError::LongSocket { text, bytes } => write!(
                f,
                "{} has a name of {bytes} bytes; an abstract socket's has at most {LONGEST_ABSTRACT}",
                quoted(text)
            ),
            TextError::NoPortBehind(text) => {
                write!(f, "{} does not go on with \"]:PORT\" after its address; {ENDPOINT}", quoted(text))
            }
            TextError::Prefix { text, most } => {
                write!(f, "{} has no prefix length from 0 to {most} after its \"/\"", quoted(text))
            }
            TextError::BeyondPrefix { text, address, network, length } => write!(
                f,
                "{} has bits beyond its prefix; did you mean \"{network}/{length}\" or \"{address}\"?",
                quoted(text)
            ),
            TextError::Address(text) => {
                write!(f, "{} is no address; {ENDPOINT}, an IPv6 address in brackets", quoted(text))
            }
            TextError::Port(text) => {
                write!(f, "{} is no port; expected 0 to 65535, a range such as 8000-8999, or *", quoted(text))
            }
            TextError::Backwards { text, first, last } => {
                write!(f, "range {} runs backwards; write {last}-{first}", quoted(text))
            }
        }
    }
}

impl fmt::Display for PathFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PathFault::Nul => f.write_str("holds a NUL, which no path can"),
            PathFault::Relative => {
                f.write_str("is not absolute; it has to begin with \"/\", as the app sees it")
            }
            PathFault::Through(part) => {
                write!(f, "goes through {part:?}; write the path that it leads to")
            }
            PathFault::Empty => f.write_str("has \"//\" or a \"/\" at its end; write it without"),
            PathFault::TooLong(bytes) => write!(
                f,
                "has {bytes} bytes; the kernel takes paths of at most {LONGEST_PATH}, so name a directory above it"
            ),
        }
    }
}

impl std::error::Error for TextError {}

impl From<TextError> for String {
    fn from(error: TextError) -> String {
        error.to_string()
    }
}

/// The error of an argument pattern: it ends with a `\` that escapes no character.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnfinishedEscape;

impl fmt::Display for UnfinishedEscape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ends with a \"\\\" that stands before nothing")
    }
}

impl std::error::Error for UnfinishedEscape {}

/// Text of the document for a message: quoted, on one line, and cut where it is long.
pub(super) fn quoted(text: &str) -> String {
    let (shown, rest) = cut(text);
    format!("{shown:?}{rest}")
}

/// What is shown of a text, and an ellipsis where that is not all.
fn cut(text: &str) -> (&str, &'static str) {
    const SHOWN: usize = 80;
    match text.char_indices().nth(SHOWN) {
        None => (text, ""),
        Some((cut, _)) => (&text[..cut], "…"),
    }
}

/// `a`, `a or b`, `a, b or c`.
pub(super) fn either<'w>(words: impl IntoIterator<Item = &'w str>) -> String {
    let words: Vec<&str> = words.into_iter().collect();
    match words.as_slice() {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [most @ .., last] => format!("{} or {last}", most.join(", ")),
    }
}
