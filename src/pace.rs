//! Who has the core when, and for how long.
//!
//! The kernel lets a thread go on for up to 4 ms while others wait, whatever their niceness; inside a system call often for
//! as long as that takes, which for megabytes of new memory is many milliseconds. Whoever works for long in the background
//! offers the core more often than that, and asks the kernel for little at once; whoever is woken for something short asks
//! not to wait for that long.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, Read, Write};
use std::time::Duration;

use rustix::process::setpriority_process;
use tokio::runtime::Builder;

/// Bytes to hash or copy between two pauses, and to read or write with one system call: some 50 µs.
pub const BYTES: usize = 64 << 10;

/// Guests have 4.
const NICENESS: i32 = 6;

/// Nanoseconds: the shortest slice that the kernel knows.
const SLICE: u64 = 100_000;

/// Lets those who wait have the core.
pub fn pause() {
    std::thread::yield_now();
}

/// Makes this thread a little less important than those that serve sockets and run guests. For long work.
pub fn stand_back() {
    let _ = setpriority_process(None, NICENESS);
}

/// Reads what is left of a file, at most so many bytes of it. In pieces: between system calls, whoever waits and has more of a
/// right to the core gets it.
pub fn read(file: &File, most: u64) -> io::Result<Vec<u8>> {
    let size = file.metadata()?.len().min(most);
    let mut content = Vec::with_capacity(usize::try_from(size).unwrap_or_default());
    let mut left = file.take(most);
    while left.by_ref().take(BYTES as u64).read_to_end(&mut content)? > 0 {}
    Ok(content)
}

/// Writes all of this; see [`read`].
pub fn write(mut target: impl Write, content: &[u8]) -> io::Result<()> {
    content.chunks(BYTES).try_for_each(|piece| target.write_all(piece))
}

/// Has this thread run soon after it wakes, also where another one is in the middle of its turn. It gets no more of the
/// core for that, only shorter turns.
///
/// For threads that wake often, and do little each time. Cheap when it is called again. Not inherited by threads and
/// processes that this one starts. Without effect on kernels before Linux 6.12.
pub fn prompt() {
    thread_local!(static DONE: Cell<bool> = const { Cell::new(false) });
    if !DONE.replace(true) {
        ask_for_slice(SLICE);
    }
}

/// The threads of what serves clients, and one for long work (`spawn_blocking`). That one stays, and does one piece after
/// the other: the allocator keeps megabytes for each thread that has built and dropped what a swap needs, also after its end.
/// So no such work may wait for another piece of it.
#[must_use]
pub fn threads() -> Builder {
    let mut builder = Builder::new_multi_thread();
    // Only those wait for clients that park.
    builder.enable_all().max_blocking_threads(1).thread_keep_alive(Duration::MAX).on_thread_park(prompt);
    builder
}

fn ask_for_slice(nanoseconds: u64) {
    let mut attributes = std::mem::MaybeUninit::<libc::sched_attr>::zeroed();
    let size = size_of::<libc::sched_attr>();
    #[expect(unsafe_code, reason = "nobody has a safe name for these system calls")]
    // SAFETY: they write and read the attributes, of the size that they are told, and for these all zeros are valid. Nothing
    // changes but how this thread is scheduled. Where that is refused, it has the slices of all others.
    unsafe {
        if libc::syscall(libc::SYS_sched_getattr, 0, attributes.as_mut_ptr(), size, 0) != 0 {
            return;
        }
        let mut attributes = attributes.assume_init();
        if ![libc::SCHED_OTHER, libc::SCHED_BATCH].contains(&attributes.sched_policy.cast_signed()) {
            return;
        }
        attributes.sched_flags |= u64::from(libc::SCHED_FLAG_RESET_ON_FORK.cast_unsigned());
        attributes.sched_runtime = nanoseconds;
        libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Seek;

    use rustix::process::getpriority_process;

    use super::*;

    /// Milliseconds, on kernels that tell.
    fn slice() -> Option<f64> {
        let told = std::fs::read_to_string("/proc/thread-self/sched").ok()?;
        let line = told.lines().find(|line| line.starts_with("se.slice"))?;
        Some(line.rsplit(' ').next()?.parse::<f64>().unwrap() / 1e6)
    }

    #[test]
    fn what_is_written_in_pieces_is_read_again_up_to_the_bound() {
        for size in [0, 1, BYTES, 2 * BYTES + 7] {
            let content: Vec<u8> = (0..=250).cycle().take(size).collect();
            let mut file = tempfile::tempfile().unwrap();
            write(&file, &content).unwrap();
            for most in [u64::MAX, size as u64, size as u64 / 2] {
                file.rewind().unwrap();
                let expected = &content[..size.min(usize::try_from(most).unwrap())];
                assert!(read(&file, most).unwrap() == expected, "{most} of {size} bytes");
            }
        }
    }

    #[test]
    fn turns_become_shorter_and_niceness_stays() {
        let tell = || (slice(), getpriority_process(None).unwrap());
        let (before, after, inherited) = std::thread::spawn(move || {
            rustix::process::nice(3).unwrap();
            let before = tell();
            prompt();
            (before, tell(), std::thread::spawn(tell).join().unwrap())
        })
        .join()
        .unwrap();
        assert_eq!((before.1, after.1, inherited), (3, 3, before));
        // Kernels before 6.12 have one slice for all, and tell that they have not changed it.
        assert!(after.0 == Some(0.1) || after.0 == before.0, "{before:?} {after:?}");
    }
}
