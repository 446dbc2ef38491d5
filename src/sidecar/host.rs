//! Where the host shows its processes, and what its clock ticks and errors mean.

use std::path::PathBuf;

use procfs::ProcError;

/// The directories of the host that are read. Only tests use others.
#[derive(Clone, Debug)]
pub(super) struct HostDirs {
    pub(super) proc: PathBuf,
    pub(super) cgroup: PathBuf,
}

impl Default for HostDirs {
    fn default() -> Self {
        Self {
            proc: "/proc".into(),
            cgroup: "/sys/fs/cgroup".into(),
        }
    }
}

impl HostDirs {
    /// Returns the root directory as the process `pid` sees it.
    pub(super) fn root_of(&self, pid: i32) -> PathBuf {
        self.proc.join(pid.to_string()).join("root")
    }
}

/// Converts clock ticks to seconds.
#[expect(
    clippy::cast_precision_loss,
    reason = "exact up to 2^53 ticks, which is longer than any machine runs"
)]
pub(super) fn seconds(ticks: u64) -> f64 {
    ticks as f64 / procfs::ticks_per_second() as f64
}

/// Explains an error of `/proc`, and what to do about it.
pub(super) fn explain(error: &ProcError) -> String {
    match error {
        ProcError::PermissionDenied(_) => {
            "permission denied; run the agent as the peer's user, or with CAP_SYS_PTRACE".to_owned()
        }
        error => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_permission_error_says_what_to_do() {
        let message = explain(&ProcError::PermissionDenied(None));
        assert!(message.contains("CAP_SYS_PTRACE"), "{message}");
    }
}
