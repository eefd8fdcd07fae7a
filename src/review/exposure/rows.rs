//! The rows. An id stays what it is: scripts and baselines name it.

use std::path::Path;

use super::rates::{
    HALF, MANY_PORTS, arguments, calls, capabilities, change_files, changes_below, connect_out, devices,
    each_program, endpoints, exploits, lasting_calls, of_files, of_paths, raw_sockets, reads,
    some_capability, spawn, tcp, tools, when,
};
use super::{Rating, TableRow, WORST};
use crate::profile::{
    AddressRule, Capability, Endpoint, Fallback, FileGroup, OnViolation, ProgramPlace, Rights, Watch,
};
use crate::review::calls::MOUNTING;
use crate::review::docker;
use crate::review::known::KnownProgram;
use crate::review::network;
use crate::review::permission::Permitted;
use crate::syscalls::clone_flags;

pub(super) const ROWS: &[TableRow] = &[
    TableRow {
        id: "no_new_privs",
        weight: 1000,
        good: "set-user-ID bits and file capabilities have no effect.",
        bad: "A set-user-ID program gives its caller the rights of its owner.",
        docker: WORST,
        // Set whenever something is confined.
        rate: |_| Rating::GOOD,
    },
    TableRow {
        id: "fallback",
        weight: 300,
        good: "Where the kernel lacks something, the app does not start.",
        bad: "Where the kernel lacks something, the app starts with less than this.",
        docker: 0,
        rate: |input| when(input.profile.fallback == Fallback::Degrade, "/fallback"),
    },
    TableRow {
        id: "user",
        weight: 500,
        good: "The app runs as a user other than root.",
        bad: "The app may run as root.",
        docker: WORST,
        rate: |input| match &input.profile.run_as {
            None => Rating::of(WORST, "/run_as"),
            Some(ids) => when(ids.user.is_root(), "/run_as/user"),
        },
    },
    TableRow {
        id: "cap_sys_admin",
        weight: 1500,
        good: "It lacks the capability sys_admin, which is next to root on the machine.",
        bad: "It may have the capability sys_admin, which is next to root on the machine.",
        docker: 0,
        rate: |input| capabilities(input, &[Capability::CAP_SYS_ADMIN]),
    },
    TableRow {
        id: "cap_sys_ptrace",
        weight: 1500,
        good: "It lacks the capability sys_ptrace: it cannot control processes of other users.",
        bad: "It may have the capability sys_ptrace: it can control processes of other users.",
        docker: 0,
        rate: |input| capabilities(input, &[Capability::CAP_SYS_PTRACE]),
    },
    TableRow {
        id: "cap_set_ids",
        weight: 1500,
        good: "It lacks setuid, setgid and setpcap: a process cannot take on other ids.",
        bad: "It may have setuid, setgid or setpcap: a process can take on other ids.",
        docker: WORST,
        rate: |input| {
            capabilities(input, &[Capability::CAP_SETUID, Capability::CAP_SETGID, Capability::CAP_SETPCAP])
        },
    },
    TableRow {
        id: "cap_kernel",
        weight: 1000,
        good: "It lacks the capabilities that change the kernel (sys_module, sys_rawio, bpf, perfmon, sys_boot, mac_admin).",
        bad: "It may have a capability that changes the kernel (sys_module, sys_rawio, bpf, perfmon, sys_boot, mac_admin).",
        docker: 0,
        rate: |input| {
            let any = [
                Capability::CAP_SYS_MODULE,
                Capability::CAP_SYS_RAWIO,
                Capability::CAP_BPF,
                Capability::CAP_PERFMON,
                Capability::CAP_SYS_BOOT,
                Capability::CAP_MAC_ADMIN,
                Capability::CAP_MAC_OVERRIDE,
                Capability::CAP_CHECKPOINT_RESTORE,
            ];
            some_capability(input, &any)
        },
    },
    TableRow {
        id: "cap_net_admin",
        weight: 1000,
        good: "It lacks the capability net_admin: interfaces, routes and firewalls stay as they are.",
        bad: "It may have the capability net_admin: it can change interfaces, routes and firewalls.",
        docker: 0,
        rate: |input| capabilities(input, &[Capability::CAP_NET_ADMIN]),
    },
    TableRow {
        id: "cap_files",
        weight: 1000,
        good: "It lacks dac_override and dac_read_search: the modes of files hold for it.",
        bad: "It may have dac_override or dac_read_search: the modes of files do not hold for it.",
        docker: HALF,
        rate: |input| capabilities(input, &[Capability::CAP_DAC_OVERRIDE, Capability::CAP_DAC_READ_SEARCH]),
    },
    TableRow {
        id: "cap_owner",
        weight: 300,
        good: "It lacks chown, fowner, fsetid and setfcap: it cannot change the owners and attributes of others' files.",
        bad: "It may have chown, fowner, fsetid or setfcap: it can change the owners and attributes of others' files.",
        docker: WORST,
        rate: |input| {
            let all = [
                Capability::CAP_CHOWN,
                Capability::CAP_FOWNER,
                Capability::CAP_FSETID,
                Capability::CAP_SETFCAP,
            ];
            capabilities(input, &all)
        },
    },
    TableRow {
        id: "cap_kill",
        weight: 500,
        good: "It lacks the capability kill: it cannot signal processes of other users.",
        bad: "It may have the capability kill: it can signal processes of other users.",
        docker: WORST,
        rate: |input| capabilities(input, &[Capability::CAP_KILL]),
    },
    TableRow {
        id: "cap_mknod",
        weight: 500,
        good: "It lacks the capability mknod: it cannot make device files.",
        bad: "It may have the capability mknod, for device files.",
        docker: WORST,
        rate: |input| capabilities(input, &[Capability::CAP_MKNOD]),
    },
    TableRow {
        id: "cap_system",
        weight: 300,
        good: "It lacks sys_time, syslog, sys_resource, sys_nice and audit capabilities: what is the machine's stays as it is.",
        bad: "It may have sys_time, syslog, sys_resource, sys_nice or an audit capability, which act on the machine.",
        docker: 2,
        rate: |input| {
            let all = [
                Capability::CAP_SYS_TIME,
                Capability::CAP_SYSLOG,
                Capability::CAP_SYS_RESOURCE,
                Capability::CAP_SYS_NICE,
                Capability::CAP_AUDIT_WRITE,
                Capability::CAP_AUDIT_CONTROL,
                Capability::CAP_AUDIT_READ,
            ];
            capabilities(input, &all)
        },
    },
    TableRow {
        id: "shells",
        weight: 1000,
        good: "No shell can be started.",
        bad: "A shell can be started.",
        docker: WORST,
        rate: |input| tools(input, &[KnownProgram::Shell, KnownProgram::MultiCall]),
    },
    TableRow {
        id: "interpreters",
        weight: 500,
        good: "No interpreter of another language can be started.",
        bad: "An interpreter can be started.",
        docker: WORST,
        rate: |input| tools(input, &[KnownProgram::Interpreter, KnownProgram::MultiCall]),
    },
    TableRow {
        id: "tools",
        weight: 500,
        good: "No tool that downloads, installs, compiles, relays or debugs can be started.",
        bad: "A tool that downloads, installs, compiles, relays or debugs can be started.",
        docker: WORST,
        rate: |input| {
            let kinds = [
                KnownProgram::PackageManager,
                KnownProgram::Download,
                KnownProgram::Relay,
                KnownProgram::Compiler,
                KnownProgram::Debugger,
                KnownProgram::ChangesUser,
                KnownProgram::MultiCall,
            ];
            tools(input, &kinds)
        },
    },
    TableRow {
        id: "program_directories",
        weight: 500,
        good: "Every program is named by its path.",
        bad: "Every file below a directory is a program.",
        docker: WORST,
        rate: |input| {
            each_program(input, |program| match (&program.place, program.from_image) {
                (ProgramPlace::Path(_), _) => 0,
                (ProgramPlace::Beneath(_), true) => HALF,
                (ProgramPlace::Beneath(_), false) => WORST,
            })
        },
    },
    TableRow {
        id: "spawn",
        weight: 500,
        good: "No program executes another.",
        bad: "Programs execute others: the more of these, the worse.",
        docker: WORST,
        rate: spawn,
    },
    TableRow {
        id: "spawn_after_startup",
        weight: 300,
        good: "Once start-up is over, no program can be executed.",
        bad: "Programs can be executed also when start-up is over.",
        docker: WORST,
        rate: |input| lasting_calls(input, &["execve", "execveat"]),
    },
    TableRow {
        id: "dropped_programs",
        weight: 1000,
        good: "A file that the app writes cannot be executed, and no program can be replaced.",
        bad: "A file that the app writes can be executed, and programs can be replaced.",
        docker: WORST,
        // A profile that lets a program be written is refused.
        rate: |_| Rating::GOOD,
    },
    TableRow {
        id: "program_content",
        weight: 100,
        good: "Every program has to have a content that is known by its digest.",
        bad: "A program may have whatever content it has at the start.",
        docker: WORST,
        rate: |input| {
            each_program(input, |program| match (&program.sha256, program.from_image) {
                (Some(_), _) => 0,
                (None, true) => HALF,
                (None, false) => WORST,
            })
        },
    },
    TableRow {
        id: "libraries",
        weight: 100,
        good: "Every program maps code from listed files alone (a partial check).",
        bad: "A program may map code from every file that it may read.",
        docker: WORST,
        rate: |input| each_program(input, |program| if program.libraries.is_some() { 0 } else { WORST }),
    },
    TableRow {
        id: "memory",
        weight: 300,
        good: "Memory is never writable and executable.",
        bad: "Memory may be writable and executable.",
        docker: WORST,
        rate: |input| when(input.profile.write_execute, "/memory/write_execute"),
    },
    TableRow {
        id: "environment",
        weight: 300,
        good: "Variables that load code which the app may change are dropped and refused.",
        bad: "Variables by which programs load other code are kept, whatever they name.",
        docker: WORST,
        rate: |input| {
            let keep = input.profile.environment_keep.iter().enumerate();
            Rating::worst(keep.map(|(index, entry)| {
                let stem = entry.what.strip_suffix('*').unwrap_or(&entry.what);
                let loads =
                    stem.starts_with("LD_") || (entry.what.ends_with('*') && "LD_PRELOAD".starts_with(stem));
                Rating::of(if loads { WORST } else { HALF }, format!("/environment/keep/{index}"))
            }))
        },
    },
    TableRow {
        id: "change_configuration",
        weight: 500,
        good: "Nothing below /etc, /root and /home can be changed.",
        bad: "Files below /etc, /root or /home can be changed.",
        docker: WORST,
        rate: |input| changes_below(input, &["/etc", "/root", "/home"]),
    },
    TableRow {
        id: "change_libraries",
        weight: 500,
        good: "Nothing below /usr, /lib and /opt can be changed.",
        bad: "Files below /usr, /lib or /opt can be changed.",
        docker: WORST,
        rate: |input| changes_below(input, &["/usr", "/lib", "/lib64", "/opt"]),
    },
    TableRow {
        id: "change_files",
        weight: 300,
        good: "No files can be changed but temporary ones, shared memory and pipes.",
        bad: "Files can be changed: the nearer to the root, the worse.",
        docker: WORST,
        rate: change_files,
    },
    TableRow {
        id: "read_files",
        weight: 300,
        good: "Reading is limited to files and directories that are named.",
        bad: "All files can be read, or all of a directory such as /etc.",
        docker: WORST,
        rate: |input| {
            let mut all = vec![reads(input, "/", WORST)];
            if input.files.has(FileGroup::Elsewhere) {
                all.push(of_files(input, WORST, |what| *what == Permitted::Elsewhere(Rights::READ)));
            }
            all.extend(
                ["/etc", "/root", "/home", "/var", "/opt", "/srv"].map(|path| reads(input, path, HALF)),
            );
            Rating::worst(all)
        },
    },
    TableRow {
        id: "read_secrets",
        weight: 300,
        good: "Nothing of /run/secrets, /etc/shadow and /root can be read.",
        bad: "Files of /run/secrets, /etc/shadow or /root can be read.",
        docker: WORST,
        rate: |input| {
            let secrets = ["/run/secrets", "/var/run/secrets", "/etc/shadow", "/root"];
            Rating::worst(secrets.map(|path| {
                match input.files.rights_below(Path::new(path)).contains(Rights::READ) {
                    true => of_paths(input, WORST, path, Rights::READ),
                    false => Rating::GOOD,
                }
            }))
        },
    },
    TableRow {
        id: "devices",
        weight: 300,
        good: "No device can be used but terminals and those without data (null, random, …).",
        bad: "Devices can be read, written or controlled.",
        docker: 2,
        rate: devices,
    },
    TableRow {
        id: "proc",
        weight: 300,
        good: "Nothing below /proc can be written but settings of a process itself.",
        bad: "Memory and settings of processes can be written below /proc.",
        docker: WORST,
        // Such a profile is refused.
        rate: |_| Rating::GOOD,
    },
    TableRow {
        id: "connect_out",
        weight: 1000,
        good: "No connection to another host can be made.",
        bad: "Connections to other hosts can be made: to any host worse than to listed addresses.",
        docker: WORST,
        rate: connect_out,
    },
    TableRow {
        id: "udp",
        weight: 300,
        good: "No datagram can be sent.",
        bad: "Datagrams can be sent to any host.",
        docker: WORST,
        rate: |input| {
            endpoints(input, |endpoint| if matches!(endpoint, Endpoint::Udp(_)) { WORST } else { 0 })
        },
    },
    TableRow {
        id: "raw_sockets",
        weight: 500,
        good: "No packets can be forged: there are no raw sockets.",
        bad: "Raw sockets, or the capability for them, let packets be forged and read.",
        docker: WORST,
        rate: raw_sockets,
    },
    TableRow {
        id: "unix_sockets",
        weight: 300,
        good: "Only named unix sockets can be connected to, and none of them commands the engine.",
        bad: "Every unix socket can be connected to, or one that commands the engine.",
        docker: WORST,
        rate: |input| {
            endpoints(input, |endpoint| match endpoint {
                Endpoint::UnixAny => WORST,
                Endpoint::UnixPath(path) if path.to_string_lossy().ends_with("docker.sock") => WORST,
                Endpoint::UnixPath(path) if path.to_string_lossy().ends_with("containerd.sock") => WORST,
                _ => 0,
            })
        },
    },
    TableRow {
        id: "listen",
        weight: 200,
        good: "No port can be listened on.",
        bad: "Ports can be listened on: any port worse than some.",
        docker: WORST,
        rate: |input| {
            let rules: Vec<(AddressRule, String)> = tcp(&input.profile.network.listen, "listen");
            match network::open_ports(rules.iter().map(|(rule, _)| rule)) {
                0 if rules.is_empty() => Rating::GOOD,
                open => Rating {
                    badness: if open > MANY_PORTS { WORST } else { 2 },
                    at: rules.into_iter().map(|(_, at)| at).collect(),
                },
            }
        },
    },
    TableRow {
        id: "calls",
        weight: 1000,
        good: "No system calls can be made.",
        bad: "The kernel is reachable by as many system calls: as bad as the share of those that Docker lets through.",
        docker: WORST,
        rate: |input| {
            let count = input.calls.names().count();
            let badness =
                (count * WORST as usize).div_ceil(docker::count().max(1)).min(WORST as usize) as u32;
            Rating { badness, at: vec!["/syscalls".into()] }
        },
    },
    TableRow {
        id: "call_ptrace",
        weight: 1000,
        good: "No process can control another: no ptrace, process_vm_readv, process_vm_writev, pidfd_getfd.",
        bad: "A process can control others, by ptrace, process_vm_readv, process_vm_writev or pidfd_getfd.",
        docker: WORST,
        rate: |input| calls(input, &["ptrace", "process_vm_readv", "process_vm_writev", "pidfd_getfd"]),
    },
    TableRow {
        id: "call_namespaces",
        weight: 500,
        good: "No namespace can be made or entered.",
        bad: "Namespaces can be made or entered.",
        docker: 0,
        rate: |input| {
            calls(input, &["unshare", "setns"]).worse(arguments(
                input,
                "clone",
                0,
                &clone_flags::EACH_NAMESPACE,
            ))
        },
    },
    TableRow {
        id: "call_mount",
        weight: 500,
        good: "Nothing can be mounted.",
        bad: "A call that mounts is allowed.",
        docker: 0,
        rate: |input| calls(input, &MOUNTING),
    },
    TableRow {
        id: "call_kernel_code",
        weight: 500,
        good: "No code can be loaded into the kernel, and the machine cannot be restarted.",
        bad: "A call that loads code into the kernel, or restarts the machine, is allowed.",
        docker: 0,
        rate: |input| {
            let all = [
                "bpf",
                "init_module",
                "finit_module",
                "delete_module",
                "kexec_load",
                "kexec_file_load",
                "reboot",
                "iopl",
                "ioperm",
                "swapon",
                "swapoff",
                "acct",
                "quotactl",
            ];
            calls(input, &all)
        },
    },
    TableRow {
        id: "call_io_uring",
        weight: 500,
        good: "io_uring, whose requests no filter sees, cannot be used.",
        bad: "io_uring can be used, whose requests no filter sees.",
        docker: 0,
        rate: |input| calls(input, &["io_uring_setup", "io_uring_enter", "io_uring_register"]),
    },
    TableRow {
        id: "call_exploits",
        weight: 500,
        good: "None of the calls with which exploits of the kernel often begin is allowed (userfaultfd, keyctl, perf_event_open, …).",
        bad: "Calls with which exploits of the kernel often begin are allowed (userfaultfd, keyctl, perf_event_open, …).",
        docker: HALF,
        rate: exploits,
    },
    TableRow {
        id: "call_terminal",
        weight: 200,
        good: "Nothing can be typed into a terminal by ioctl (TIOCSTI, TIOCLINUX).",
        bad: "Text can be typed into a terminal by ioctl (TIOCSTI, TIOCLINUX).",
        docker: WORST,
        rate: |input| arguments(input, "ioctl", 1, &[0x5412, 0x541c]),
    },
    TableRow {
        id: "processes",
        weight: 200,
        good: "The number of processes is limited.",
        bad: "The number of processes is not limited.",
        docker: WORST,
        rate: |input| when(input.profile.limits.processes.is_none(), "/limits/processes"),
    },
    TableRow {
        id: "on_violation",
        weight: 100,
        good: "A violation ends the container.",
        bad: "After a violation the app goes on.",
        docker: WORST,
        rate: |input| match input.profile.on_violation {
            OnViolation::Stop => Rating::GOOD,
            OnViolation::Kill => Rating::of(HALF, "/on_violation"),
            OnViolation::Deny => Rating::of(WORST, "/on_violation"),
        },
    },
    TableRow {
        id: "watch",
        weight: 50,
        good: "Reads that are refused are reported.",
        bad: "Reads that are refused are not reported.",
        docker: WORST,
        rate: |input| when(input.profile.watch < Watch::Reads, "/watch"),
    },
];
