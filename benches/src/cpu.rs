//! How long the threads of this process have been on a core, by their names.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

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
