//! The supervisor's own memory.

use std::ffi::{c_int, c_void};
use std::fs::File;
use std::os::fd::AsRawFd;
use std::ptr;

use nix::errno::Errno;

use super::check;

/// Limits malloc to one arena for all threads (mallopt(3), M_ARENA_MAX): glibc would reserve
/// 128 MiB of addresses for each thread, and an enforcing supervisor's VmSize be 131 MB larger.
pub fn share_one_heap() {
    // SAFETY: sets a number that later allocations look at. It cannot fail for this one.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}

/// Frees memory that only the launch needed: free pages of the heap (malloc_trim(3)), and the
/// program's own read-only pages, which the kernel reads from its file again on the next access
/// (madvise(2), MADV_DONTNEED). Of 2.6 MB that an enforcing supervisor has resident after the
/// launch, 1.0 MB remain.
///
/// # Errors
/// Every errno of madvise(2); the pages then stay mapped.
pub fn trim_memory() -> Result<(), Errno> {
    // SAFETY: it takes a number, and frees no memory that is allocated.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::malloc_trim(0);
    }
    let mut answer: Result<(), Errno> = Ok(());
    // SAFETY: the function gets the pointer that is given here, and no other.
    unsafe { libc::dl_iterate_phdr(Some(drop_pages), ptr::from_mut(&mut answer).cast()) };
    answer
}

/// Drops the pages of the first object, the program itself, in segments that are not writable.
unsafe extern "C" fn drop_pages(info: *mut libc::dl_phdr_info, _: usize, answer: *mut c_void) -> c_int {
    // SAFETY: dl_iterate_phdr(3) lends an object and as many headers as it says; the
    // answer is `trim_memory`'s, which waits.
    let (info, answer) = unsafe { (&*info, &mut *answer.cast::<Result<(), Errno>>()) };
    // SAFETY: as above.
    let headers = unsafe { std::slice::from_raw_parts(info.dlpi_phdr, info.dlpi_phnum.into()) };
    let written = |header: &&libc::Elf64_Phdr| header.p_flags & libc::PF_W != 0;
    for segment in headers.iter().filter(|header| header.p_type == libc::PT_LOAD && !written(header)) {
        // SAFETY: sysconf takes a number.
        let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as u64;
        let start = (info.dlpi_addr + segment.p_vaddr) & !(page - 1);
        let end = (info.dlpi_addr + segment.p_vaddr + segment.p_memsz).next_multiple_of(page);
        // SAFETY: a private, unmodified mapping of a file reads the same after it.
        let dropped = check(i64::from(unsafe {
            libc::madvise(start as *mut c_void, (end - start) as usize, libc::MADV_DONTNEED)
        }));
        if let Err(errno) = dropped {
            *answer = Err(errno);
        }
    }
    // The first object only.
    1
}

/// Maps a page as writable and executable, and unmaps it: fails where that is refused.
///
/// # Errors
/// EACCES where MDWE or a filter refuses; every other errno of mmap(2).
pub fn map_writable_and_executable() -> Result<(), Errno> {
    const PAGE: usize = 4096;
    let rights = libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC;
    let kind = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: the kernel chooses the address, so no mapping is replaced; the address does not
    // leave this block.
    unsafe {
        let page = libc::mmap(ptr::null_mut(), PAGE, rights, kind, -1, 0);
        if page == libc::MAP_FAILED {
            return Err(Errno::last());
        }
        check(libc::munmap(page, PAGE).into()).map(drop)
    }
}

/// Calls `act` with the address at which the first page of a file is mapped for reading, and
/// unmaps it.
///
/// # Errors
/// Every errno of mmap(2) and munmap(2).
pub fn while_mapped<T>(file: &File, act: impl FnOnce(u64) -> T) -> Result<T, Errno> {
    const PAGE: usize = 4096;
    let fd = file.as_raw_fd();
    // SAFETY: the kernel chooses the address, so no mapping is replaced; `act` gets it as a
    // number, and safe code does not read the page, which may lie beyond the end of the file.
    unsafe {
        let page = libc::mmap(ptr::null_mut(), PAGE, libc::PROT_READ, libc::MAP_PRIVATE, fd, 0);
        if page == libc::MAP_FAILED {
            return Err(Errno::last());
        }
        let result = act(page as u64);
        check(libc::munmap(page, PAGE).into())?;
        Ok(result)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;

    /// Whether the page that holds this byte is mapped: bit 63 of its entry (proc(5)).
    fn is_mapped(byte: &u8) -> bool {
        let pagemap = std::fs::File::open("/proc/self/pagemap").expect("own /proc");
        let mut entry = [0; 8];
        let page = ptr::from_ref(byte) as u64 / 4096;
        pagemap.read_exact_at(&mut entry, page * 8).expect("an entry");
        u64::from_ne_bytes(entry) >> 63 == 1
    }

    #[test]
    fn trimmed_pages_are_unmapped_and_read_as_before() {
        // Wide, since a fault maps what lies around it too.
        static TEXT: [u8; 1 << 20] = [7; 1 << 20];
        let middle = &TEXT[TEXT.len() / 2];
        assert_eq!(std::hint::black_box(*middle), 7);
        assert!(is_mapped(middle));
        trim_memory().expect("madvise");
        assert!(!is_mapped(middle));
        assert!(TEXT.iter().all(|byte| std::hint::black_box(*byte) == 7));
    }
}
