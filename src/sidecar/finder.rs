//! Finds the peer's process by its pid file or its command line, again for each reading.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use procfs::process::{Process, Stat};
use procfs::{FromReadSI, KernelStats, ProcError, ProcResult};

use crate::config::ProcessBy;

use super::host::{explain, seconds};
use super::pid_file::read_pid;

/// How much later than its pid file a process can have started. A pid file is written after the
/// start, but the clock can be adjusted in between.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(60);

/// Longest chain of parents that is followed, in case `/proc` contains a cycle.
const MAX_ANCESTORS: usize = 256;

/// The result of a search.
pub(super) enum Found {
    /// The process runs.
    Running(Process, Box<Stat>),
    /// The process does not run, for this reason.
    Gone(String),
    /// It is unknown whether the process runs, for this reason.
    Unknown(String),
}

/// Identifies a process even if its id is reused later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ProcessIdentity {
    pid: i32,
    /// Start time, in clock ticks since the boot of the host.
    started: u64,
}

/// Finds the process of one peer.
#[derive(Clone, Debug)]
pub(super) struct Finder {
    proc: PathBuf,
    by: ProcessBy,
    /// The process found last, and when its pid file was written.
    last: Option<(ProcessIdentity, Option<SystemTime>)>,
}

/// A process whose command line contains the configured text.
struct Match {
    process: Process,
    stat: Stat,
    command: String,
    /// The pid of its parent, of the parent's parent, and so on.
    ancestors: Vec<i32>,
}

impl ProcessIdentity {
    const fn new(stat: &Stat) -> Self {
        Self {
            pid: stat.pid,
            started: stat.starttime,
        }
    }
}

impl Finder {
    /// Creates a finder that searches `proc`, which is `/proc` except in tests.
    pub(super) const fn new(proc: PathBuf, by: ProcessBy) -> Self {
        Self {
            proc,
            by,
            last: None,
        }
    }

    /// Searches once. Blocks.
    pub(super) fn find(&mut self) -> Found {
        match self.by.clone() {
            ProcessBy::PidFile(path) => self.by_pid_file(&path),
            ProcessBy::Command(text) => self.by_command(&text),
        }
    }

    fn by_pid_file(&mut self, path: &Path) -> Found {
        let (pid, written) = match read_pid(path) {
            Ok(pid) => pid,
            Err(found) => return found,
        };
        let file = path.display();
        if own_pid() == Some(pid) {
            return Found::Gone(format!("{file} contains the process id of this agent"));
        }
        let (process, stat) = match self.process(pid) {
            Ok(process) => process,
            Err(ProcError::NotFound(_)) => {
                return self.not_found(format!("process {pid} of {file} does not run"));
            }
            Err(error) => return Found::Unknown(explain(&error)),
        };
        let identity = ProcessIdentity::new(&stat);
        let reused = match self.last {
            // The pid file has not changed since it led to a process, so only that process can be
            // the peer.
            Some((last, last_written)) if last_written == written && last.pid == pid => {
                last != identity
            }
            _ => match (self.started(&stat), written) {
                (Ok(started), Some(written)) => started > written + CLOCK_TOLERANCE,
                _ => false,
            },
        };
        if reused {
            return Found::Gone(format!(
                "process {pid} started after {file} was written, so its id was given to another process; if the peer \
                 runs, it must write the file again"
            ));
        }
        self.last = Some((identity, written));
        Found::Running(process, Box::new(stat))
    }

    fn by_command(&mut self, text: &str) -> Found {
        let processes = match procfs::process::all_processes_with_root(&self.proc) {
            Ok(processes) => processes,
            Err(error) => return Found::Unknown(explain(&error)),
        };
        let own = own_pid();
        let mut denied = false;
        let mut matches = Vec::new();
        for process in processes.flatten() {
            if Some(process.pid()) == own {
                continue;
            }
            match command_line(&process) {
                Ok(command) if command.contains(text) => {
                    // A process that has ended meanwhile is skipped.
                    if let Ok(stat) = process.stat() {
                        let ancestors = self.ancestors(&stat);
                        matches.push(Match {
                            process,
                            stat,
                            command,
                            ancestors,
                        });
                    }
                }
                Ok(_) => {}
                Err(error) => denied |= matches!(error, ProcError::PermissionDenied(_)),
            }
        }
        let mut matches = without_starters_and_forks(matches);
        if matches.len() > 1 {
            let last = self.last.map(|(last, _)| last);
            let again = matches
                .iter()
                .position(|it| Some(ProcessIdentity::new(&it.stat)) == last);
            match again {
                Some(again) => matches = vec![matches.swap_remove(again)],
                None => return ambiguous(text, &matches),
            }
        }
        match matches.pop() {
            Some(Match { process, stat, .. }) => {
                self.last = Some((ProcessIdentity::new(&stat), None));
                Found::Running(process, Box::new(stat))
            }
            None if denied => Found::Unknown(
                "the command lines of other users' processes are hidden from this agent; run it as the peer's user"
                    .to_owned(),
            ),
            None => self.not_found(format!("no process has {text:?} in its command line")),
        }
    }

