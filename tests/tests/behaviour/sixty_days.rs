//! What sixty days come to when the process is killed after 59 of them: one lease, and a hundred thousand.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use annals::journal::{Durability, FjallJournal, FjallOptions, Journal, Record, RunError, RunView};
use annals::testing::ManualClock;
use annals::{Offset, System};
use annals_tests::{Diary, Lease};

const DAY: Duration = Duration::from_secs(24 * 3600);

/// How often each lease of a store has run out.
async fn count_fired(directory: &Path) -> BTreeMap<String, u64> {
    let journal = FjallJournal::open(directory, FjallOptions::new()).unwrap();
    let (mut fired, mut after) = (BTreeMap::new(), Offset(0));
    while after < journal.durable() {
        let page = journal.read_all(after, 8 << 20).await.unwrap();
        for run in &page.runs {
            let view = RunView::parse(&run.bytes, journal.facts().store).unwrap();
            after = Offset(run.offset.0 + view.records() - 1);
            view.for_each(|_, _, record| {
                if let Record::Transition(way) = record {
                    let count = fired.entry(view.id().entity.as_str().to_owned()).or_default();
                    *count += u64::from(way.to == "Warned");
                }
                Ok::<(), RunError>(())
            })
            .unwrap();
        }
    }
    fired
}

/// One life of a system: its runtime is dropped in the middle of whatever it does, and the journal with it.
fn life(directory: &Path, clock: &ManualClock, live: impl AsyncFnOnce(&System, &Diary)) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let system = runtime.block_on(async {
        let journal = FjallJournal::open(directory, FjallOptions::new().durability(Durability::Os)).unwrap();
        let diary = Arc::new(Diary::default());
        let builder = System::builder().clock(clock.clone()).provide(diary.clone());
        let system = builder.register::<Lease>().start(journal).unwrap();
        live(&system, &diary).await;
        system
    });
    // ORDER: before the system, which would finish what it has.
    drop(runtime);
    drop(system);
}

/// Waits until what is overdue has been rung: until a later deadline was. Two records and three lines come of it.
async fn sentinel(system: &System, diary: &Diary, id: &str) {
    system.get::<Lease>(id).take_for(Duration::ZERO).await.unwrap();
    diary.full(3).await;
}

/// Lets so many leases of 60 days be killed after 59 of them, and looks what fires on the 60th, and after another kill.
/// Tells how long the firing took.
fn sixty_days(leases: u64) -> Duration {
    let directory = tempfile::tempdir().unwrap();
    let clock = ManualClock::at("2026-01-01T00:00:00Z".parse().unwrap());
    life(directory.path(), &clock, async |system, _| {
        // A few thousand at a time, so that they share writes.
        for first in (0..leases).step_by(5000) {
            let takes = (first..leases.min(first + 5000)).map(|number| {
                let lease = system.get::<Lease>(format!("{number}"));
                tokio::spawn(async move { lease.take().await })
            });
            for take in takes.collect::<Vec<_>>() {
                take.await.unwrap().unwrap();
            }
        }
    });
    clock.advance(59 * DAY);
    let mut took = Duration::ZERO;
    life(directory.path(), &clock, async |system, diary| {
        sentinel(system, diary, "first sentinel").await;
        assert_eq!(system.stats().events_stored, 2, "a deadline fired a day early");
        let started = std::time::Instant::now();
        clock.advance(DAY);
        // Each leaves a state, and says that it ran out.
        diary.full(3 + 2 * usize::try_from(leases).unwrap()).await;
        took = started.elapsed();
        assert_eq!(system.stats().events_stored, leases + 2);
    });
    life(directory.path(), &clock, async |system, diary| {
        sentinel(system, diary, "second sentinel").await;
        assert_eq!(system.stats().events_stored, 2, "a deadline fired again");
    });
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let fired = runtime.block_on(count_fired(directory.path()));
    assert_eq!(u64::try_from(fired.len()).unwrap(), leases + 2);
    assert!(fired.values().all(|count| *count == 1), "each of {leases} fires once: {fired:?}");
    took
}

#[test]
fn sixty_days_pass_over_a_kill() {
    sixty_days(1);
}

/// Measures that it is exact for many, and tells how long they take to fire; the disk isn't waited for.
#[test]
fn a_hundred_thousand_times_sixty_days_pass_over_a_kill() {
    let (started, leases) = (std::time::Instant::now(), 100_000);
    let took = sixty_days(leases);
    println!("{leases} deadlines fired in {took:?}, and all in all it took {:?}", started.elapsed());
}
