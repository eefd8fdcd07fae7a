//! The paths of the groups `@runtime`, `@names` and `@elsewhere` of `files`.

/// `@runtime`, for reading: libraries and how they are found (glibc's cache and
/// preload list, musl's path), locale and time zone, and the two corners of /sys
/// that malloc and Go's runtime look at for processors and huge pages.
pub(crate) const RUNTIME: &[&str] = &[
    "/lib",
    "/lib32",
    "/lib64",
    "/usr/lib",
    "/usr/lib32",
    "/usr/lib64",
    "/usr/local/lib",
    "/usr/local/lib64",
    "/etc/ld.so.cache",
    "/etc/ld.so.preload",
    "/etc/ld-musl-x86_64.path",
    "/etc/ld-musl-aarch64.path",
    "/usr/share/locale",
    "/usr/share/zoneinfo",
    "/etc/locale.alias",
    "/etc/localtime",
    "/etc/timezone",
    "/sys/devices/system/cpu",
    "/sys/kernel/mm/transparent_hugepage",
];

/// `@runtime`, for reading and writing.
pub(crate) const DEVICES: &[&str] = &["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"];

/// `@runtime`, for writing: what a process may set of itself alone. `comm`
/// is the name of one of its threads, as PR_SET_NAME sets it (glibc's
/// pthread_setname_np of another thread writes it), `coredump_filter` what a core
/// dump of it would hold (every JVM writes it when it starts), `oom_score_adj` how soon it is killed
/// where memory is short (postgres, sshd; less than it was takes CAP_SYS_RESOURCE), `loginuid` the
/// user that the audit log names (pam_loginuid, without which cron and sshd open no session).
/// `self` is the process that opens it.
pub(crate) const OWN_PROCESS: [&str; 4] =
    ["/proc/self/comm", "/proc/self/coredump_filter", "/proc/self/oom_score_adj", "/proc/self/loginuid"];

/// `@names`, for reading.
pub(crate) const NAMES: &[&str] = &[
    "/etc/hosts",
    "/etc/host.conf",
    "/etc/resolv.conf",
    "/etc/gai.conf",
    "/etc/nsswitch.conf",
    "/etc/passwd",
    "/etc/group",
    "/etc/services",
    "/etc/protocols",
];

/// `@gpu`, with all `/dev/nvidia*`: for reading, writing and ioctl(2), each as far as it is there.
pub(crate) const GPU_DEVICES: [&str; 3] = ["dri", "kfd", "dxg"];

/// `@gpu`, for reading, with the PCI buses of /sys/devices: what CUDA, ROCm and Mesa read of the
/// driver, the processors and memory beside them, and where images and the NVIDIA toolkit have
/// their libraries.
pub(crate) const GPU: &[&str] = &[
    "/proc/driver/nvidia",
    "/proc/driver/nvidia-caps",
    "/sys/bus/pci",
    "/sys/class/drm",
    "/sys/class/kfd",
    "/sys/dev/char",
    "/sys/devices/system/node",
    "/sys/devices/virtual/kfd",
    "/sys/module/amdgpu",
    "/sys/module/nvidia",
    "/sys/module/nvidia_uvm",
    "/usr/local/nvidia",
    "/usr/local/cuda",
    "/opt/rocm",
    "/usr/share/glvnd",
    "/usr/share/vulkan",
    "/etc/OpenCL",
    "/etc/vulkan",
];

/// The kernel's own trees, which `@elsewhere` excludes and which contain no program.
pub(crate) const KERNELS: [&str; 3] = ["/proc", "/sys", "/dev"];
/// The parts of /dev that an ordinary server needs nevertheless: shared memory and message queues
/// (sem_open, postgres, multiprocessing), and pseudoterminals.
pub(crate) const ELSEWHERE_DEVICES: [&str; 4] = ["/dev/shm", "/dev/mqueue", "/dev/pts", "/dev/ptmx"];

/// The loader's default directories of libraries (ld.so(8)), but for those below
/// /usr, which is a directory of programs where there is one.
pub(crate) const LIBRARIES: [&str; 2] = ["/lib", "/lib64"];
