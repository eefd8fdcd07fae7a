//! How much a finding weighs.

/// How much a finding weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The check fails.
    Error,
    /// The check fails too; whether it matters depends on the app.
    Warning,
    /// What was to be looked at could not be: the check has no answer.
    Inconclusive,
    /// It is listed alone.
    Note,
}

impl Severity {
    /// The severity's name in every format.
    pub const fn word(self) -> &'static str {
        match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Inconclusive => "inconclusive",
            Severity::Note => "note",
        }
    }
}
