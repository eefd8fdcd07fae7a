//! Whether a hint is about what its event says was refused: a line of a log may be the app's, with a
//! hint that remit gives for another use.

use std::path::Path;

use serde_json::Value;

use super::{Want, elements};
use crate::profile::{ProfileIndex, capability_word};

/// What an event says of its violation.
#[derive(Clone, Copy, Debug)]
pub struct RefusedUse<'e> {
    /// `kind`: the section.
    pub kind: &'e str,
    /// `rule`: the JSON Pointer of what does not allow it.
    pub rule: &'e str,
    /// `object`, as it was written.
    pub object: &'e Value,
}

impl RefusedUse<'_> {
    fn text(&self, key: &str) -> Option<&str> {
        self.object[key].as_str()
    }

    fn is_at(&self, path: &Path) -> bool {
        self.text("path").is_some_and(|own| Path::new(own) == path)
    }

    fn is_of_rule(&self, program: ProfileIndex, key: &str) -> bool {
        self.kind == "program" && self.rule == format!("/programs/{program}/{key}")
    }

    fn is_endpoint(&self, endpoint: &str, access: &str) -> bool {
        self.kind == "network"
            && self.text("address") == Some(endpoint)
            && self.text("access") == Some(access)
    }

    fn is_call(&self, call: &str) -> bool {
        self.kind == "syscall" && self.text("syscall") == Some(call)
    }

    fn is_named(&self, kind: &str, name: &str) -> bool {
        self.kind == kind && self.text("name") == Some(name)
    }

    /// Whether the register has this value, of which an int has 32 bits.
    fn has_argument(&self, arg: u8, value: &Value) -> bool {
        let register = self.object["args"][usize::from(arg)].as_str();
        let register = register.and_then(|text| u64::from_str_radix(text.strip_prefix("0x")?, 16).ok());
        let Some((register, value)) = register.zip(value.as_u64()) else { return false };
        register == value || register & 0xffff_ffff == value
    }
}

impl Want {
    /// Whether an event that says this may have the hint of this want.
    pub fn is_about(&self, profile: &Value, refused: &RefusedUse) -> bool {
        match self {
            Want::Command(path) => refused.kind == "program" && refused.is_at(path),
            // A file that is listed may be executed by another of its names.
            Want::Program { path, .. } | Want::Applet { path, .. } => {
                let is_listed = || {
                    elements(&profile["programs"])
                        .any(|program| program["path"].as_str().is_some_and(|own| Path::new(own) == path))
                };
                refused.kind == "program" && (refused.is_at(path) || is_listed())
            }
            Want::Arguments { program, .. } => refused.is_of_rule(*program, "args"),
            Want::User { program, .. } => refused.is_of_rule(*program, "user"),
            Want::Instances { program, .. } => refused.is_of_rule(*program, "instances"),
            Want::Digest { program, .. } => refused.is_of_rule(*program, "sha256"),
            Want::Library { program, path } => {
                refused.is_of_rule(*program, "libraries") && refused.is_at(path)
            }
            Want::Environment(name) => refused.is_named("environment", name),
            Want::File { path, rights } => {
                let has = |word| elements(&refused.object["access"]).any(|access| access == word);
                refused.kind == "file" && refused.is_at(path) && rights.words().all(has)
            }
            Want::Listen(endpoint) => refused.is_endpoint(endpoint, "listen"),
            Want::Connect(endpoint) => refused.is_endpoint(endpoint, "connect"),
            Want::Syscall(call) | Want::AfterStartup(call) => refused.is_call(call),
            Want::SyscallWhen { call, arg, value } => {
                refused.is_call(call) && refused.has_argument(*arg, value)
            }
            Want::Capability(capability) => refused.is_named("capability", &capability_word(*capability)),
            Want::WriteExecute => refused.kind == "memory",
            Want::Processes(_) => refused.is_named("limit", "processes"),
        }
    }
}
