//! The supervisor's own memory.

use std::ffi::{c_int, c_void};
use std::fs::File;
use std::os::fd::AsRawFd;
use std::ptr;

use nix::errno::Errno;

use super::check;

/// Keeps one heap for all threads, where the C library would reserve 128 MiB of addresses
/// for each (mallopt(3)): without it an enforcing supervisor's VmSize is 131 MB more. Our
/// threads have little to allocate.
pub fn share_one_heap() {
    // SAFETY: sets a number that later allocations look at. It cannot fail for this one.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}

/// Gives back what only the launch needed: free pages of the heap, and the program's
/// own pages, which its file still holds and which the kernel maps again when they
/// are used (madvise(2), MADV_DONTNEED). Of the 2.6 MB that an enforcing supervisor has
/// resident after the launch, 1.0 MB remain.
///
/// # Errors
/// Every errno of madvise(2); the pages are then still there.
pub fn give_back() -> Result<(), Errno> {
    // SAFETY: it takes a number, and frees only what no allocation holds.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::malloc_trim(0);
    }
    let mut answer: Result<(), Errno> = Ok(());
    // SAFETY: the function gets the pointer that is given here, and no other.
    unsafe { libc::dl_iterate_phdr(Some(drop_pages), ptr::from_mut(&mut answer).cast()) };
    answer
}

/// Drops the pages of the first object, which is the program itself, where it cannot
/// have written to them.
unsafe extern "C" fn drop_pages(info: *mut libc::dl_phdr_info, _: usize, answer: *mut c_void) -> c_int {
    // SAFETY: dl_iterate_phdr(3) lends an object and as many headers as it says; the
    // answer is `give_back`'s, which waits.
    let (info, answer) = unsafe { (&*info, &mut *answer.cast::<Result<(), Errno>>()) };
    // SAFETY: as above.
    let headers = unsafe { std::slice::from_raw_parts(info.dlpi_phdr, info.dlpi_phnum.into()) };
    let written = |header: &&libc::Elf64_Phdr| header.p_flags & libc::PF_W != 0;
    for segment in headers.iter().filter(|header| header.p_type == libc::PT_LOAD && !written(header)) {
        // SAFETY: sysconf takes a number.
        let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) } as u64;
        let start = (info.dlpi_addr + segment.p_vaddr) & !(page - 1);
        let end = (info.dlpi_addr + segment.p_vaddr + segment.p_memsz).next_multiple_of(page);
        // SAFETY: a private mapping of a file that nobody wrote to reads as before.
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

/// Whether memory may be written and executed: a page is mapped so, and unmapped.
///
/// # Errors
/// EACCES where MDWE or a filter refuses; every other errno of mmap(2).
pub fn map_writable_and_executable() -> Result<(), Errno> {
    const PAGE: usize = 4096;
    let rights = libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC;
    let kind = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: the kernel chooses where, so nothing that is there is replaced; nobody
    // else knows of the page when it is unmapped.
    unsafe {
        let page = libc::mmap(ptr::null_mut(), PAGE, rights, kind, -1, 0);
        if page == libc::MAP_FAILED {
            return Err(Errno::last());
        }
        check(libc::munmap(page, PAGE).into()).map(drop)
    }
}

/// Does something while the first page of a file is mapped, for reading: at this address.
///
/// # Errors
/// Every errno of mmap(2) and munmap(2).
pub fn while_mapped<T>(file: &File, act: impl FnOnce(u64) -> T) -> Result<T, Errno> {
    const PAGE: usize = 4096;
    let fd = file.as_raw_fd();
    // SAFETY: the kernel chooses where, so nothing that is there is replaced; nobody reads
    // the page, which may lie behind the end of the file, and nobody has its address once
    // it is unmapped.
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
    fn what_is_given_back_is_no_longer_mapped_and_reads_as_before() {
        // Wide, since a fault maps what lies around it too.
        static TEXT: [u8; 1 << 20] = [7; 1 << 20];
        let middle = &TEXT[TEXT.len() / 2];
        assert_eq!(std::hint::black_box(*middle), 7);
        assert!(is_mapped(middle));
        give_back().expect("madvise");
        assert!(!is_mapped(middle));
        assert!(TEXT.iter().all(|byte| std::hint::black_box(*byte) == 7));
    }
}
