//! What is kept of entities. The twins of `bad_retention`, `retention_without_snapshots`, `snapshot_not_derived`,
//! `no_snapshots`, `not_forgettable` and `ignored_event_with_a_body`.

use std::time::Duration;

use annals::prelude::*;
use annals::snapshot::{Forgettable, Retention, SnapshotError, SnapshotMeta, Snapshotted};

/// All of it.
#[derive(Debug, Default, Serialize, Deserialize, Snapshot)]
pub struct Account {
    balance: u64,
}

#[aggregate(snapshot(every = 1_000, keep = 3), retain = since_snapshot, forgettable)]
impl Account {
    #[event]
    fn deposited(&mut self, amount: u64) {
        self.balance += amount;
    }

    #[event(ignored_since = "2.0")]
    fn greeted(&mut self, by: String) {}

    /// It isn't read, so nothing is said of its older versions.
    #[event(ignored_since = "2.0", version = 3)]
    fn waved(&mut self) {}

    #[command]
    fn deposit(&self, amount: u64) -> Step<u64> {
        applying(AccountEvent::Deposited { amount }).replying_with(|account| account.balance).snapshot()
    }
}

/// Snapshots on request.
#[derive(Debug, Default, Serialize, Deserialize, Snapshot)]
pub struct Note(String);

#[aggregate(snapshot, retain = Self::A_WHILE)]
impl Note {
    const A_WHILE: Duration = Duration::from_secs(60);

    #[event]
    fn written(&mut self, text: String) {
        self.0 = text;
    }

    #[command]
    fn write(&self, text: String) -> Step {
        applying(NoteEvent::Written { text })
    }
}

/// Without snapshots, all that can be said.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Door;

#[aggregate(retain = all, forgettable)]
impl Door {
    #[event]
    fn opened(&mut self) {}

    #[command]
    fn open(&self) -> Step {
        applying(DoorEvent::Opened)
    }
}

/// A word of days, and the number of snapshots alone.
#[derive(Debug, Default, Serialize, Deserialize, Snapshot)]
pub enum Lamp {
    #[default]
    Off,
    On {
        since: u64,
    },
}

#[aggregate(snapshot(keep = 1,), retain = 90d)]
impl Lamp {
    #[event]
    fn lit(&mut self, since: u64) {
        *self = Self::On { since };
    }

    #[command]
    fn light(&self, since: u64) -> Step {
        applying(LampEvent::Lit { since })
    }
}

fn calls(account: &AccountRef, note: &NoteRef) {
    let _: annals::Call<SnapshotMeta, SnapshotError> = account.snapshot();
    let _: annals::Call<SnapshotMeta, SnapshotError> = note.snapshot();
}

async fn erase(system: &System) -> bool {
    system.forget::<Account>("alice").await.is_ok() && system.delete::<Note>("todo").await.is_ok()
}

fn is_forgettable<A: Forgettable>() -> bool {
    A::FORGETTABLE
}

fn every_and_keep<A: Snapshotted>() -> Option<(Option<u64>, usize)> {
    A::SNAPSHOTS.map(|snapshots| (snapshots.every, snapshots.keep))
}

fn main() {
    let _ = (calls, erase);
    assert_eq!(every_and_keep::<Account>(), Some((Some(1000), 3)));
    assert_eq!(every_and_keep::<Note>(), Some((None, 2)));
    assert_eq!(every_and_keep::<Lamp>(), Some((None, 1)));
    assert!(Door::SNAPSHOTS.is_none());
    let days = Retention::For(Duration::from_secs(90 * 24 * 60 * 60));
    let retentions = [Account::RETENTION, Note::RETENTION, Door::RETENTION, Lamp::RETENTION];
    assert_eq!(retentions, [Retention::SinceSnapshot, Retention::For(Note::A_WHILE), Retention::All, days]);
    assert!(is_forgettable::<Account>() && is_forgettable::<Door>() && !Note::FORGETTABLE);
    let ignored: Vec<_> = AccountEvent::VARIANTS.iter().map(|event| event.ignored_since).collect();
    assert_eq!(ignored, [None, Some("2.0"), Some("2.0")]);
}
