//! Which process is the peer's: by its pid file or by its command line, found anew at each look.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use procfs::process::{Process, Stat};
use procfs::{FromReadSI, KernelStats, ProcError, ProcResult};

use crate::config::ProcessBy;

/// A pid file is longer only when it is something else.
const MAX_PID_FILE: u64 = 64;

/// Whoever writes a pid file does it when the process is there, but the clock may have been set in between.
const CLOCK_SLACK: Duration = Duration::from_secs(60);

/// No chain of parents is as long; a file system that only looks like /proc could make an endless one.
const MAX_ANCESTORS: usize = 256;

/// What a look came to.
pub(super) enum Found {
    /// It is there.
    Running(Process, Box<Stat>),
    /// It is not there; why.
    Gone(String),
    /// That cannot be told; why.
    Unknown(String),
}

/// A process that no later one can be mistaken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) pid: i32,
    /// Clock ticks from the host's start to its own.
    started: u64,
}

/// Looks for one peer's process.
#[derive(Clone, Debug)]
pub(super) struct Finder {
    proc: PathBuf,
    by: ProcessBy,
    /// What was found last, and when its pid file was written.
    known: Option<(Known, Option<SystemTime>)>,
}

/// A process whose command line has what is looked for.
struct Match {
    process: Process,
    stat: Stat,
    command: String,
    /// Its parent, the parent's parent and so on.
    ancestors: Vec<i32>,
}

impl Known {
    pub(super) const fn of(stat: &Stat) -> Self {
        Self {
            pid: stat.pid,
            started: stat.starttime,
        }
    }
}

impl Finder {
    /// Looks in `proc`, which is `/proc` but in tests.
    pub(super) const fn new(proc: PathBuf, by: ProcessBy) -> Self {
        Self {
            proc,
            by,
            known: None,
        }
    }

    /// Looks once. Blocks.
    pub(super) fn find(&mut self) -> Found {
        match self.by.clone() {
            ProcessBy::PidFile(path) => self.by_pid_file(&path),
            ProcessBy::Command(piece) => self.by_command(&piece),
        }
    }

    fn by_pid_file(&mut self, path: &Path) -> Found {
        let (pid, written) = match read_pid(path) {
            Ok(found) => found,
            Err(found) => return found,
        };
        let shown = path.display();
        if own_pid() == Some(pid) {
            return Found::Gone(format!("{shown} holds the process id of this agent"));
        }
        let process = match self.process(pid) {
            Ok(found) => found,
            Err(ProcError::NotFound(_)) => {
                return self.not_seen(format!("process {pid} of {shown} does not run"));
            }
            Err(error) => return Found::Unknown(why(&error)),
        };
        let (process, stat) = process;
        let now = Known::of(&stat);
        let reused = match self.known {
            // The file is the one that named the process before: nobody else can have its id and its start.
            Some((known, at)) if at == written && known.pid == pid => known != now,
            _ => match (self.started(&stat), written) {
                (Ok(started), Some(written)) => started > written + CLOCK_SLACK,
                _ => false,
            },
        };
        if reused {
            return Found::Gone(format!(
                "process {pid} started after {shown} was written: its id was given to another process; a peer that \
                 does run has to write the file anew"
            ));
        }
        self.known = Some((now, written));
        Found::Running(process, Box::new(stat))
    }

