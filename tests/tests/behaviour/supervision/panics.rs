//! The user's code panics wherever it runs: who is told what, and that nothing else is touched.

use std::sync::Arc;

use annals::prelude::*;
use annals::{NotStored, Trouble};
use annals_tests::Diary;
use serde::{Deserializer, Serializer};

use super::{epoch, others_go_on, quarantined, started, tight};
use crate::until;

/// Where a fuse goes off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum When {
    Never,
    Written,
    Read,
    Dropped,
}

/// A value that panics when something is done with it.
#[derive(Debug, Clone, PartialEq)]
struct Fuse(When);

impl Serialize for Fuse {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        assert_ne!(self.0, When::Written, "the fuse burnt when it was written");
        serializer.serialize_u8(match self.0 {
            When::Never | When::Written => 0,
            When::Read => 1,
            When::Dropped => 2,
        })
    }
}

impl<'de> Deserialize<'de> for Fuse {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u8::deserialize(deserializer)? {
            1 => panic!("the fuse burnt when it was read"),
            2 => Ok(Self(When::Dropped)),
            _ => Ok(Self(When::Never)),
        }
    }
}

impl Drop for Fuse {
    fn drop(&mut self) {
        assert!(self.0 != When::Dropped || std::thread::panicking(), "the fuse burnt when it was dropped");
    }
}

/// Panics when it is dropped, as a panic's payload too.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        assert!(std::thread::panicking(), "the bomb went off");
    }
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Mine {
    lit: u64,
}

#[aggregate(services = Arc<Diary>)]
impl Mine {
    #[event]
    fn was_lit(&mut self, fuse: Fuse) {
        drop(fuse);
        self.lit += 1;
    }

    #[event]
    fn caved_in(&mut self) {
        std::panic::panic_any(17_u32)
    }

    #[command]
    fn light(&self, fuse: Fuse) -> Step<u64> {
        applying(MineEvent::WasLit { fuse }).replying_with(Self::lit)
    }

    #[command]
    fn cave_in(&self) -> Step {
        applying(MineEvent::CavedIn)
    }

    /// Panics with something that is no text.
    #[command]
    fn throw(&self) -> Step {
        std::panic::panic_any(17_u32)
    }

    /// Panics when its reply is computed, behind an event.
    #[command]
    fn boast(&self) -> Step<u64> {
        applying(MineEvent::WasLit { fuse: Fuse(When::Never) }).replying_with(|_: &Mine| panic!("too much to tell"))
    }

    /// Panics when its reply is computed, without an event.
    #[command]
    fn mumble(&self) -> Step<u64> {
        stay().replying_with(|_: &Mine| panic!("nothing to tell"))
    }

    /// Replies with a fuse.
    #[command]
    fn hand_over(&self, fuse: Fuse) -> Step<Fuse> {
        stay().replying(fuse)
    }

    /// Refuses with a fuse.
    #[command]
    fn hand_back(&self, fuse: Fuse) -> Result<Step, Fuse> {
        Err(fuse)
    }

    /// An effect that panics, one that leaves futures behind that do, and one that doesn't.
    #[command]
    fn blast(&self) -> Step {
        stay()
            .and_then(|_| std::panic::panic_any(Bomb))
            .and_then(|fx| {
                fx.spawn(async { std::panic::panic_any(Bomb) });
                fx.spawn(async {
                    let _fuse = Fuse(When::Dropped);
                    tokio::task::yield_now().await;
                });
            })
            .and_then(|fx| fx.services().write("blasted"))
    }

    #[query]
    fn lit(&self) -> u64 {
        self.lit
    }

    #[query]
    fn look(&self, fuse: Fuse) -> u64 {
        assert_eq!(fuse.0, When::Never, "too dark");
        self.lit
    }
}

