//! Decodes the arguments of notified calls, for enforcing and for learning. A decoder names the
//! registers and reads the memory that a pointer leads to; it decides nothing. The table of system
//! calls says which argument is a path or a flag.

mod address;
mod attributes;
mod change;
mod exec;
mod mapping;
mod open;
mod path;
mod strings;

pub use self::address::AddressArgs;
pub use self::attributes::{AttributeArgs, NewAttribute};
pub use self::change::{ChangeArgs, TreeChange};
pub use self::exec::Exec;
pub use self::mapping::MappingArgs;
pub use self::open::Open;
pub use self::path::PathArg;
pub use self::strings::{args, each};

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::ids::Pid;
    use crate::notify::caller::{Caller, Identity, Memory};
    use crate::policy::call::Call;
    use crate::syscalls::{self, Arg, Change, Handler};

    /// Names tell which calls begin in a directory's descriptor: those in -at and -at2.
    #[test]
    fn every_call_of_paths_is_decoded_as_it_is_described() {
        let identity = Identity::own().expect("own ids");
        let me = Caller::of(Pid::own().first_thread()).expect("own status");
        let memory = Memory::of(&identity, &me);
        let (texts, zeroes) = ([c"/first", c"/second"], [0_u64; 8]);
        let mut decoded = 0;
        for syscall in syscalls::all() {
            let mut unused = texts.iter();
            let mut args = [0; 6];
            for (at, kind) in syscall.args.iter().enumerate() {
                args[at] = match kind {
                    Arg::Path => unused.next().expect("one or two").as_ptr() as u64,
                    Arg::Pointer => zeroes.as_ptr() as u64,
                    Arg::Dirfd | Arg::Fd => 40 + at as u64,
                    Arg::Mode => 0o640,
                    Arg::Long => 4096,
                    _ => 0,
                };
            }
            if syscall.handler == Handler::Change(Change::MakeLink) {
                args[0] = c"/text".as_ptr() as u64;
            }
            let (name, call) = (syscall.name, Call { name: Some(syscall.name), number: 0, args });
            let relative = (name.ends_with("at") || name.ends_with("at2")) && name != "creat";
            let path = |dirfd, path: &str| PathArg { dirfd, path: path.into(), descriptor: false };
            let dirfd = |at| if relative { 40 + at } else { libc::AT_FDCWD };
            match syscall.handler {
                Handler::Exec => {
                    let exec = Exec::of(&call);
                    assert_eq!(exec.path(&memory).expect(name), Path::new("/first"), "{name}");
                    assert_eq!((exec.dirfd, exec.args), (dirfd(0), zeroes.as_ptr() as u64), "{name}");
                }
                Handler::Open => {
                    let open = Open::decode(&call, &memory).expect(name);
                    assert_eq!(open.at, path(dirfd(0), "/first"), "{name}");
                    // The mode of openat2 is in its structure.
                    assert_eq!(open.mode, if name == "openat2" { 0 } else { 0o640 }, "{name}");
                }
                Handler::Change(change) => {
                    let decoded = ChangeArgs::decode(&call, &memory).expect(name).expect(name);
                    let at = path(dirfd(i32::from(change == Change::MakeLink)), "/first");
                    let two = matches!(change, Change::Rename | Change::Link);
                    assert_eq!(
                        (decoded.at, decoded.to),
                        (at, two.then(|| path(dirfd(2), "/second"))),
                        "{name}"
                    );
                    let expected = match change {
                        Change::MakeDirectory => TreeChange::MakeDirectory { mode: 0o640 },
                        Change::MakeNode => TreeChange::MakeNode { mode: 0o640 },
                        Change::MakeLink => TreeChange::MakeLink { text: b"/text".to_vec() },
                        Change::Remove => TreeChange::Remove { directory: false },
                        Change::RemoveDirectory => TreeChange::Remove { directory: true },
                        Change::Truncate => TreeChange::Truncate { length: 4096 },
                        Change::Rename => TreeChange::Rename { flags: 0 },
                        Change::Link => TreeChange::HardLink { flags: 0 },
                    };
                    assert_eq!(decoded.change, expected, "{name}");
                }
                Handler::Attribute(_) => {
                    let (file, follow) = AttributeArgs::decode(&call).expect(name).file(&memory).expect(name);
                    let by_descriptor = matches!(name, "fchown" | "fchmod");
                    let expected =
                        if by_descriptor { PathArg::of_descriptor(40) } else { path(dirfd(0), "/first") };
                    assert_eq!((file, follow), (expected, name != "lchown"), "{name}");
                }
                _ => continue,
            }
            decoded += 1;
        }
        assert!(decoded > 30, "{decoded}");
    }
}
