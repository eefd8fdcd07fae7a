//! Paths in a value, and how what is there is used.

/// How what is at a path is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PathUse {
    /// A file, or a folder with all that is below it.
    All,
    /// A folder of which the loader looks at the files, and at the folders for kinds of CPU.
    Libraries,
    /// The name of a shared object in the loader's own folders.
    Soname,
    /// A file that an interpreter looks for with other endings too, where it is not there.
    Module,
}

/// A path that a value names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NamedPath<'a> {
    /// The path, or the name of a shared object.
    pub path: &'a [u8],
    /// How it is used.
    pub used: PathUse,
}

/// The part of a value that cannot be checked, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unknown<'a> {
    /// The part.
    pub part: &'a [u8],
    /// Why.
    pub why: &'static str,
}

/// More than a value that a person writes has.
const MOST: usize = 512;

pub(super) const EMPTY: &str = "an empty element is the working directory";
pub(super) const RELATIVE: &str = "it is relative";
pub(super) const NO_PATH: &str = "it is no plain path";
/// What a list names.
pub(super) fn each<'a>(
    value: &'a [u8],
    separators: &[u8],
    name: &dyn Fn(&'a [u8]) -> Result<Option<NamedPath<'a>>, Unknown<'a>>,
) -> Result<Vec<NamedPath<'a>>, Unknown<'a>> {
    let mut all = Vec::new();
    for part in value.split(|byte| separators.contains(byte)) {
        all.extend(name(part)?);
        if all.len() > MOST {
            return Err(Unknown { part, why: "it names too many paths" });
        }
    }
    Ok(all)
}

/// A path from the root, of bytes that neither a loader nor a shell expands.
pub(super) fn path(part: &[u8], used: PathUse) -> Result<NamedPath<'_>, Unknown<'_>> {
    let why = match part {
        b"" => EMPTY,
        part if !part.starts_with(b"/") => RELATIVE,
        part if !is_plain(part) => NO_PATH,
        path => return Ok(NamedPath { path, used }),
    };
    Err(Unknown { part, why })
}

/// Whether these are bytes that nothing expands.
pub(super) fn is_plain(part: &[u8]) -> bool {
    part.iter().all(|byte| byte.is_ascii_alphanumeric() || b"/._-+@=,#!^".contains(byte) || *byte >= 0x80)
}
