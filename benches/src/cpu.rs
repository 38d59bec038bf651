//! How long the threads of this process have been on a core, by their names.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use crate::report::Section;

/// Of a thread that was on a core for a shorter time than this for each command, nothing is told. In microseconds.
const TOLD_MIN: f64 = 0.005;

/// The time of all threads with the same name, as the kernel counts it; nothing where it doesn't tell.
pub(crate) fn by_thread() -> BTreeMap<String, Duration> {
    let mut times = BTreeMap::new();
    for task in fs::read_dir("/proc/self/task").into_iter().flatten().flatten() {
        let read = |name: &str| fs::read_to_string(task.path().join(name)).unwrap_or_default();
        let nanos = read("schedstat").split_whitespace().next().and_then(|nanos| nanos.parse().ok());
        *times.entry(read("comm").trim().to_owned()).or_default() += Duration::from_nanos(nanos.unwrap_or(0));
    }
    times
}

/// What was added since.
pub(crate) fn since(before: &BTreeMap<String, Duration>) -> Vec<(String, Duration)> {
    let now = by_thread();
    now.into_iter()
        .map(|(name, time)| {
            let added = time.saturating_sub(before.get(&name).copied().unwrap_or_default());
            (name, added)
        })
        .collect()
}

/// Adds the times to a row: microseconds for each command.
pub(crate) fn tell(section: &mut Section, what: &str, times: impl IntoIterator<Item = (String, f64)>) {
    for (thread, micros) in times.into_iter().filter(|(_, micros)| *micros >= TOLD_MIN) {
        section.annals(what, &format!("cpu, {thread}"), "us/command", micros);
    }
}
