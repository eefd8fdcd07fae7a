//! The letters of AppArmor's rules on files.

use crate::profile::Rights;

/// The rights of a rule on files.
#[derive(Debug, PartialEq, Eq)]
pub struct Permissions {
    /// Those that a profile has too.
    pub rights: Rights,
    /// `m`: code may be mapped.
    pub maps: bool,
    /// `k`: locks may be taken.
    pub locks: bool,
    /// `l`: hard links may be made.
    pub links: bool,
    /// `x`, and how.
    pub exec: Option<ExecTransition>,
}

/// Which profile confines a program that is executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExecTransition {
    /// This one: `ix`.
    Inherit,
    /// Its own, a child's or none: `px`, `cx`, `ux`.
    Other,
}

impl Permissions {
    /// `None` for letters that are no rights.
    pub fn parse(letters: &str) -> Option<Permissions> {
        let mut found =
            Permissions { rights: Rights::NONE, maps: false, locks: false, links: false, exec: None };
        let mut other = false;
        for letter in letters.chars() {
            match letter {
                'r' => found.rights |= Rights::READ,
                'w' => found.rights |= Rights::WRITE | Rights::CREATE | Rights::REMOVE,
                'a' => found.rights |= Rights::WRITE | Rights::CREATE,
                'l' => {
                    found.rights |= Rights::CREATE;
                    found.links = true;
                }
                'k' => found.locks = true,
                'm' => found.maps = true,
                'i' => {}
                'p' | 'P' | 'c' | 'C' | 'u' | 'U' => other = true,
                'x' => found.exec = Some(if other { ExecTransition::Other } else { ExecTransition::Inherit }),
                _ => return None,
            }
        }
        // `pi` without an `x` are no rights.
        let bare = letters.contains(['p', 'P', 'c', 'C', 'u', 'U', 'i']) && found.exec.is_none();
        (!bare && !letters.is_empty()).then_some(found)
    }
}