#[tokio::test]
async fn whatever_panics_is_told_to_its_caller_and_to_nobody_else() {
    let clock = epoch();
    let (system, journal) = started(tight(&clock).provide(Arc::new(Diary::default())).fold_panics_max(100));
    let mine = system.get::<Mine>("m");
    assert_eq!(mine.light(Fuse(When::Never)).await.unwrap(), 1);
    let mut stored = 1;
    // Each of them needs the only place of its lane.
    for round in 0..3 {
        let panicked = |name: &str, error: CallError<_>, wanted: &str| {
            let CallError::<annals::Never>::Panicked { command, message, .. } = error else {
                panic!("{name}: {error:?}")
            };
            assert_eq!(command, name);
            assert!(message.contains(wanted), "{name}: {message}");
        };
        panicked("throw", mine.throw().or_overloaded().await.unwrap_err(), "a panic without a message");
        panicked("cave_in", mine.cave_in().or_overloaded().await.unwrap_err(), "a panic without a message");
        panicked("boast", mine.boast().or_overloaded().await.unwrap_err(), "too much to tell");
        panicked("mumble", mine.mumble().or_overloaded().await.unwrap_err(), "nothing to tell");
        panicked("look", mine.look(Fuse(When::Read)).or_overloaded().await.unwrap_err(), "too dark");
        for (when, wanted) in [(When::Written, "written"), (When::Read, "read"), (When::Dropped, "dropped")] {
            panicked("light", mine.light(Fuse(when)).or_overloaded().await.unwrap_err(), wanted);
        }
        // With a key, answers are written and read again.
        for (when, wanted) in [(When::Written, "written"), (When::Read, "read"), (When::Dropped, "dropped")] {
            let key = Key::unique(format!("{round} {when:?}"));
            let error = mine.hand_over(Fuse(when)).key(key).or_overloaded().await.map(drop).unwrap_err();
            panicked("hand_over", error, wanted);
            match mine.hand_back(Fuse(when)).key(key).or_overloaded().await.unwrap_err() {
                CallError::Panicked { message, .. } => assert!(message.contains(wanted), "{message}"),
                error => panic!("{error:?}"),
            }
        }
        stored += 1;
        assert_eq!(mine.light(Fuse(When::Never)).or_overloaded().await.unwrap(), stored, "nothing else was stored");
        others_go_on(&system).await;
    }
    assert_eq!(system.stats().panics, 3 * (5 + 3 + 6));
    system.shutdown().await.unwrap();
    let system = tight(&clock).provide(Arc::new(Diary::default())).start(journal.reopen()).unwrap();
    assert_eq!(system.get::<Mine>("m").lit().await.unwrap(), stored);
}

#[tokio::test]
async fn an_effect_that_panics_in_any_way_loses_nothing_but_itself() {
    let diary = Arc::new(Diary::default());
    let (system, _) = started(tight(&epoch()).provide(diary.clone()));
    let mine = system.get::<Mine>("m");
    for blast in 1..=20 {
        mine.blast().or_overloaded().await.unwrap();
        until("the effects behind the panics ran", || diary.lines().len() == blast).await;
    }
    others_go_on(&system).await;
    system.shutdown().await.unwrap();
    assert_eq!(diary.lines().len(), 20);
}

