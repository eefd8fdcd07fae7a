//! Scenarios: real programs doing their whole work in real containers, and
//! forbidden acts tried from inside of them. Each in every place: Docker's
//! defaults, Kubernetes' restricted, and a user namespace on the bare machine.

#[path = "../support/mod.rs"]
mod support;

mod forbidden;
mod images;

/// One test for each place, from a function that takes it.
macro_rules! in_each_place {
    ($($name:ident),+ $(,)?) => {$(
        mod $name {
            use crate::support::Place;

            #[test]
            fn docker() {
                super::$name(Place::Docker);
            }

            #[test]
            fn restricted() {
                super::$name(Place::Restricted);
            }

            #[test]
            fn user_namespace() {
                super::$name(Place::UserNamespace);
            }
        }
    )+};
}
use in_each_place;
