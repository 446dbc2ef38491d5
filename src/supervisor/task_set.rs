//! Tasks that follow the configuration.

use std::collections::HashMap;

use tokio_util::sync::CancellationToken;

use super::Supervisor;

/// Tasks that follow the configuration, one for each key. A task keeps running while its settings
/// stay the same.
#[derive(Debug)]
pub struct TaskSet<S> {
    supervisor: Supervisor,
    tasks: HashMap<String, RunningTask<S>>,
}

/// A running task, and the settings that it was started with.
#[derive(Debug)]
struct RunningTask<S> {
    settings: S,
    stop: CancellationToken,
}

impl<S: PartialEq> TaskSet<S> {
    /// A set without tasks.
    #[must_use]
    pub fn new(supervisor: Supervisor) -> Self {
        Self {
            supervisor,
            tasks: HashMap::new(),
        }
    }

    /// Ends all tasks.
    pub fn clear(&mut self) {
        for (_, task) in self.tasks.drain() {
            task.stop.cancel();
        }
    }

    /// Makes `wanted`, settings by key, the tasks of the set: ends those that are not wanted or
    /// have other settings, and calls `start` for new ones with the supervisor that they end with.
    pub fn apply(
        &mut self,
        wanted: impl IntoIterator<Item = (String, S)>,
        mut start: impl FnMut(&str, &S, &Supervisor),
    ) {
        let mut running = std::mem::take(&mut self.tasks);
        for (key, settings) in wanted {
            let task = match running.remove(&key) {
                Some(task) if task.settings == settings => task,
                changed => {
                    if let Some(task) = changed {
                        task.stop.cancel();
                    }
                    let supervisor = self.supervisor.child();
                    start(&key, &settings, &supervisor);
                    RunningTask {
                        settings,
                        stop: supervisor.stop,
                    }
                }
            };
            self.tasks.insert(key, task);
        }
        for task in running.into_values() {
            task.stop.cancel();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use tokio::time::sleep;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_set_replaces_only_the_tasks_whose_settings_change() {
        let stop = CancellationToken::new();
        let supervisor = Supervisor::new(stop.clone());
        let mut set = TaskSet::new(supervisor.clone());
        let alive = [(); 4].map(|()| Arc::new(()));
        let apply = |set: &mut TaskSet<u8>, wanted: &[(&str, u8, usize)]| {
            let settings = wanted
                .iter()
                .map(|(key, value, _)| ((*key).to_owned(), *value));
            set.apply(settings.collect::<Vec<_>>(), |key, _, task| {
                let index = wanted.iter().find(|(it, ..)| *it == key).unwrap().2;
                let held = Arc::clone(&alive[index]);
                task.start("held", move || {
                    let held = Arc::clone(&held);
                    async move {
                        std::future::pending::<()>().await;
                        drop(held);
                    }
                });
            });
        };
        apply(
            &mut set,
            &[("kept", 1, 0), ("changed", 1, 1), ("removed", 1, 2)],
        );
        apply(&mut set, &[("kept", 1, 3), ("changed", 2, 3)]);
        sleep(Duration::from_secs(1)).await;
        let running = || alive.each_ref().map(|held| Arc::strong_count(held) > 1);
        assert_eq!(running(), [true, false, false, true]);
        set.clear();
        sleep(Duration::from_secs(1)).await;
        assert_eq!(running(), [false; 4]);
        stop.cancel();
        supervisor.drained().await;
    }
}
