//! Long work in pieces, between which others may have the core.
//!
//! The kernel lets a thread go on for up to 4 ms while others wait, whatever their niceness. Whoever works for long in the
//! background offers the core more often than that.

/// Bytes to hash or copy between two pauses: some 50 µs.
pub const BYTES: usize = 64 << 10;

/// Lets those who wait have the core.
pub fn pause() {
    std::thread::yield_now();
}
