//! Files that are emptied, past rules on writing: by calls that open nothing for writing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::flips::{Flip, Shared, Text, keep_changing};
use super::{counts, unknown};
use crate::acts::{Result, argument, execs, number};
use crate::syscall::{call, errno_name, own};

const HERE: usize = libc::AT_FDCWD as usize;

/// `race-truncate HOW TRIES FILE HARMLESS`: so many calls that truncate HARMLESS, or open it for
/// reading, and FILE by turns. It ends as soon as FILE is empty.
pub fn race(arguments: &[String]) -> Result {
    let how = argument(arguments, 0, "path");
    let (file, harmless) = (argument(arguments, 2, "").to_owned(), argument(arguments, 3, "").to_owned());
    let length = |name: &str| std::fs::metadata(name).map(|file| file.len());
    let had = length(&file).map_err(|error| execs::refused("stat", &error))?;
    if had == 0 {
        return Err(unknown("an empty file cannot be emptied"));
    }
    let shared = Shared::new()?;
    // struct open_how: flags, mode, resolve.
    let open_how: Arc<[AtomicU64; 3]> = Arc::default();
    let (reads, empties) = (libc::O_CLOEXEC as u64, (libc::O_CLOEXEC | libc::O_TRUNC) as u64);
    open_how[0].store(reads, Relaxed);
    let path = shared.path.as_ptr() as usize;
    let (name, flags) = (file.clone(), Arc::clone(&open_how));
    let flip: Flip = match how {
        "flags" => {
            shared.write(Text::Path, &file);
            Arc::new(move |turn| flags[0].store(if turn { empties } else { reads }, Relaxed))
        }
        _ => {
            shared.write(Text::Path, &harmless);
            Arc::new(move |turn| shared.write(Text::Path, if turn { &name } else { &harmless }))
        }
    };
    keep_changing(shared, &flip);
    let mut came = BTreeMap::<String, u32>::new();
    for _ in 0..number(arguments, 1, 100) {
        let made = match how {
            "path" => call("truncate", libc::SYS_truncate, &[path, 0]),
            "open" => call("openat", libc::SYS_openat, &[HERE, path, empties as usize]),
            "flags" => {
                let size = size_of_val(&*open_how);
                call("openat2", libc::SYS_openat2, &[HERE, path, open_how.as_ptr() as usize, size])
            }
            _ => return Err(unknown("which call truncates?")),
        };
        let what = match made {
            Err(refused) => errno_name(refused.errno),
            Ok(fd) => {
                if how != "path" {
                    drop(own(fd));
                }
                "ok".to_owned()
            }
        };
        *came.entry(what).or_default() += 1;
        if length(&file).is_ok_and(|now| now == 0) {
            *came.entry("emptied".to_owned()).or_default() += 1;
            break;
        }
    }
    shared.over.store(true, Relaxed);
    Ok(counts(&came))
}
