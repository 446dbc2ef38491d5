//! Whether the kernel says that its clock is synchronised. A crate of its own, because asking takes
//! the only unsafe code of the workspace.

/// Returns whether the kernel says that its clock is synchronised with a source of time; none if it
/// does not say, as where a system call filter forbids to ask.
#[cfg(target_os = "linux")]
#[must_use]
#[expect(unsafe_code, reason = "no crate wraps adjtimex(2) for reading")]
pub fn is_synchronised() -> Option<bool> {
    // SAFETY: the struct consists of integers, for which zero is valid, and `modes` 0 only reads.
    let mut state: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is valid for the length of the call, which keeps no copy of it.
    let clock = unsafe { libc::adjtimex(&raw mut state) };
    (clock >= 0).then_some(clock != libc::TIME_ERROR && state.status & libc::STA_UNSYNC == 0)
}

/// Returns none: only Linux is asked.
#[cfg(not(target_os = "linux"))]
#[must_use]
pub fn is_synchronised() -> Option<bool> {
    None
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    #[test]
    fn the_kernel_gives_the_same_answer_twice() {
        assert_eq!(super::is_synchronised(), super::is_synchronised());
    }
}
