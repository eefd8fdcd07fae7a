//! Inits that end unless they are PID 1, which is the supervisor's: they come before remit-init, and
//! not behind it.

use std::path::Path;

use crate::image::ImageFiles;

/// What s6-overlay's images have beside their `/init`: its third version, and those before.
const S6_OVERLAY: [&str; 3] = ["/package/admin/s6-overlay", "/etc/s6-overlay", "/etc/s6/init"];

/// Whether the image has an `/init` of s6-overlay.
pub fn has_s6_overlay(files: &dyn ImageFiles) -> bool {
    let has = |path: &str| matches!(files.stat(Path::new(path)), Ok(Some(_)));
    has("/init") && S6_OVERLAY.into_iter().any(has)
}

/// What to do where COMMAND is such an init; none where it is not.
pub fn advice(command: &Path, files: &dyn ImageFiles) -> Option<String> {
    let name = command.file_name()?.to_str()?;
    let (whose, behind) = match name {
        "init" if command == Path::new("/init") && has_s6_overlay(files) => ("s6-overlay's", S6_BEHIND),
        "runit" | "runit-init" => ("runit's", "write `exec remit-init APP` into each service's run script"),
        _ => return None,
    };
    let path = command.display();
    Some(format!(
        "{path} is {whose} and has to be PID 1, which remit-init is: leave it the ENTRYPOINT, and {behind}"
    ))
}

/// How an app is confined behind s6-overlay's `/init`.
pub const S6_BEHIND: &str =
    "begin CMD with remit-init, or write `exec remit-init APP` into the service's run script";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::Executable;
    use crate::image::tree::ImageTree;

    #[test]
    fn an_init_that_has_to_be_the_first_process_is_named() {
        let plain = || ImageTree::new().program("/init", Executable::Static);
        let s6 = plain().program("/package/admin/s6-overlay", Executable::Static);
        let of = |command: &str, files: &ImageTree| advice(Path::new(command), files);
        assert_eq!(of("/init", &plain()), None, "an app of that name");
        assert_eq!(of("/usr/sbin/nginx", &s6), None);
        assert_eq!(of("/app/init", &s6), None);
        assert!(
            of("/init", &s6)
                .is_some_and(|text| text.starts_with("/init is s6-overlay's and has to be PID 1"))
        );
        assert!(of("/sbin/runit", &plain()).is_some_and(|text| text.contains("run script")));
        assert!(has_s6_overlay(&s6) && !has_s6_overlay(&plain()));
    }
}
