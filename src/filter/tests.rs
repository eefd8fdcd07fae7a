//! Compares the compiler with the verdict by running its programs on every call.

use std::collections::BTreeSet;

use super::*;
use crate::syscalls::{self, Test, groups};

fn condition(arg: u8, test: Test) -> Condition {
    Condition { arg, test }
}

fn is_in(arg: u8, values: &[u64]) -> Condition {
    condition(arg, Test::In(values.to_vec()))
}

fn not_in(arg: u8, values: &[u64]) -> Condition {
    condition(arg, Test::NotIn(values.to_vec()))
}

fn masked(arg: u8, mask: u64, equals: u64) -> Condition {
    condition(arg, Test::Masked { mask, equals })
}

fn filter(arch: Arch, calls: impl IntoIterator<Item = (&'static str, Access)>) -> Filter {
    Filter { arch, calls: calls.into_iter().collect() }
}

/// All calls of the groups, and conditions of every kind and width.
fn rich(arch: Arch) -> Filter {
    let brought = groups::union([&groups::CORE, &groups::FILES, &groups::NETWORK, &groups::NETWORK_LISTEN]);
    let mut calls: BTreeMap<_, _> =
        brought.into_iter().map(|(call, alternatives)| (call, Access::when(alternatives))).collect();
    let long: Vec<u64> = (0..70).map(|value| value * 3).collect();
    calls.extend(
        [
            // 32 bits, with values that no 32-bit argument has.
            ("ioctl", vec![vec![is_in(1, &[0x5421, 0x5401, 0x1_0000_5412])], vec![is_in(0, &[7])]]),
            ("fcntl", vec![vec![not_in(1, &[4, 8, 0x1_0000_000a])]]),
            ("openat", vec![vec![masked(2, 0o103, 0)], vec![masked(2, 0x1_0000_0003, 0x1_0000_0001)]]),
            // 64 bits.
            (
                "mmap",
                vec![vec![masked(2, 6, 2), not_in(3, &[0x20, 0x1_0000_0020])], vec![is_in(1, &[1 << 40])]],
            ),
            ("lseek", vec![vec![not_in(1, &[0, u64::MAX]), is_in(2, &[0, 1])]]),
            // 16 bits.
            ("fchmod", vec![vec![not_in(1, &[0o4755, 0o2755])]]),
            ("mkdirat", vec![vec![is_in(2, &[0o755, 0o700, 0x1_01ed])]]),
            // Of unknown width.
            ("readv", vec![vec![is_in(0, &[0, 1, 1 << 32])]]),
            ("writev", vec![vec![not_in(0, &[2, 3 << 32])]]),
            ("prctl", vec![vec![masked(1, 0xffff_ffff_0000_0000, 1 << 32)], vec![is_in(0, &[15])]]),
            // Several lists at once, jumps longer than a byte, a condition never true, one always true.
            ("socket", vec![vec![is_in(0, &[1, 2, 10]), masked(1, 0xf, 1), is_in(2, &[0, 6])]]),
            ("futex", vec![vec![not_in(1, &long), not_in(2, &long)], vec![is_in(1, &[3])]]),
            ("kill", vec![vec![is_in(1, &[])], vec![masked(1, 1, 2)]]),
            ("tgkill", Vec::new()),
            ("getpid", vec![vec![], vec![is_in(0, &[1])]]),
        ]
        .map(|(call, when)| (call, Access::When(when))),
    );
    calls.extend([("execve", Access::Notify), ("clone3", Access::Allow), ("setuid", Access::Allow)]);
    Filter { arch, calls }
}

/// Every value at which some condition of the call could change its result.
fn edges(access: Option<&Access>) -> BTreeSet<u64> {
    let mut edges = BTreeSet::from([0, 1]);
    let Some(Access::When(alternatives)) = access else { return edges };
    for value in alternatives.iter().flatten().flat_map(|condition| match &condition.test {
        Test::In(values) | Test::NotIn(values) => values.clone(),
        Test::Masked { mask, equals } => vec![*mask, *equals, mask ^ equals, !mask | equals],
    }) {
        for value in [value, value.wrapping_sub(1), value.wrapping_add(1)] {
            edges.extend([value, value & 0xffff_ffff, value | 1 << 32, value | 0xffff_ffff << 32]);
            edges.extend([value ^ 1 << 16, value ^ 1 << 31]);
        }
    }
    edges
}

fn run(program: &[Insn], arch: Arch, nr: u32, args: [u64; 6]) -> Action {
    interpret(program, &SeccompData { nr, arch: arch.audit(), instruction_pointer: 0x7f00_dead_beef, args })
}

#[test]
fn the_program_answers_as_the_verdict_for_every_number_and_edge() {
    for arch in Arch::ALL {
        let filter = rich(arch);
        let program = compile(&filter).unwrap();
        let mut answers = BTreeMap::new();
        for nr in (0..600).chain([X32_BIT - 1, X32_BIT, X32_BIT + 1, X32_BIT + 520, u32::MAX - 1, u32::MAX]) {
            let name = syscalls::name(arch, nr);
            let edges = edges(name.and_then(|name| filter.calls.get(name)));
            for value in &edges {
                // The other arguments at 0, at a value of the first alternative, and at a boundary too.
                let mut lines = vec![[*value; 6]];
                for rest in [0, 1, 2, 6, 15] {
                    for arg in 0..6 {
                        let mut args = [rest; 6];
                        args[arg] = *value;
                        lines.push(args);
                    }
                }
                for args in lines {
                    let expected = filter.verdict(nr, &args);
                    let answer = run(&program, arch, nr, args);
                    assert_eq!(answer, expected, "{arch} {nr} {name:?} {args:x?}");
                    *answers.entry(format!("{answer:?}")).or_insert(0) += 1;
                }
            }
        }
        // Every action occurred; else this would prove little.
        let expected: &[&str] = match arch {
            Arch::X86_64 => &["Allow", "Errno(38)", "KillProcess", "Notify"],
            Arch::Aarch64 => &["Allow", "Errno(38)", "Notify"],
        };
        assert_eq!(answers.keys().collect::<Vec<_>>(), expected);
    }
}

#[test]
fn a_conjunction_holds_only_as_a_whole() {
    let filter = rich(Arch::X86_64);
    let program = compile(&filter).unwrap();
    let socket = syscalls::number(Arch::X86_64, "socket").unwrap();
    for domain in 0..12 {
        for kind in [0, 1, 2, 0x801, 0x8_0001, 0x8_0802] {
            for protocol in [0, 1, 6, 262] {
                let args = [domain, kind, protocol, 0, 0, 0];
                let wanted = [1, 2, 10].contains(&domain) && kind & 0xf == 1 && [0, 6].contains(&protocol);
                let expected = if wanted { Action::Allow } else { Action::Notify };
                assert_eq!(run(&program, Arch::X86_64, socket, args), expected, "{args:?}");
                assert_eq!(filter.verdict(socket, &args), expected, "{args:?}");
            }
        }
    }
}

#[test]
fn bits_that_the_kernel_ignores_pass_no_test() {
    let filter = filter(
        Arch::X86_64,
        [
            ("ioctl", Access::When(vec![vec![not_in(1, &[0x5412])]])),
            ("fchmod", Access::When(vec![vec![not_in(1, &[0o4755])]])),
            ("mkdirat", Access::When(vec![vec![is_in(2, &[0o755])]])),
        ],
    );
    let program = compile(&filter).unwrap();
    let answer =
        |call, args| run(&program, Arch::X86_64, syscalls::number(Arch::X86_64, call).unwrap(), args);
    assert_eq!(answer("ioctl", [0, 0x1_0000_5412, 0, 0, 0, 0]), Action::Notify);
    assert_eq!(answer("ioctl", [0, 0x1_0000_5413, 0, 0, 0, 0]), Action::Allow);
    assert_eq!(answer("fchmod", [0, 0x1_0000 | 0o4755, 0, 0, 0, 0]), Action::Notify);
    assert_eq!(answer("fchmod", [0, 0o755, 0, 0, 0, 0]), Action::Allow);
    // The kernel drops them here too, so this is the very mode that is listed.
    assert_eq!(answer("mkdirat", [0, 0, 0x1_0000 | 0o755, 0, 0, 0]), Action::Allow);
}

#[test]
fn a_foreign_architecture_is_killed_whatever_the_call() {
    for arch in Arch::ALL {
        let program = compile(&rich(arch)).unwrap();
        let i386 = 0x4000_0003;
        let arm = 0x4000_0028;
        let other = Arch::ALL.into_iter().find(|other| *other != arch).unwrap().audit();
        for foreign in [i386, arm, other, 0, u32::MAX] {
            for nr in 0..600 {
                let data = SeccompData { nr, arch: foreign, instruction_pointer: 0, args: [0; 6] };
                assert_eq!(interpret(&program, &data), Action::KillProcess, "{foreign:#x} {nr}");
            }
        }
    }
}

#[test]
fn an_empty_filter_notifies_everything_but_what_it_decides_itself() {
    let filter = filter(Arch::Aarch64, []);
    let program = compile(&filter).unwrap();
    for nr in 0..600 {
        let expected = if nr == 435 { Action::Errno(ENOSYS) } else { Action::Notify };
        assert_eq!(run(&program, Arch::Aarch64, nr, [0; 6]), expected);
    }
}

#[test]
fn a_name_of_the_other_architecture_is_skipped() {
    let with = filter(Arch::Aarch64, [("open", Access::Allow), ("read", Access::Allow)]);
    let without = filter(Arch::Aarch64, [("read", Access::Allow)]);
    assert_eq!(compile(&with).unwrap(), compile(&without).unwrap());
}

#[test]
fn the_answer_for_what_is_not_allowed_is_the_notification() {
    let program = compile(&rich(Arch::X86_64)).unwrap();
    let answers: BTreeSet<u32> = program
        .iter()
        .filter(|instruction| instruction.code == interpret::RETURN)
        .map(|instruction| instruction.k)
        .collect();
    assert_eq!(answers, BTreeSet::from([0x0005_0026, 0x7fc0_0000, 0x7fff_0000, 0x8000_0000]));
}

#[test]
fn too_long_a_filter_says_how_long_it_may_be() {
    let values: Vec<u64> = (0..3000).collect();
    let one = filter(Arch::X86_64, [("ioctl", Access::When(vec![vec![is_in(1, &values)]]))]);
    let error = compile(&one).unwrap_err();
    assert!(
        matches!(error, FilterError::TooLong(instructions) if instructions > MAX_INSTRUCTIONS),
        "{error:?}"
    );
    assert!(error.to_string().contains("4096"), "{error}");

    // Lists whose product is too long are refused before they are multiplied.
    let all: Vec<Condition> = (0..6).map(|arg| is_in(arg, &values)).collect();
    let many = filter(Arch::X86_64, [("read", Access::When(vec![all]))]);
    assert!(matches!(compile(&many), Err(FilterError::TooLong(_))));
}

#[test]
fn an_argument_that_no_call_has_is_an_error() {
    for test in [Test::In(Vec::new()), Test::NotIn(Vec::new()), Test::Masked { mask: 1, equals: 2 }] {
        let filter = filter(Arch::X86_64, [("read", Access::When(vec![vec![condition(6, test)]]))]);
        assert_eq!(compile(&filter), Err(FilterError::Argument { call: "read", arg: 6 }));
    }
}

#[test]
fn the_longest_program_is_just_loadable() {
    // Six instructions a value, so that the limit is exceeded somewhere here.
    let length = |values: u64| {
        let values: Vec<u64> = (0..values).collect();
        compile(&filter(Arch::X86_64, [("ioctl", Access::When(vec![vec![is_in(1, &values)]]))]))
    };
    let longest = (0..2000).map(length).take_while(Result::is_ok).last().unwrap().unwrap().len();
    assert!((MAX_INSTRUCTIONS - 8..=MAX_INSTRUCTIONS).contains(&longest), "{longest}");
}

#[test]
fn what_is_no_program_is_invalid() {
    let data = SeccompData { nr: 0, arch: 0, instruction_pointer: 0, args: [0; 6] };
    let one = |code, k| interpret(&[Insn { code, jt: 0, jf: 0, k }], &data);
    assert_eq!(interpret(&[], &data), Action::Invalid);
    assert_eq!(one(interpret::LOAD, 64), Action::Invalid);
    assert_eq!(one(interpret::LOAD, 2), Action::Invalid);
    assert_eq!(one(interpret::JUMP, u32::MAX), Action::Invalid);
    assert_eq!(one(0xffff, 0), Action::Invalid);
    assert_eq!(one(interpret::RETURN, 0x7ff0_0001), Action::Other(0x7ff0_0001));
}
