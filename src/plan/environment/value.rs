//! What the value of such a variable names: paths that code is loaded from, or nothing that a
//! grammar knows. Whether a process inside may change what is there is decided elsewhere.

use super::named::{NO_PATH, NamedPath, PathUse, RELATIVE, Unknown, each, is_plain, path};
use super::options::{self, VariableOptions};

/// What the value of a variable is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueKind {
    /// Code, options or files to write: nothing that could be checked.
    Opaque,
    /// Shared objects, with a colon or this byte between them; one without a slash is searched for, as an
    /// entry NEEDED of a program is.
    Libraries(u8),
    /// Folders in which the loader searches, with a colon or a semicolon between them.
    LibraryFolders,
    /// Files or folders, with this byte between them; 0: one.
    Paths(u8),
    /// As paths with a colon, where an empty one is ignored, or is the default that was compiled in.
    PathsOrDefault,
    /// As paths with a colon, where `/*` at the end stands for each archive in the folder.
    ClassPath,
    /// A file that a shell runs after it has expanded the text.
    Script,
    /// Paths with `;` between them, in which `?` stands for a module's name.
    Templates,
    /// Words without a dot or a slash, which name neither a file nor a module.
    Words,
    /// Options.
    Options(VariableOptions),
}

/// The bytes between the elements of a list of folders, each of which counts by itself.
pub fn folders(kind: ValueKind) -> Option<&'static [u8]> {
    match kind {
        ValueKind::LibraryFolders => Some(b":;"),
        ValueKind::Paths(b':') => Some(b":"),
        _ => None,
    }
}

const CODE: &str = "it is code, or names none that could be looked at";

/// The paths that a value of this kind names.
///
/// # Errors
/// A part of the value that may name anything.
pub fn named(kind: ValueKind, value: &[u8]) -> Result<Vec<NamedPath<'_>>, Unknown<'_>> {
    let list = |separators: &[u8], used| each(value, separators, &|part| path(part, used).map(Some));
    match kind {
        ValueKind::Opaque => Err(Unknown { part: value, why: CODE }),
        ValueKind::Libraries(separator) => each(value, &[b':', separator], &|part| match part {
            b"" => Ok(None),
            part if part.contains(&b'/') => path(part, PathUse::All).map(Some),
            part if is_plain(part) => Ok(Some(NamedPath { path: part, used: PathUse::Soname })),
            part => Err(Unknown { part, why: NO_PATH }),
        }),
        ValueKind::LibraryFolders => list(b":;", PathUse::Libraries),
        ValueKind::Paths(0) | ValueKind::Script => path(value, PathUse::All).map(|path| vec![path]),
        ValueKind::Paths(separator) => list(&[separator], PathUse::All),
        ValueKind::PathsOrDefault => each(value, b":", &|part| {
            if part.is_empty() { Ok(None) } else { path(part, PathUse::All).map(Some) }
        }),
        ValueKind::ClassPath => {
            each(value, b":", &|part| path(part.strip_suffix(b"/*").unwrap_or(part), PathUse::All).map(Some))
        }
        ValueKind::Templates => each(value, b";", &template),
        ValueKind::Words => {
            match value.iter().all(|byte| byte.is_ascii_alphanumeric() || b"_:,- ".contains(byte)) {
                true => Ok(Vec::new()),
                false => Err(Unknown { part: value, why: "it may name a module" }),
            }
        }
        ValueKind::Options(reader) => options::named(reader, value),
    }
}

