//! The rules of the gate, each with its stable id. docs/check.md lists them, and a test compares.

use super::severity::Severity;

macro_rules! rules {
    ($($name:ident $id:literal $severity:ident $title:literal $why:literal;)+) => {
        /// A rule that a profile, its evidence, a run or an image may break.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[allow(missing_docs)]
        pub enum GateRule {
            $($name),+
        }

        impl GateRule {
            /// Every rule, in the order of the documentation.
            pub const ALL: &[GateRule] = &[$(GateRule::$name),+];

            /// The id, which never changes and is never given to another rule.
            pub const fn id(self) -> &'static str {
                match self {
                    $(GateRule::$name => $id),+
                }
            }

            /// How much a finding weighs, where no requirement says otherwise.
            pub const fn severity(self) -> Severity {
                match self {
                    $(GateRule::$name => Severity::$severity),+
                }
            }

            /// The rule in a few words.
            pub const fn title(self) -> &'static str {
                match self {
                    $(GateRule::$name => $title),+
                }
            }

            /// One sentence: why it matters.
            pub const fn why(self) -> &'static str {
                match self {
                    $(GateRule::$name => $why),+
                }
            }
        }
    };
}

rules! {
    OutsideProgram "outside-program" Error "a run executed what the profile does not grant"
        "The profile refuses this execution, so the app fails there, or an intruder was at work.";
    OutsideFile "outside-file" Error "a run used a file beyond the profile"
        "The profile refuses this access, so the app fails there, or an intruder was at work.";
    OutsideNetwork "outside-network" Error "a run used an address beyond the profile"
        "The profile refuses this bind or connect, so the app fails there, or data left by it.";
    OutsideSyscall "outside-syscall" Error "a run made a system call beyond the profile"
        "The profile refuses this call, so the app fails there, or an exploit tried it.";
    OutsideCapability "outside-capability" Error "a run needed a capability beyond the profile"
        "The profile takes this capability away, so the app's call fails.";
    OutsideMemory "outside-memory" Error "a run had memory that was writable and executable"
        "The profile refuses such memory: a just-in-time compiler fails, and so does injected code.";
    OutsideLimit "outside-limit" Error "a run needed more than a limit"
        "The profile refuses what goes beyond the limit, so the app fails under load.";
    OutsideEnvironment "outside-environment" Error "a run set a variable beyond the profile"
        "By this variable a program may be made to run other code, so the profile takes it away.";
    UnusedGrant "unused-grant" Warning "a grant that no run used"
        "What the app does not need, only an intruder uses.";
    RunIncomplete "run-incomplete" Inconclusive "a run was not recorded as a whole"
        "What a record lacks may be what the profile does not grant.";
    RunOfAnotherProfile "run-of-another-profile" Inconclusive "events of another profile"
        "Events say what their own profile refused, and nothing about this one.";
    RulesNotObserved "rules-not-observed" Inconclusive "rules that no given run shows"
        "A journal has no arguments, users, process counts or mapped libraries to compare with these rules.";
    ProgramDigest "program-digest" Error "a program's content is not the one that is required"
        "The shim refuses to run another content, or another content than was reviewed would run.";
    ProgramChanged "program-changed" Warning "a program changed since it was learned"
        "Another version may do what no run has shown, and is then refused in production.";
    ProgramMissing "program-missing" Error "a program is not in the image"
        "The app does not start without it, or what is put there later may run.";
    LibraryMissing "library-missing" Warning "a library or loader is not in the image any more"
        "Other libraries are loaded in its place, which may do what no run has shown.";
    LibraryChanged "library-changed" Warning "a library changed since it was learned"
        "Another version may do what no run has shown, and it runs with every right of the programs that load it.";
    PackageChanged "package-changed" Warning "a package changed since it was learned"
        "Another version may do what no run has shown, and is then refused in production.";
    ProgramWritable "program-writable" Error "the app may change a program"
        "Whatever an intruder writes there runs with every right of that program.";
    LibraryWritable "library-writable" Warning "the app may change a library"
        "Whatever an intruder writes there runs inside the programs that load it.";
    CannotStart "cannot-start" Error "remit-init would refuse to start in this image"
        "The container ends with 125 before the app runs.";
    RefusedAtStart "refused-at-start" Error "an entry with which remit-init refuses to start"
        "The container ends with 125 before the app runs.";
    ImageNotGiven "image-not-given" Inconclusive "the image was not given"
        "Whether the digests are those of the image can only be seen in the image.";
    ShellAllowed "shell-allowed" Error "a shell without a reason"
        "A shell runs whatever an intruder types: the first thing that an exploit starts.";
    InterpreterAllowed "interpreter-allowed" Note "an interpreter without a reason"
        "An interpreter runs whatever script it is given, so the list of programs restricts less.";
    PackageManagerAllowed "package-manager-allowed" Error "a package manager without a reason"
        "It downloads and installs programs, which no app does at work.";
    BeneathProgram "beneath-program" Warning "every file of a directory is a program"
        "What is there was not reviewed, shells among it, and what is added later runs too.";
    NotEnforced "not-enforced" Error "the mode refuses nothing"
        "Whatever the profile lists, the app may do everything else as well.";
    FallbackDegrades "fallback-degrades" Error "the app starts where less can be enforced"
        "On a kernel without Landlock the app would run without most of the profile.";
    WriteExecute "write-execute" Error "memory may be writable and executable"
        "Injected code runs where data may be executed.";
    ForbiddenSyscall "forbidden-syscall" Error "a system call that the requirements forbid"
        "The requirements name it as one that no app may make.";
    ForbiddenCapability "forbidden-capability" Error "a capability that the requirements forbid"
        "The requirements name it as one that no app may have.";
    ForbiddenProgram "forbidden-program" Error "a program that the requirements forbid"
        "The requirements name it as one that no app may run.";
    DigestNotPinned "digest-not-pinned" Error "a program without a digest"
        "Another content under the same name would run unnoticed.";
    ExposureHigh "exposure-high" Error "more exposure than the requirements let"
        "The more a profile grants, the more an intruder can use.";
    LayerInactive "layer-inactive" Error "a required layer was not in force"
        "What this layer refuses was let through in that run.";
    LayersNotObserved "layers-not-observed" Inconclusive "no start event shows the layers"
        "Only a start event says what a kernel really enforced.";
    GrantAdded "grant-added" Warning "the profile grants more than the previous one"
        "More rights than were reviewed before; approval (`remit approve`) says that they were looked at.";
    RiskLowered "risk-lowered" Error "the profile's tier is lower than it was"
        "The profile names what is required of itself, so less was checked than before.";
    EvidenceMissing "evidence-missing" Inconclusive "there is no evidence"
        "Without runs it is not known which grants are needed, and what is still to come.";
    EvidenceStale "evidence-stale" Note "the evidence is another profile's"
        "The profile was changed since it was built, so reasons and figures are of an earlier one.";
    EvidenceThin "evidence-thin" Inconclusive "too little evidence"
        "Too few runs were seen to say how often the app will do something new.";
    EvidenceUnseen "evidence-unseen" Error "the app too often does something new"
        "Each new behaviour is refused in production.";
    LearnedNotReachable "learned-not-reachable" Error "a run made a call that no code can make"
        "The journal or the image is not what it seems: another version of a program, an injected library, a forged journal.";
    AllowedNotReachable "allowed-not-reachable" Note "a listed call that no code can make"
        "What no program can call, only code that was injected uses.";
    ReachNotCompared "reach-not-compared" Inconclusive "what is reachable was not found for these programs"
        "Of a program that was not looked into, or of another architecture, nothing is known.";
    ApprovalMissing "approval-missing" Error "the profile is not approved"
        "The requirements want a person to have reviewed just this content.";
    ApprovalChanged "approval-changed" Error "the profile changed since it was approved"
        "What runs is not what was reviewed.";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_words_and_each_is_of_one_rule() {
        let mut ids: Vec<&str> = GateRule::ALL.iter().map(|rule| rule.id()).collect();
        assert!(ids.iter().all(|id| id.bytes().all(|b| b.is_ascii_lowercase() || b == b'-')));
        ids.sort_unstable();
        assert!(ids.windows(2).all(|two| two[0] != two[1]));
        assert!(GateRule::ALL.iter().all(|rule| rule.why().ends_with('.') && !rule.title().ends_with('.')));
    }
}