#[tokio::test]
async fn an_effect_that_meets_an_entity_in_quarantine_is_told_and_ends() {
    let clock = epoch();
    let diary = Arc::new(Diary::default());
    let journal = crate::quarantine::written_tomorrow().await;
    let system = tight(&clock).provide(diary.clone()).start(journal).unwrap();
    system.get::<Nightwatch>("n").patrol().await.unwrap();
    system.shutdown().await.unwrap();
    let [line] = &diary.lines()[..] else { panic!("{:?}", diary.lines()) };
    assert!(line.contains("Lamp \"hall\": quarantined at sequence number 2"), "{line}");
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Nightwatch;

#[aggregate(services = Arc<Diary>)]
impl Nightwatch {
    #[event]
    fn was_seen(&mut self) {}

    #[command]
    fn appear(&self) -> Step {
        applying(NightwatchEvent::WasSeen)
    }

    /// Counts how often the lamp in the hall was switched.
    #[command]
    fn patrol(&self) -> Step {
        stay().and_then(|fx| {
            let (hall, diary) = (fx.get::<crate::quarantine::Lamp>("hall"), fx.services().clone());
            fx.spawn(async move { diary.write(hall.count().await.unwrap_err().to_string()) });
        })
    }
}

#[tokio::test]
async fn commands_that_are_dropped_unhandled_may_panic_at_that() {
    let clock = epoch();
    let (system, journal) = started(tight(&clock).provide(Arc::new(Diary::default())));
    let gone = annals::journal::ReadError::Engine { what: "a row".to_owned(), error: "the disk is gone".into() };
    journal.faults().fail_reads(gone);
    for _ in 0..5 {
        let error = system.get::<Mine>("m").light(Fuse(When::Dropped)).or_overloaded().await.unwrap_err();
        assert_eq!(quarantined(error).0, Trouble::Unreadable);
    }
    journal.faults().heal_reads();
    others_go_on(&system).await;
}

/// Data that can't be begun.
#[derive(Debug, Serialize, Deserialize)]
struct Stillborn;

impl Default for Stillborn {
    fn default() -> Self {
        panic!("no beginning")
    }
}

#[aggregate]
impl Stillborn {
    #[event]
    fn born(&mut self) {}

    #[command]
    fn bear(&self) -> Step {
        applying(StillbornEvent::Born)
    }

    #[query]
    fn look(&self) -> u64 {
        0
    }
}

#[tokio::test]
async fn data_that_can_t_be_begun_is_quarantined_with_its_reason() {
    let (system, _) = started(tight(&epoch()));
    let error = system.get::<Stillborn>("s").look().await.unwrap_err();
    let (trouble, seq_nr, reason, _) = quarantined(error);
    assert_eq!((trouble, seq_nr), (Trouble::Panicked, annals::SeqNr(0)));
    assert!(reason.contains("no beginning"), "{reason}");
    others_go_on(&system).await;
}

/// Data whose fold panics from some event on, and whose drop does so too.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Relapse {
    read: u64,
}

static SICK: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);

impl Drop for Relapse {
    fn drop(&mut self) {
        let sick = SICK.load(std::sync::atomic::Ordering::SeqCst);
        assert!(!sick || std::thread::panicking(), "the drop of half an entity");
    }
}

#[aggregate]
impl Relapse {
    #[event]
    fn was_read(&mut self) {
        self.read += 1;
        let sick = SICK.load(std::sync::atomic::Ordering::SeqCst);
        assert!(!sick || self.read < 2, "sick again");
    }

    #[command]
    fn read(&self) -> Step {
        applying(RelapseEvent::WasRead)
    }
}

#[tokio::test]
async fn a_drop_that_panics_doesn_t_hide_why_an_entity_can_t_be_loaded_nor_leave_its_stream_open() {
    let clock = epoch();
    let (system, journal) = started(tight(&clock));
    for _ in 0..3 {
        system.get::<Relapse>("r").read().await.unwrap();
    }
    system.shutdown().await.unwrap();
    SICK.store(true, std::sync::atomic::Ordering::SeqCst);
    let system = tight(&clock).start(journal.reopen()).unwrap();
    for _ in 0..3 {
        let (trouble, seq_nr, reason, retry_at) =
            quarantined(system.get::<Relapse>("r").read().or_overloaded().await.unwrap_err());
        assert_eq!((trouble, seq_nr), (Trouble::Panicked, annals::SeqNr(2)));
        assert!(reason.contains("event `was_read` in version 1 made the replay panic: sick again"), "{reason}");
        clock.set(retry_at);
    }
    SICK.store(false, std::sync::atomic::Ordering::SeqCst);
    system.get::<Relapse>("r").read().await.unwrap();
    others_go_on(&system).await;
}

#[tokio::test]
async fn an_event_that_is_too_long_is_refused_and_nothing_else_happens() {
    let (system, _) = started(tight(&epoch()));
    let alice = system.get::<annals_tests::Account>("alice");
    for _ in 0..3 {
        let error = alice.note("x".repeat(2 << 20)).or_overloaded().await.unwrap_err();
        assert!(matches!(error, CallError::NotStored { why: NotStored::Journal(_), .. }), "{error:?}");
    }
    assert_eq!(alice.deposit(1).or_overloaded().await.unwrap(), 1);
}
