//! The two ends of a launch that is made to fail: the program before it, which has a
//! filter answer one call with an errno, and the app after it, which tries what every
//! layer is to refuse.

use std::ffi::{CStr, CString, c_char, c_int};
use std::path::Path;

/// The app ran, and everything that it tried was refused.
const ALL_REFUSED: c_int = 70;
/// The app ran, and something went through.
const WENT_THROUGH: c_int = 71;

/// What the shim inherits, and the app may not.
const INHERITED: c_int = 9;

/// `NUMBER ARGUMENT VALUE ERRNO PROGRAM [ARG…]`: becomes PROGRAM, for which system call
/// NUMBER fails with ERRNO, where ARGUMENT is not `-` only if that has VALUE. Number -1
/// is no call: the filter is there and refuses nothing.
pub fn refuse(arguments: &[&str]) -> c_int {
    let [number, argument, value, errno, program @ ..] = arguments else { return 64 };
    let number: i32 = number.parse().expect("a number");
    let errno: u32 = errno.parse().expect("an errno");
    let condition = argument.parse::<u32>().ok().map(|argument| (argument, value.parse().expect("a value")));
    filter(number as u32, condition, errno);
    let text: Vec<CString> = program.iter().map(|word| CString::new(*word).expect("no NUL")).collect();
    let mut argv: Vec<*const c_char> = text.iter().map(|word| word.as_ptr()).collect();
    argv.push(std::ptr::null());
    unsafe extern "C" {
        static environ: *const *const c_char;
    }
    // By execveat, so that execve can be the call that fails. It leaves a descriptor open.
    unsafe {
        libc::dup2(0, INHERITED);
        libc::syscall(libc::SYS_execveat, libc::AT_FDCWD, argv[0], argv.as_ptr(), environ, 0);
    }
    println!("{}: {}", program[0], std::io::Error::last_os_error());
    64
}

fn filter(number: u32, condition: Option<(u32, u32)>, errno: u32) {
    let load = |offset: u32| libc::sock_filter {
        code: (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16,
        jt: 0,
        jf: 0,
        k: offset,
    };
    let unless = |value: u32, over: u8| libc::sock_filter {
        code: (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16,
        jt: 0,
        jf: over,
        k: value,
    };
    let answer = |k: u32| libc::sock_filter { code: (libc::BPF_RET | libc::BPF_K) as u16, jt: 0, jf: 0, k };
    let mut program = vec![load(0)];
    match condition {
        // struct seccomp_data: number, architecture, instruction, six arguments of 64 bits.
        Some((argument, value)) => {
            program.extend([unless(number, 3), load(16 + 8 * argument), unless(value, 1)]);
        }
        None => program.push(unless(number, 1)),
    }
    program.extend([answer(libc::SECCOMP_RET_ERRNO | errno), answer(libc::SECCOMP_RET_ALLOW)]);
    let program = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    // Without no_new_privs, which is the launch's to set: so this takes CAP_SYS_ADMIN.
    let done =
        unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const program) };
    assert_eq!(done, 0, "seccomp: {}", std::io::Error::last_os_error());
}

/// What is tried, and of which layer it is that it is refused.
type Try = (&'static str, &'static str, fn(&Place) -> Result<(), c_int>);

/// Where it is tried.
struct Place {
    directory: CString,
    secret: CString,
    other: CString,
    file: CString,
    folder: CString,
    pipe: CString,
    moved: CString,
    port: u16,
    uid: u32,
}

const TRIES: &[Try] = &[
    ("user", "other uid", |place| {
        let (mut real, mut effective, mut saved) = (0, 0, 0);
        call(unsafe { libc::getresuid(&mut real, &mut effective, &mut saved) }.into())?;
        allowed([real, effective, saved] != [place.uid; 3])
    }),
    ("capabilities", "more capabilities", |_| more_capabilities()),
    ("no_new_privs", "new privileges", |_| {
        let set = unsafe { libc::prctl(libc::PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) };
        allowed(set == 0)
    }),
    ("limits", "65 open files", |_| {
        let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        call(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) }.into())?;
        allowed(limit.rlim_max > 64)
    }),
    ("descriptors", "inherited", |_| call(unsafe { libc::fcntl(INHERITED, libc::F_GETFD) }.into())),
    ("mdwe", "executable memory", |_| {
        let rights = libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        let page = unsafe { libc::mmap(std::ptr::null_mut(), 4096, rights, flags, -1, 0) };
        if page == libc::MAP_FAILED { Err(errno()) } else { Ok(()) }
    }),
    ("environment", "preloaded code", |_| allowed(std::env::var_os("LD_PRELOAD").is_some())),
    ("landlock-files", "read", |place| open(&place.secret, libc::O_RDONLY)),
    ("landlock-files", "write", |place| open(&place.secret, libc::O_WRONLY)),
    ("landlock-files", "truncate", |place| call(unsafe { libc::truncate(place.secret.as_ptr(), 0) }.into())),
    ("landlock-files", "list", |place| open(&place.directory, libc::O_RDONLY | libc::O_DIRECTORY)),
    ("landlock-files", "create", |place| open(&place.file, libc::O_WRONLY | libc::O_CREAT)),
    ("landlock-files", "make a directory", |place| {
        call(unsafe { libc::mkdir(place.folder.as_ptr(), 0o700) }.into())
    }),
    ("landlock-files", "make a pipe", |place| {
        call(unsafe { libc::mkfifo(place.pipe.as_ptr(), 0o600) }.into())
    }),
    ("landlock-files", "rename", |place| {
        call(unsafe { libc::rename(place.secret.as_ptr(), place.moved.as_ptr()) }.into())
    }),
    ("landlock-files", "remove", |place| call(unsafe { libc::unlink(place.other.as_ptr()) }.into())),
    ("landlock-tcp", "connect", |place| tcp(place.port, libc::connect)),
    ("landlock-tcp", "bind", |_| tcp(0, libc::bind)),
    ("landlock-scope", "signal to the supervisor", |_| match unsafe { libc::getppid() } {
        parent @ 1.. => call(unsafe { libc::kill(parent, libc::SIGURG) }.into()),
        // getppid itself is what fails here.
        _ => Err(errno()),
    }),
    ("seccomp", "personality", |_| call(unsafe { libc::syscall(libc::SYS_personality, -1) })),
    ("seccomp", "unshare", |_| call(unsafe { libc::unshare(libc::CLONE_NEWUTS) }.into())),
    ("seccomp", "chroot", |_| call(unsafe { libc::chroot(c"/".as_ptr()) }.into())),
    ("seccomp", "raw socket", |_| {
        call(unsafe { libc::socket(libc::AF_INET, libc::SOCK_RAW, libc::IPPROTO_ICMP) }.into())
    }),
];

