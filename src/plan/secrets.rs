//! Secrets, by their place: what an engine mounts at /run/secrets, keys and `.env` files. Landlock
//! refuses a read of one without a word, and no register says which file an open is of; so where there
//! is a secret that the profile does not grant, every open for reading is notified.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::grants::Granted;
use crate::image::{FileKind, is_beneath};
use crate::kernel::Kernel;
use crate::profile::{Profile, Rights, Watch};

/// Docker's and Swarm's secrets, and the service account's token of Kubernetes.
const MOUNTED: [&str; 2] = ["/run/secrets", "/var/run/secrets"];
/// Folders in which images have keys.
const KEYS: [&str; 6] = ["/etc/ssl/private", "/etc/certs", "/etc/secrets", "/etc/tls", "/certs", "/secrets"];
/// Folders of programs, which are long and hold no secret.
const SYSTEM: [&str; 8] = ["/usr", "/bin", "/sbin", "/lib", "/lib64", "/proc", "/sys", "/dev"];
/// The entries that are looked at, all in all.
const MOST: usize = 4096;

/// Whether what lies at a path is secret, by its place or its name.
pub fn is_secret(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().as_bytes();
    MOUNTED.iter().any(|folder| is_beneath(path, Path::new(folder)))
        || name == b".env"
        || name.starts_with(b".env.")
        || name.ends_with(b".pem")
        // The one that Debian makes for nothing in particular.
        || (name.ends_with(b".key") && name != b"ssl-cert-snakeoil.key")
}

/// The denied reads that are reported: those of secrets need one that is there.
pub(super) fn watch(
    profile: &Profile,
    kernel: &Kernel,
    granted: &Granted<'_>,
    notes: &mut Vec<String>,
) -> Watch {
    if profile.watch != Watch::SecretsThere {
        return profile.watch;
    }
    let Some(secret) = kernel.notify.as_ref().ok().and_then(|_| ungranted(granted)) else {
        return Watch::Nothing;
    };
    notes.push(format!(
        "{secret}: every open for reading is notified, so that reads of secrets are reported; \"watch\": [] turns that off"
    ));
    Watch::Secrets
}

/// What is said of a secret that is there and that no entry grants. Where there are more than are looked
/// at, one of them may be: the app may have made the others.
fn ungranted(granted: &Granted<'_>) -> Option<String> {
    let (files, host) = (granted.files, granted.host);
    let is_granted = |path: &Path| {
        let mut readable = granted.grants.iter().filter(|grant| grant.rights.contains(Rights::READ));
        readable.any(|grant| {
            let covers = if grant.exact { path == grant.path } else { is_beneath(path, &grant.path) };
            covers && !grant.except.iter().any(|except| is_beneath(path, except))
        })
    };
    if is_granted(Path::new("/")) {
        return None;
    }
    let mounts = host.mounts.iter().filter(|mount| mount.read_only || mount.kind == "tmpfs");
    let own = [host.working_directory.as_deref(), host.command.as_deref().and_then(Path::parent)];
    let places = own.into_iter().flatten().chain(mounts.map(|mount| &*mount.point));
    let places = places.filter(|place| !SYSTEM.iter().any(|folder| is_beneath(place, Path::new(folder))));
    let named = MOUNTED.iter().chain(&KEYS).map(Path::new);
    let mut ahead: Vec<PathBuf> = places.chain(named).map(Path::to_owned).collect();
    let mut looked = 0;
    while let Some(place) = ahead.pop() {
        // What cannot be listed is no folder, or none that the app can read.
        let within = files.list(&place).unwrap_or_default().into_iter();
        let within = within.map(|(name, kind)| (place.join(name), kind.is_none()));
        for (path, is_link) in within.chain([(place.clone(), true)]).filter(|(path, _)| is_secret(path)) {
            looked += 1;
            if looked > MOST {
                return Some(format!("more than {MOST} names of secrets are there"));
            }
            match files.stat(&path) {
                Ok(Some(info)) if info.kind == FileKind::Directory => {
                    ahead.extend((!is_link).then_some(path))
                }
                Ok(Some(info)) if !is_granted(&info.canonical) => {
                    return Some(format!("{} is a secret that is not granted", path.display()));
                }
                _ => {}
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_known_by_its_place_or_its_name() {
        for path in [
            "/run/secrets",
            "/run/secrets/password",
            "/var/run/secrets/kubernetes.io/serviceaccount/token",
            "/etc/app/tls.key",
            "/srv/cert.pem",
            "/app/.env",
            "/app/.env.production",
        ] {
            assert!(is_secret(Path::new(path)), "{path}");
        }
        for path in
            ["/", "/run/secretsd", "/etc/ssl/private/ssl-cert-snakeoil.key", "/app/env", "/srv/monkey"]
        {
            assert!(!is_secret(Path::new(path)), "{path}");
        }
    }
}