    fn by_command(&mut self, piece: &str) -> Found {
        let all = match procfs::process::all_processes_with_root(&self.proc) {
            Ok(all) => all,
            Err(error) => return Found::Unknown(why(&error)),
        };
        let own = own_pid();
        let mut denied = false;
        let mut matches = Vec::new();
        for process in all.flatten() {
            if Some(process.pid()) == own {
                continue;
            }
            match command_line(&process) {
                Ok(command) if command.contains(piece) => {
                    // One that ends meanwhile is none.
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
        let mut found = peers_own(matches);
        if found.len() > 1 {
            let known = self.known.map(|(known, _)| known);
            let again = found
                .iter()
                .position(|it| Some(Known::of(&it.stat)) == known);
            match again {
                Some(again) => found = vec![found.swap_remove(again)],
                None => return ambiguous(piece, &found),
            }
        }
        match found.pop() {
            Some(Match { process, stat, .. }) => {
                self.known = Some((Known::of(&stat), None));
                Found::Running(process, Box::new(stat))
            }
            None if denied => Found::Unknown(
                "the command lines of other users' processes are hidden from this agent; run it as the peer's user"
                    .to_owned(),
            ),
            None => self.not_seen(format!("no process has {piece:?} in its command line")),
        }
    }

    /// What is not seen does not run, unless this agent sees no processes but its own user's.
    fn not_seen(&self, why: String) -> Found {
        if self.proc.join("1").exists() {
            Found::Gone(why)
        } else {
            Found::Unknown(format!(
                "{why} that this agent can see, and those of other users are hidden from it (hidepid, ProtectProc=)"
            ))
        }
    }

    fn process(&self, pid: i32) -> ProcResult<(Process, Stat)> {
        let path = self.proc.join(pid.to_string());
        let process = Process::new_with_root(path.clone())?;
        let stat = process.stat()?;
        // A zombie has ended; only its parent has not taken note.
        if matches!(stat.state, 'Z' | 'X') {
            return Err(ProcError::NotFound(Some(path)));
        }
        Ok((process, stat))
    }

    fn ancestors(&self, stat: &Stat) -> Vec<i32> {
        let mut found = Vec::new();
        let mut next = stat.ppid;
        while next > 0 && found.len() < MAX_ANCESTORS {
            found.push(next);
            next = self.process(next).map_or(0, |(_, stat)| stat.ppid);
        }
        found
    }

    /// When a process started, by the wall clock as it is set now.
    pub(super) fn started(&self, stat: &Stat) -> ProcResult<SystemTime> {
        let stats = KernelStats::from_file(self.proc.join("stat"), procfs::current_system_info())?;
        let after_boot = Duration::from_secs_f64(ticks(stat.starttime));
        Ok(SystemTime::UNIX_EPOCH + Duration::from_secs(stats.btime) + after_boot)
    }
}

/// Seconds of so many clock ticks.
#[expect(
    clippy::cast_precision_loss,
    reason = "exact up to 2^53 ticks, which is longer than any machine runs"
)]
pub(super) fn ticks(ticks: u64) -> f64 {
    ticks as f64 / procfs::ticks_per_second() as f64
}

/// Of the processes that match, those that can be the peer's. A shell or `sudo` that started it has its command line among the
/// arguments, and a child that is about to become another program still has its parent's: both are left out.
fn peers_own(matches: Vec<Match>) -> Vec<Match> {
    let commands: BTreeMap<i32, String> = matches
        .iter()
        .map(|it| (it.stat.pid, it.command.clone()))
        .collect();
    let forked = |it: &Match| commands.get(&it.stat.ppid) == Some(&it.command);
    let mut own: Vec<Match> = matches.into_iter().filter(|it| !forked(it)).collect();
    let starters: Vec<i32> = own.iter().flat_map(|it| it.ancestors.clone()).collect();
    own.retain(|it| !starters.contains(&it.stat.pid));
    own.sort_by_key(|it| it.stat.pid);
    own
}

fn ambiguous(piece: &str, found: &[Match]) -> Found {
    let pids: Vec<String> = found.iter().map(|it| it.stat.pid.to_string()).collect();
    Found::Unknown(format!(
        "{} processes have {piece:?} in their command lines ({}); give a longer piece of the peer's",
        pids.len(),
        pids.join(", ")
    ))
}

/// The arguments with blanks between them; empty for the kernel's own threads and for zombies.
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

/// The id in a pid file, and when the file was written.
fn read_pid(path: &Path) -> Result<(i32, Option<SystemTime>), Found> {
    let shown = path.display();
    let unread = |error: std::io::Error| {
        let why = format!("cannot read {shown}: {error}");
        match error.kind() {
            ErrorKind::NotFound => Found::Gone(why),
            _ => Found::Unknown(why),
        }
    };
    let meta = fs::metadata(path).map_err(unread)?;
    if !meta.is_file() {
        // A pipe without a writer would hold this up forever.
        return Err(Found::Unknown(format!("{shown} is no regular file")));
    }
    let mut text = String::new();
    let file = File::open(path).map_err(unread)?;
    file.take(MAX_PID_FILE)
        .read_to_string(&mut text)
        .map_err(unread)?;
    let first = text.lines().next().unwrap_or_default().trim();
    match first.parse() {
        Ok(pid) if pid > 0 => Ok((pid, meta.modified().ok())),
        _ => Err(Found::Unknown(format!(
            "{shown} holds no process id in its first line"
        ))),
    }
}

/// An error of /proc in words that say what to do about it.
pub(super) fn why(error: &ProcError) -> String {
    match error {
        ProcError::PermissionDenied(_) => {
            "not permitted; run the agent as the peer's user, or with CAP_SYS_PTRACE".to_owned()
        }
        error => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sidecar::fixture::{BOOTED, Files};

    impl Finder {
        fn told(&mut self) -> Result<i32, (Option<bool>, String)> {
            match self.find() {
                Found::Running(_, stat) => Ok(stat.pid),
                Found::Gone(why) => Err((Some(false), why)),
                Found::Unknown(why) => Err((None, why)),
            }
        }
    }

    fn by_command(files: &Files) -> Finder {
        Finder::new(
            files.host().proc,
            ProcessBy::Command("convex.jar".to_owned()),
        )
    }

    /// A pid file that names `pid` and was written so many seconds after the host's start.
    fn by_pid_file(files: &Files, pid: &str, written: u64) -> Finder {
        let path = files.path().join("peer.pid");
        fs::write(&path, pid).unwrap();
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(BOOTED + written);
        let file = File::options().write(true).open(&path).unwrap();
        file.set_modified(at).unwrap();
        Finder::new(files.host().proc, ProcessBy::PidFile(path))
    }

    fn assert_told(finder: &mut Finder, up: Option<bool>, piece: &str) {
        let (told, why) = finder.told().unwrap_err();
        assert_eq!(told, up, "{why}");
        assert!(why.contains(piece), "{why}");
    }

    #[test]
    fn whoever_started_the_peer_is_not_the_peer() {
        let files = Files::new();
        files.process(20, 1, 5, "sudo -u convex sh -c java -jar convex.jar");
        files.process(21, 20, 5, "sh -c java -jar convex.jar");
        files.process(22, 21, 6, "java -jar convex.jar peer start");
        files.process(23, 1, 6, "java -jar other.jar");
        assert_eq!(by_command(&files).told(), Ok(22));
        files.process(21, 20, 5, "bash");
        assert_eq!(by_command(&files).told(), Ok(22), "with another between");
    }

    #[test]
    fn a_child_that_is_about_to_become_another_program_is_not_the_peer() {
        let files = Files::new();
        files.process(22, 1, 6, "java -jar convex.jar");
        files.process(40, 22, 9, "java -jar convex.jar");
        assert_eq!(by_command(&files).told(), Ok(22));
    }

    #[test]
    fn of_several_peers_none_is_believed_but_the_one_that_was_known() {
        let files = Files::new();
        files.process(22, 1, 6, "java -jar convex.jar peer start");
        let mut finder = by_command(&files);
        assert_eq!(finder.told(), Ok(22));
        files.process(30, 1, 7, "java -jar convex.jar peer start");
        assert_eq!(finder.told(), Ok(22), "the one that was known");
        let ambiguous = "2 processes have \"convex.jar\" in their command lines (22, 30)";
        assert_told(&mut by_command(&files), None, ambiguous);
        files.process(22, 1, 8, "java -jar convex.jar peer start");
        assert_told(&mut finder, None, ambiguous);
        files.end(22);
        assert_eq!(finder.told(), Ok(30));
    }

    #[test]
    fn a_peer_that_is_not_there_is_told_and_found_when_it_is_started() {
        let files = Files::new();
        let mut finder = by_command(&files);
        assert_told(&mut finder, Some(false), "no process has \"convex.jar\"");
        files.process(50, 1, 9, "java -jar convex.jar");
        assert_eq!(finder.told(), Ok(50));
        files.end(50);
        assert_told(&mut finder, Some(false), "no process has");
    }

    #[test]
    fn what_is_hidden_is_unknown_not_gone() {
        let files = Files::new();
        files.end(1);
        assert_told(&mut by_command(&files), None, "hidden from it");
        assert_told(&mut by_pid_file(&files, "22", 10), None, "hidden from it");
    }

    #[test]
    fn a_pid_file_names_the_peer() {
        let files = Files::new();
        files.process(22, 1, 6, "java");
        assert_eq!(by_pid_file(&files, " 22\n", 7).told(), Ok(22));
        assert_told(
            &mut by_pid_file(&files, "23", 7),
            Some(false),
            "does not run",
        );
        for text in ["", "x", "-5", "0"] {
            let finder = &mut by_pid_file(&files, text, 7);
            assert_told(finder, None, "no process id");
        }
        let own = std::process::id().to_string();
        let finder = &mut by_pid_file(&files, &own, 7);
        assert_told(finder, Some(false), "this agent");
        let mut finder = by_pid_file(&files, "22", 7);
        fs::remove_file(files.path().join("peer.pid")).unwrap();
        assert_told(&mut finder, Some(false), "cannot read");
    }

    #[test]
    fn a_zombie_does_not_run() {
        let files = Files::new();
        files.process(22, 1, 6, "java");
        let stat = files.path().join("proc/22/stat");
        let zombie = fs::read_to_string(&stat).unwrap().replace(") S ", ") Z ");
        fs::write(&stat, zombie).unwrap();
        let finder = &mut by_pid_file(&files, "22", 7);
        assert_told(finder, Some(false), "does not run");
    }

    #[test]
    fn whoever_was_given_the_id_later_is_not_the_peer() {
        let files = Files::new();
        files.process(22, 1, 5000, "vi");
        let mut finder = by_pid_file(&files, "22", 1000);
        assert_told(&mut finder, Some(false), "given to another process");

        let mut finder = by_pid_file(&files, "22", 5001);
        assert_eq!(finder.told(), Ok(22));
        files.process(22, 1, 5003, "vi");
        // By the clock it could be the one that wrote the file, were not another one known that did.
        assert_told(&mut finder, Some(false), "given to another process");
        let mut finder = by_pid_file(&files, "22", 5004);
        assert_eq!(finder.told(), Ok(22), "the file was written anew");
    }

    #[test]
    fn a_clock_that_is_set_does_not_make_a_known_peer_another() {
        let files = Files::new();
        files.process(22, 1, 100, "java");
        let mut finder = by_pid_file(&files, "22", 101);
        assert_eq!(finder.told(), Ok(22));
        let later = format!(
            "cpu  1 2 3 4 5 6 7 0 0 0\nctxt 1\nbtime {}\nprocesses 9\n",
            BOOTED + 3600
        );
        files.write("proc/stat", &later);
        assert_eq!(finder.told(), Ok(22));
    }

    #[test]
    fn a_refusal_says_what_would_be_right() {
        let refused = why(&ProcError::PermissionDenied(None));
        assert!(refused.contains("CAP_SYS_PTRACE"), "{refused}");
    }
}
