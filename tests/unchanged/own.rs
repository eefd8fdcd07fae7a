//! What a process does to itself.

use crate::side_by_side::is_unchanged;
use crate::support::{Place, in_each_place};

in_each_place!(
    a_process_changes_its_own_limits_and_priority,
    a_process_changes_its_own_files_of_proc,
    a_small_profile_lets_a_process_do_the_same_to_itself
);

/// A server with what `@core` and `@runtime` bring.
const SMALL: &str = r#"{
    "remit": 1, "name": "small", "programs": [{ "path": "/usr/bin/probe", "entry": true }],
    "files": ["@runtime"], "network": { "listen": ["tcp/8080"] }
}"#;

fn a_process_changes_its_own_limits_and_priority(place: Place) {
    is_unchanged(
        place,
        None,
        &["own-limits", "own-priority", "own-scheduler", "own-disk", "group-priority?arg=0", "core-limit"],
    );
}

fn a_process_changes_its_own_files_of_proc(place: Place) {
    is_unchanged(
        place,
        None,
        &[
            "write-own?arg=self/oom_score_adj&arg=500",
            "write-own?arg=thread-self/oom_score_adj&arg=500",
            "write-own?arg=self/loginuid",
            "write-own?arg=self/comm&arg=other",
        ],
    );
}

fn a_small_profile_lets_a_process_do_the_same_to_itself(place: Place) {
    is_unchanged(
        place,
        Some(SMALL),
        &[
            "own-limits",
            "own-priority",
            "own-scheduler",
            "core-limit",
            "write-own?arg=self/oom_score_adj&arg=500",
            "write-own?arg=self/loginuid",
            "ask-mdwe",
            "adjtimex?arg=0",
            "pair",
        ],
    );
}