    /// A process that is not found does not run, unless the processes of other users are hidden
    /// from this agent.
    fn not_found(&self, why: String) -> Found {
        if self.proc.join("1").exists() {
            Found::Gone(why)
        } else {
            Found::Unknown(format!(
                "{why}, as far as this agent can see: processes of other users are hidden from it (hidepid, ProtectProc=)"
            ))
        }
    }

    /// Reads a running process.
    fn process(&self, pid: i32) -> ProcResult<(Process, Stat)> {
        let path = self.proc.join(pid.to_string());
        let process = Process::new_with_root(path.clone())?;
        let stat = process.stat()?;
        // A zombie has ended; its parent has not collected its exit status yet.
        if matches!(stat.state, 'Z' | 'X') {
            return Err(ProcError::NotFound(Some(path)));
        }
        Ok((process, stat))
    }

    fn ancestors(&self, stat: &Stat) -> Vec<i32> {
        let mut ancestors = Vec::new();
        let mut next = stat.ppid;
        while next > 0 && ancestors.len() < MAX_ANCESTORS {
            ancestors.push(next);
            next = self.process(next).map_or(0, |(_, stat)| stat.ppid);
        }
        ancestors
    }

    /// Returns when a process started, according to the current wall clock.
    pub(super) fn started(&self, stat: &Stat) -> ProcResult<SystemTime> {
        let stats = KernelStats::from_file(self.proc.join("stat"), procfs::current_system_info())?;
        let after_boot = Duration::from_secs_f64(seconds(stat.starttime));
        Ok(SystemTime::UNIX_EPOCH + Duration::from_secs(stats.btime) + after_boot)
    }
}

/// Removes the processes that cannot be the peer: a shell or `sudo` that started it has the peer's
/// command line in its own, and a forked child has that of its parent until it executes another
/// program.
fn without_starters_and_forks(matches: Vec<Match>) -> Vec<Match> {
    let commands: BTreeMap<i32, String> = matches
        .iter()
        .map(|it| (it.stat.pid, it.command.clone()))
        .collect();
    let forked = |it: &Match| commands.get(&it.stat.ppid) == Some(&it.command);
    let mut left: Vec<Match> = matches.into_iter().filter(|it| !forked(it)).collect();
    let starters: Vec<i32> = left.iter().flat_map(|it| it.ancestors.clone()).collect();
    left.retain(|it| !starters.contains(&it.stat.pid));
    left.sort_by_key(|it| it.stat.pid);
    left
}

fn ambiguous(text: &str, matches: &[Match]) -> Found {
    let pids: Vec<String> = matches.iter().map(|it| it.stat.pid.to_string()).collect();
    Found::Unknown(format!(
        "{} processes have {text:?} in their command lines ({}); configure a longer part of the peer's command line",
        pids.len(),
        pids.join(", ")
    ))
}

/// Returns the arguments with spaces between them. Kernel threads and zombies have none.
fn command_line(process: &Process) -> ProcResult<String> {
    let mut bytes = Vec::new();
    process
        .open_relative("cmdline")?
        .read_to_end(&mut bytes)
        .map_err(ProcError::from)?;
    let text = String::from_utf8_lossy(&bytes);
    Ok(text.trim_end_matches('\0').replace('\0', " "))
}