/// The folder of a template; two semicolons, with nothing between them, are the default path.
fn template(part: &[u8]) -> Result<Option<NamedPath<'_>>, Unknown<'_>> {
    let (before, after) = part.split_at(part.iter().position(|byte| *byte == b'?').unwrap_or(part.len()));
    let after_is_plain = after.split(|byte| *byte == b'?').all(is_plain);
    let climbs = after.windows(2).any(|two| two == b"..");
    match before.iter().rposition(|byte| *byte == b'/') {
        _ if part.is_empty() => Ok(None),
        Some(end) if after_is_plain && !climbs => path(&part[..end.max(1)], PathUse::All).map(Some),
        Some(_) => Err(Unknown { part, why: NO_PATH }),
        None => Err(Unknown { part, why: RELATIVE }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(kind: ValueKind, value: &str) -> Option<Vec<String>> {
        let named = named(kind, value.as_bytes()).ok()?;
        Some(named.iter().map(|named| String::from_utf8_lossy(named.path).into_owned()).collect())
    }

    #[test]
    fn a_value_names_paths_or_cannot_be_checked() {
        for (kind, value, named) in [
            (
                ValueKind::Libraries(b' '),
                "/usr/lib/a.so:/usr/lib/b.so  libjemalloc.so.2",
                &["/usr/lib/a.so", "/usr/lib/b.so", "libjemalloc.so.2"][..],
            ),
            (ValueKind::LibraryFolders, "/usr/lib:/opt/cuda/lib64", &["/usr/lib", "/opt/cuda/lib64"]),
            (ValueKind::Paths(b':'), "/app", &["/app"]),
            (ValueKind::PathsOrDefault, ":/app/conf.d", &["/app/conf.d"]),
            (ValueKind::PathsOrDefault, "/a::/b:", &["/a", "/b"]),
            (ValueKind::ClassPath, "/app/a.jar:/app/lib/*", &["/app/a.jar", "/app/lib"]),
            (ValueKind::Script, "/etc/bash.env", &["/etc/bash.env"]),
            (
                ValueKind::Templates,
                "/usr/share/lua/?.lua;/usr/share/lua/?/init.lua;;",
                &["/usr/share/lua", "/usr/share/lua"],
            ),
            (ValueKind::Words, "ignore::DeprecationWarning", &[]),
        ] {
            let named: Vec<String> = named.iter().map(|one| (*one).to_owned()).collect();
            assert_eq!(paths(kind, value), Some(named), "{value}");
        }
        for (kind, value) in [
            (ValueKind::Opaque, "/usr/lib"),
            (ValueKind::Libraries(b' '), "./a.so"),
            (ValueKind::Libraries(b' '), "/usr/$LIB/a.so"),
            (ValueKind::Libraries(b' '), "/usr/lib/a.so\t/tmp/a.so"),
            (ValueKind::Libraries(b':'), "/usr/lib/a.so /tmp/a.so"),
            (ValueKind::LibraryFolders, "/usr/lib:"),
            (ValueKind::LibraryFolders, ":/usr/lib"),
            (ValueKind::LibraryFolders, "/usr/lib;;/opt"),
            (ValueKind::LibraryFolders, ":"),
            (ValueKind::Paths(b':'), ":"),
            (ValueKind::ClassPath, "/app/a.jar::/b"),
            (ValueKind::LibraryFolders, "lib"),
            (ValueKind::LibraryFolders, "$ORIGIN/lib"),
            (ValueKind::LibraryFolders, "${ORIGIN}"),
            (ValueKind::Paths(b':'), "/app::/usr"),
            (ValueKind::Paths(0), "/app:/usr"),
            (ValueKind::PathsOrDefault, "conf.d"),
            (ValueKind::ClassPath, "*"),
            (ValueKind::Script, "$(evil)"),
            (ValueKind::Script, "~/x"),
            (ValueKind::Templates, "?.lua"),
            (ValueKind::Templates, "/usr/share/?/../../../tmp/x.lua"),
            (ValueKind::Words, "ignore::evil.Warning"),
        ] {
            assert_eq!(paths(kind, value), None, "{value}");
        }
        let seeds: [&[u8]; 3] =
            [b"/usr/lib:/a?.lua;;", b"--require /a -javaagent:/a=b:/c -Da=/b", b"glibc.malloc.mxfast=1"];
        crate::mutation::each(&seeds, |bytes| {
            for kind in [
                ValueKind::LibraryFolders,
                ValueKind::Templates,
                ValueKind::ClassPath,
                ValueKind::Options(VariableOptions::Java),
                ValueKind::Options(VariableOptions::Node),
            ] {
                let named = named(kind, bytes).unwrap_or_default();
                assert!(named.iter().all(|named| named.path.starts_with(b"/")), "{kind:?} {bytes:?}");
            }
        });
        let many = "/a:".repeat(1000);
        assert_eq!(paths(ValueKind::ClassPath, &many), None);
    }
}