/// `DIRECTORY PORT UID`: tries it all, one line each, `LAYER: WHAT: through` or an errno; and
/// last to become another program. The exit code says the same where no line gets out.
pub fn attack(arguments: &[&str]) -> c_int {
    let [directory, port, uid] = arguments else { return 64 };
    let path =
        |name: &str| CString::new(Path::new(directory).join(name).to_str().expect("UTF-8")).expect("no NUL");
    let place = Place {
        directory: path("."),
        secret: path("secret"),
        other: path("other"),
        file: path("file"),
        folder: path("folder"),
        pipe: path("pipe"),
        moved: path("moved"),
        port: port.parse().expect("a port"),
        uid: uid.parse().expect("a uid"),
    };
    let mut through = false;
    let mut lines = String::new();
    for (layer, what, act) in TRIES {
        let result = act(&place);
        through |= result.is_ok();
        lines += &match result {
            Ok(()) => format!("{layer}: {what}: through\n"),
            Err(errno) => format!("{layer}: {what}: {errno}\n"),
        };
    }

    // A new file in a granted name, which only the supervisor can open for the app.
    let granted = open(&path("granted/new"), libc::O_WRONLY | libc::O_CREAT);
    lines += if granted.is_ok() { "granted\n" } else { "not granted\n" };
    unsafe { libc::write(1, lines.as_ptr().cast(), lines.len()) };
    // A program that no entry names; it says by its own exit code that it ran.
    let program = path("program");
    let argv = [program.as_ptr(), c"exit".as_ptr(), c"72".as_ptr(), std::ptr::null()];
    unsafe { libc::execve(program.as_ptr(), argv.as_ptr(), [std::ptr::null()].as_ptr()) };
    if through { WENT_THROUGH } else { ALL_REFUSED }
}

fn errno() -> c_int {
    std::io::Error::last_os_error().raw_os_error().unwrap_or(0)
}

fn call(answer: libc::c_long) -> Result<(), c_int> {
    if answer < 0 { Err(errno()) } else { Ok(()) }
}

/// For what is looked at and not tried: EPERM where it is as it should be.
fn allowed(yes: bool) -> Result<(), c_int> {
    if yes { Ok(()) } else { Err(libc::EPERM) }
}

fn open(path: &CStr, flags: c_int) -> Result<(), c_int> {
    let fd = unsafe { libc::open(path.as_ptr(), flags | libc::O_CLOEXEC, 0o600) };
    call(fd.into())?;
    unsafe { libc::close(fd) };
    Ok(())
}

/// Any but CAP_NET_BIND_SERVICE, now or to be had.
fn more_capabilities() -> Result<(), c_int> {
    const NET_BIND_SERVICE: u32 = 1 << 10;
    // linux/capability.h: version 3 and this process; effective, permitted, inheritable, twice.
    let header = [0x2008_0522u32, 0];
    let mut sets = [0u32; 6];
    call(unsafe { libc::syscall(libc::SYS_capget, header.as_ptr(), sets.as_mut_ptr()) })?;
    let has_any = sets.iter().enumerate().any(|(index, set)| match index {
        0..3 => set & !NET_BIND_SERVICE != 0,
        _ => *set != 0,
    });
    let bound = (0..64).filter(|capability| *capability != 10);
    let bounding = bound.map(|capability| unsafe { libc::prctl(libc::PR_CAPBSET_READ, capability, 0, 0, 0) });
    allowed(has_any || bounding.into_iter().any(|there| there == 1))
}

type OnAddress = unsafe extern "C" fn(c_int, *const libc::sockaddr, libc::socklen_t) -> c_int;

fn tcp(port: u16, act: OnAddress) -> Result<(), c_int> {
    let socket = unsafe { libc::socket(libc::AF_INET, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0) };
    call(socket.into())?;
    let address = libc::sockaddr_in {
        sin_family: libc::AF_INET as u16,
        sin_port: port.to_be(),
        sin_addr: libc::in_addr { s_addr: u32::from_be_bytes([127, 0, 0, 1]).to_be() },
        sin_zero: [0; 8],
    };
    let size = size_of_val(&address) as libc::socklen_t;
    let result = call(unsafe { act(socket, (&raw const address).cast(), size) }.into());
    unsafe { libc::close(socket) };
    result
}