fn own_pid() -> Option<i32> {
    i32::try_from(std::process::id()).ok()
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};

    use crate::sidecar::test_host::{BOOT_TIME, TestHost};

    use super::*;

    impl Finder {
        /// The pid, or whether the process is known not to run and why.
        fn outcome(&mut self) -> Result<i32, (Option<bool>, String)> {
            match self.find() {
                Found::Running(_, stat) => Ok(stat.pid),
                Found::Gone(why) => Err((Some(false), why)),
                Found::Unknown(why) => Err((None, why)),
            }
        }
    }

    fn by_command(host: &TestHost) -> Finder {
        Finder::new(
            host.dirs().proc,
            ProcessBy::Command("convex.jar".to_owned()),
        )
    }

    /// With a pid file that contains `pid` and was written `after_boot` seconds after the host
    /// started.
    fn by_pid_file(host: &TestHost, pid: &str, after_boot: u64) -> Finder {
        let path = host.path().join("peer.pid");
        fs::write(&path, pid).unwrap();
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(BOOT_TIME + after_boot);
        let file = File::options().write(true).open(&path).unwrap();
        file.set_modified(at).unwrap();
        Finder::new(host.dirs().proc, ProcessBy::PidFile(path))
    }

    fn assert_not_found(finder: &mut Finder, expected: Option<bool>, part: &str) {
        let (up, why) = finder.outcome().unwrap_err();
        assert_eq!(up, expected, "{why}");
        assert!(why.contains(part), "{why}");
    }

    #[test]
    fn a_process_that_started_the_peer_is_not_the_peer() {
        let host = TestHost::new();
        host.add_process(20, 1, 5, "sudo -u convex sh -c java -jar convex.jar");
        host.add_process(21, 20, 5, "sh -c java -jar convex.jar");
        host.add_process(22, 21, 6, "java -jar convex.jar peer start");
        host.add_process(23, 1, 6, "java -jar other.jar");
        assert_eq!(by_command(&host).outcome(), Ok(22));
        host.add_process(21, 20, 5, "bash");
        assert_eq!(
            by_command(&host).outcome(),
            Ok(22),
            "with another process in between"
        );
    }

    #[test]
    fn a_forked_child_that_has_not_executed_its_program_is_not_the_peer() {
        let host = TestHost::new();
        host.add_process(22, 1, 6, "java -jar convex.jar");
        host.add_process(40, 22, 9, "java -jar convex.jar");
        assert_eq!(by_command(&host).outcome(), Ok(22));
    }

    #[test]
    fn of_several_matches_only_the_process_found_before_is_the_peer() {
        let host = TestHost::new();
        host.add_process(22, 1, 6, "java -jar convex.jar peer start");
        let mut finder = by_command(&host);
        assert_eq!(finder.outcome(), Ok(22));
        host.add_process(30, 1, 7, "java -jar convex.jar peer start");
        assert_eq!(finder.outcome(), Ok(22), "the process found before");
        let ambiguous = "2 processes have \"convex.jar\" in their command lines (22, 30)";
        assert_not_found(&mut by_command(&host), None, ambiguous);
        host.add_process(22, 1, 8, "java -jar convex.jar peer start");
        assert_not_found(&mut finder, None, ambiguous);
        host.remove_process(22);
        assert_eq!(finder.outcome(), Ok(30));
    }

    #[test]
    fn a_peer_that_does_not_run_is_found_once_it_starts() {
        let host = TestHost::new();
        let mut finder = by_command(&host);
        assert_not_found(&mut finder, Some(false), "no process has \"convex.jar\"");
        host.add_process(50, 1, 9, "java -jar convex.jar");
        assert_eq!(finder.outcome(), Ok(50));
        host.remove_process(50);
        assert_not_found(&mut finder, Some(false), "no process has");
    }

    #[test]
    fn a_hidden_process_is_unknown_and_not_gone() {
        let host = TestHost::new();
        host.remove_process(1);
        assert_not_found(&mut by_command(&host), None, "hidden from it");
        assert_not_found(&mut by_pid_file(&host, "22", 10), None, "hidden from it");
    }

    #[test]
    fn a_pid_file_leads_to_the_peer() {
        let host = TestHost::new();
        host.add_process(22, 1, 6, "java");
        assert_eq!(by_pid_file(&host, " 22\n", 7).outcome(), Ok(22));
        assert_not_found(
            &mut by_pid_file(&host, "23", 7),
            Some(false),
            "does not run",
        );
        for text in ["", "x", "-5", "0"] {
            let finder = &mut by_pid_file(&host, text, 7);
            assert_not_found(finder, None, "is not a process id");
        }
        let own = std::process::id().to_string();
        let finder = &mut by_pid_file(&host, &own, 7);
        assert_not_found(finder, Some(false), "this agent");
        let mut finder = by_pid_file(&host, "22", 7);
        fs::remove_file(host.path().join("peer.pid")).unwrap();
        assert_not_found(&mut finder, Some(false), "cannot read");
    }

    #[test]
    fn a_zombie_does_not_run() {
        let host = TestHost::new();
        host.add_process(22, 1, 6, "java");
        let stat = host.path().join("proc/22/stat");
        let zombie = fs::read_to_string(&stat).unwrap().replace(") S ", ") Z ");
        fs::write(&stat, zombie).unwrap();
        let finder = &mut by_pid_file(&host, "22", 7);
        assert_not_found(finder, Some(false), "does not run");
    }

    #[test]
    fn a_process_that_was_given_the_id_later_is_not_the_peer() {
        let host = TestHost::new();
        host.add_process(22, 1, 5000, "vi");
        let mut finder = by_pid_file(&host, "22", 1000);
        assert_not_found(&mut finder, Some(false), "given to another process");

        let mut finder = by_pid_file(&host, "22", 5001);
        assert_eq!(finder.outcome(), Ok(22));
        host.add_process(22, 1, 5003, "vi");
        // Its start time would fit the file, but another process was found by that file before.
        assert_not_found(&mut finder, Some(false), "given to another process");
        let mut finder = by_pid_file(&host, "22", 5004);
        assert_eq!(finder.outcome(), Ok(22), "the file was written again");
    }

    #[test]
    fn a_peer_found_before_is_still_found_after_the_clock_is_set() {
        let host = TestHost::new();
        host.add_process(22, 1, 100, "java");
        let mut finder = by_pid_file(&host, "22", 101);
        assert_eq!(finder.outcome(), Ok(22));
        let later = format!(
            "cpu  1 2 3 4 5 6 7 0 0 0\nctxt 1\nbtime {}\nprocesses 9\n",
            BOOT_TIME + 3600
        );
        host.write("proc/stat", &later);
        assert_eq!(finder.outcome(), Ok(22));
    }
}
