//! In which state a machine stands as its snapshot has it.

use annals::journal::{FjallJournal, FjallOptions, MemoryJournal};
use annals::prelude::*;
use annals::testing::ManualClock;
use annals::{CallError, System};

use super::loading::copy_all;
use super::{Shelf, builder};

/// A lamp, as three programs have it.
macro_rules! lamp {
    ($module:ident, ($($states:tt)*), $off:ident) => {
        mod $module {
            use annals::prelude::*;

            #[derive(Debug, Default, Serialize, Deserialize, Snapshot)]
            pub struct Lamp {
                cleaned: u64,
            }

            #[fsm(name = "lamp", states($($states)*), snapshot(every = 2))]
            impl Lamp {
                #[event]
                fn cleaned(&mut self) {
                    self.cleaned += 1;
                }

                #[on($off => stay)]
                fn clean(&self) -> Step {
                    applying(LampEvent::Cleaned)
                }

                #[on($off => On)]
                fn switch_on(&self) -> Step {
                    goto(On)
                }

                #[on(On => $off)]
                fn switch_off(&self) -> Step {
                    goto($off)
                }
            }
        }
    };
}

lamp!(before, (initial Off, On), Off);
lamp!(renamed, (initial Dark, On), Dark);
lamp!(passing, (initial Off, transient On), Off);

#[tokio::test]
async fn a_machine_that_never_moved_stands_in_its_initial_state_whatever_that_was_called() {
    let journal = MemoryJournal::new();
    let system = System::builder().start(journal.clone()).unwrap();
    let lamp = system.get::<before::Lamp>("l");
    lamp.clean().await.unwrap();
    lamp.clean().await.unwrap();
    system.shutdown().await.unwrap();
    assert_eq!(system.stats().snapshots_saved, 1);
    let system = System::builder().start(journal.reopen()).unwrap();
    let lamp = system.get::<renamed::Lamp>("l");
    assert_eq!(lamp.state().await.unwrap(), renamed::LampState::Dark);
    assert_eq!((system.stats().events_replayed, system.stats().snapshots_unusable), (0, 0));
    lamp.switch_on().await.unwrap();
}

#[tokio::test]
async fn a_snapshot_in_a_state_that_is_transient_by_now_is_set_aside() {
    let journal = MemoryJournal::new();
    let system = System::builder().start(journal.clone()).unwrap();
    let lamp = system.get::<before::Lamp>("l");
    lamp.switch_on().await.unwrap();
    lamp.snapshot().await.unwrap();
    system.shutdown().await.unwrap();
    let system = System::builder().start(journal.reopen()).unwrap();
    system.get::<passing::Lamp>("l").state().await.unwrap();
    assert_eq!((system.stats().events_replayed, system.stats().snapshots_unusable), (1, 1));
}

/// A switch with two ways on.
#[derive(Debug, Default, Serialize, Deserialize, Snapshot)]
pub struct Switch {
    notes: u64,
}

#[fsm(states(initial Off, Left, Right), snapshot)]
impl Switch {
    #[event]
    fn noted(&mut self) {
        self.notes += 1;
    }

    #[on(Off | Left | Right => stay)]
    fn note(&self) -> Step {
        applying(SwitchEvent::Noted)
    }

    #[on(Off => Left)]
    fn turn_left(&self) -> Step {
        goto(Left)
    }

    #[on(Off => Right)]
    fn turn_right(&self) -> Step {
        goto(Right)
    }

    #[on(Left | Right => Off)]
    fn turn_off(&self) -> Step {
        goto(Off)
    }
}

/// Does `steps` in order: turn left or right, or note.
async fn act(system: &System, steps: &str) {
    let switch = system.get::<Switch>("s");
    for step in steps.chars() {
        match step {
            'l' => switch.turn_left().await.unwrap(),
            'r' => switch.turn_right().await.unwrap(),
            _ => switch.note().await.unwrap(),
        }
    }
}

/// What is told where a snapshot was taken after some steps, and the records are those of others, of the same times.
async fn difference(shot: &str, stored: &str) -> String {
    let (directory, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (shelf, clock) = (Shelf::new(), ManualClock::at("2026-01-01T00:00:00Z".parse().unwrap()));
    let start = |verify| {
        let journal = FjallJournal::open(directory.path(), FjallOptions::new()).unwrap();
        builder(&shelf, &clock).verify_snapshots(verify).start(journal).unwrap()
    };
    let system = start(false);
    system.get::<Switch>("another").note().await.unwrap();
    system.shutdown().await.unwrap();
    drop(system);
    copy_all(directory.path(), copy.path());
    let system = start(false);
    act(&system, shot).await;
    system.get::<Switch>("s").snapshot().await.unwrap();
    system.shutdown().await.unwrap();
    drop(system);
    std::fs::remove_dir_all(directory.path()).unwrap();
    copy_all(copy.path(), directory.path());
    // The snapshot is not found ahead of the journal, since nobody can find it.
    shelf.refuses_loads.store(true, std::sync::atomic::Ordering::SeqCst);
    let system = start(false);
    act(&system, stored).await;
    system.shutdown().await.unwrap();
    drop(system);
    shelf.refuses_loads.store(false, std::sync::atomic::Ordering::SeqCst);
    let system = start(true);
    let error = system.get::<Switch>("s").state().await.unwrap_err();
    system.shutdown().await.unwrap();
    let CallError::Quarantined { reason, .. } = error else { panic!("{error:?}") };
    reason.to_string()
}

#[tokio::test]
async fn a_snapshot_in_another_state_than_the_fold_is_found() {
    let reason = difference("l", "r").await;
    assert!(reason.contains("state `Right` since 1 against `Left` since 1"), "{reason}");
}

#[tokio::test]
async fn a_snapshot_in_another_visit_of_the_same_state_is_found() {
    let reason = difference("ln", "nl").await;
    assert!(reason.contains("state `Left` since 2 against `Left` since 1"), "{reason}");
}
