//! The exact change of a profile that would allow something: the JSON Patch, and the lines of the
//! profile as they would stand.

use serde_json::Value;

use crate::event::{PatchOp, Want, hint};
use crate::profile::{self, Document};

/// What would allow something.
#[derive(Clone, Debug, PartialEq)]
pub struct AllowingLine {
    /// The JSON Patch (RFC 6902) for the profile as it stands.
    pub patch: Vec<PatchOp>,
    /// The lines that the profile would have in addition, as `remit build` and `remit amend` lay it
    /// out.
    pub lines: Vec<String>,
    /// The lines that would then be gone.
    pub gone: Vec<String>,
}

/// What would allow a use; `None` where the profile allows it, or no profile can.
pub fn allowing_line(document: &Document, want: &Want) -> Option<AllowingLine> {
    allowing_lines(document, std::slice::from_ref(want))
}

/// What would allow several uses at once.
pub fn allowing_lines(document: &Document, wants: &[Want]) -> Option<AllowingLine> {
    let mut value = document.value();
    let mut patch = Vec::new();
    for want in wants {
        let operations = hint(&value, want);
        apply(&mut value, &operations)?;
        patch.extend(operations);
    }
    if patch.is_empty() { None } else { of_patch(document, patch) }
}

fn apply(value: &mut Value, patch: &[PatchOp]) -> Option<()> {
    let operations: json_patch::Patch = serde_json::from_value(serde_json::to_value(patch).ok()?).ok()?;
    json_patch::patch(value, &operations).ok()
}

/// The lines of a hint; `None` where what comes of it is no valid profile.
pub fn of_patch(document: &Document, patch: Vec<PatchOp>) -> Option<AllowingLine> {
    let mut value = document.value();
    apply(&mut value, &patch)?;
    let after = profile::read(value.to_string().as_bytes()).ok()?;
    let (old, new) = (profile::write(&document.profile), profile::write(&after.profile));
    let plain = |line: &str| line.trim().trim_end_matches(',').to_owned();
    let (before, lines): (Vec<String>, Vec<String>) =
        (old.lines().map(plain).collect(), new.lines().map(plain).collect());
    let only = |these: &[String], others: &[String]| {
        let mut left: Vec<&String> = others.iter().collect();
        let is_new = |line: &&String| match left.iter().position(|other| other == line) {
            Some(at) => {
                left.swap_remove(at);
                false
            }
            None => true,
        };
        these.iter().filter(is_new).cloned().collect::<Vec<_>>()
    };
    Some(AllowingLine { lines: only(&lines, &before), gone: only(&before, &lines), patch })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Op;
    use crate::profile::Rights;

    #[test]
    fn the_line_is_the_profiles() {
        let text = r#"{"remit": 1, "name": "x", "programs": [{"path": "/app", "entry": true}],
            "files": ["@names", {"path": "/data", "allow": ["read"], "why": "data"}]}"#;
        let document = profile::read(text.as_bytes()).expect("valid");
        let new = Want::File { path: "/srv".into(), rights: Rights::READ };
        let line = allowing_line(&document, &new).expect("a line");
        assert!(
            line.lines.iter().any(|line| line.contains(r#"{ "path": "/srv", "allow": ["read"] }"#)),
            "{line:?}"
        );
        let more = Want::File { path: "/data".into(), rights: Rights::WRITE };
        let line = allowing_line(&document, &more).expect("a line");
        assert!(line.lines.iter().any(|line| line.contains(r#""allow": ["read", "write"]"#)), "{line:?}");
        assert!(line.gone.iter().any(|line| line.contains(r#""allow": ["read"]"#)), "{line:?}");
        assert_eq!(
            allowing_line(&document, &Want::Syscall("read".into())).map(|line| line.patch.len()),
            Some(1)
        );
        assert_eq!(allowing_line(&document, &Want::Syscall("clone3".into())), None);
        assert_eq!(
            of_patch(
                &document,
                vec![PatchOp { op: Op::Add, path: "/x".into(), value: serde_json::Value::Null }]
            ),
            None
        );
    }
}
