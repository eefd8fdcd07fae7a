//! How the launch sends its filter's listener to the supervisor, where the filter notifies
//! sendmsg(2).
//!
//! Until the supervisor has the listener it can answer no call. So the filter allows this one
//! sendmsg(2) by three registers that the call does not use: they have a random token, which is
//! in the memory of the launch alone and ends with its exec.

use crate::filter::{Access, Action, Filter};
use crate::syscalls::{self, Condition, Test};

/// Whether the filter notifies sendmsg(2).
pub(super) fn notifies_sendmsg(filter: &Filter) -> bool {
    let number = syscalls::number(filter.arch, "sendmsg");
    number.is_none_or(|number| filter.verdict(number, &[0; 6]) != Action::Allow)
}

/// The filter, with a sendmsg(2) allowed whose arguments 3 to 5 are the token.
pub(super) fn allowed_by(filter: &Filter, token: [u64; 3]) -> Filter {
    let mut filter = filter.clone();
    let here = (3..).zip(token).map(|(arg, word)| Condition { arg, test: Test::In(vec![word]) }).collect();
    match filter.calls.entry("sendmsg").or_insert(Access::Notify) {
        access @ Access::Notify => *access = Access::When(vec![here]),
        Access::When(alternatives) => alternatives.push(here),
        Access::Allow => {}
    }
    filter
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::filter::{SeccompData, compile, interpret};
    use crate::kernel::Arch;

    const TOKEN: [u64; 3] = [0x0123_4567_89ab_cdef, 1 << 63, 7];

    #[test]
    fn only_the_whole_token_passes() {
        let flags = vec![Condition { arg: 2, test: Test::Masked { mask: 0x2000_0000, equals: 0x2000_0000 } }];
        for access in [None, Some(Access::Notify), Some(Access::When(vec![flags]))] {
            let calls = access.into_iter().map(|access| ("sendmsg", access));
            let filter = Filter { arch: Arch::THIS, calls: calls.collect::<BTreeMap<_, _>>() };
            assert!(notifies_sendmsg(&filter));
            let program = compile(&allowed_by(&filter, TOKEN)).expect("compiled");
            let nr = syscalls::number(Arch::THIS, "sendmsg").expect("it is there");
            let ask = |args| {
                let arch = Arch::THIS.audit();
                interpret(&program, &SeccompData { nr, arch, args, instruction_pointer: 0 })
            };
            let [a, b, c] = TOKEN;
            assert_eq!(ask([3, 4, 0, a, b, c]), Action::Allow);
            for wrong in
                [[0, b, c], [a, 0, c], [a, b, 0], [a & 0xffff_ffff, b, c], [a, b ^ 1, c], [a, b, c | 1 << 32]]
            {
                let [a, b, c] = wrong;
                assert_eq!(ask([3, 4, 0, a, b, c]), Action::Notify, "{wrong:x?}");
            }
        }
        let allowed = Filter { arch: Arch::THIS, calls: [("sendmsg", Access::Allow)].into() };
        assert!(!notifies_sendmsg(&allowed));
    }
}
