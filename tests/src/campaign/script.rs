//! A program of steps that touch everything that a store does. It runs one step after the other, so that whoever
//! knows the last answer knows what is stored, but for the step behind it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use annals::journal::FjallJournal;
use annals::prelude::*;
use annals::snapshot::DirSnapshots;
use annals::testing::ManualClock;
use annals::{Aggregate, PersistenceId, Timestamp};

use crate::golden::{Outcome, Patient};
use crate::{Account, Diary, Lease, Savings};

/// What a step does, to the entity of this name.
#[derive(Debug, Clone, Copy)]
enum Action {
    /// Pays 2 in, as two events, with a key.
    Deposit(&'static str),
    /// Pays in until so much is there: snapshots are taken, and what they stand for is deleted.
    Save(u64),
    /// Writes a note about a patient, with a key; it is encrypted.
    Note(&'static str),
    /// Takes a snapshot of a patient.
    Keep(&'static str),
    /// Takes a lease, or enters it anew, with a key: a deadline is armed.
    Take(&'static str),
    Renew(&'static str),
    Delete(&'static str),
    Forget(&'static str),
}

use Action::{Delete, Deposit, Forget, Keep, Note, Renew, Save, Take};

const SCRIPT: [Action; 32] = [
    Deposit("alice"),
    Deposit("alice"),
    Note("kept"),
    Keep("kept"),
    Save(2),
    Save(4),
    Save(6),
    Save(8),
    Take("flat"),
    Deposit("early"),
    Delete("early"),
    Note("left"),
    Keep("left"),
    Forget("left"),
    Renew("flat"),
    Deposit("bob"),
    // The other half.
    Deposit("alice"),
    Note("kept"),
    Keep("kept"),
    Save(10),
    Save(12),
    Save(14),
    Renew("flat"),
    Take("house"),
    Deposit("late"),
    Delete("late"),
    Note("gone"),
    Keep("gone"),
    Forget("gone"),
    Deposit("bob"),
    Note("kept"),
    Deposit("alice"),
];

/// So many steps are the first half; each half has some of everything.
pub const HALF: usize = 16;
/// How many steps there are.
pub const STEPS: usize = SCRIPT.len();

const ACCOUNTS: [&str; 4] = ["alice", "bob", "early", "late"];
const PATIENTS: [&str; 3] = ["kept", "left", "gone"];
const LEASES: [&str; 2] = ["flat", "house"];
const SAVINGS: &str = "jar";

/// The entities that the steps touch.
pub fn ids() -> Vec<PersistenceId> {
    let accounts = ACCOUNTS.map(|id| PersistenceId::new(Account::NAME, id));
    let patients = PATIENTS.map(|id| PersistenceId::new(Patient::NAME, id));
    let leases = LEASES.map(|id| PersistenceId::new(Lease::NAME, id));
    let savings = [PersistenceId::new(Savings::NAME, SAVINGS)];
    [&accounts[..], &patients, &leases, &savings].concat()
}

/// Whether a later step deletes the entity of this one.
pub fn is_deleted_later(step: usize) -> bool {
    let (Deposit(id) | Note(id) | Keep(id)) = SCRIPT[step] else { return false };
    SCRIPT[step..].iter().any(|later| matches!(later, Delete(gone) | Forget(gone) if *gone == id))
}

/// A system that the steps are made with.
#[derive(Debug)]
pub struct Script {
    system: System,
}

impl Script {
    /// Starts one on a journal, with its snapshots beside it or as files in a directory.
    ///
    /// # Errors
    ///
    /// Whatever doesn't open.
    pub fn start(journal: FjallJournal, snapshots: Option<&Path>) -> Outcome<Self> {
        let clock = ManualClock::at(Timestamp::UNIX_EPOCH);
        clock.advance(Duration::from_secs(1));
        let mut builder = System::builder().shards(1).clock(clock).provide(Arc::new(Diary::default()));
        if let Some(snapshots) = snapshots {
            builder = builder.snapshots(DirSnapshots::open(snapshots)?);
        }
        Ok(Self { system: builder.register::<Lease>().start(journal)? })
    }

    /// Makes a step, or makes it again, which changes nothing; says what was answered.
    ///
    /// # Errors
    ///
    /// Every answer but that the entity is deleted.
    pub async fn step(&self, step: usize) -> Outcome<String> {
        let key = || Key::unique(format!("step {step}"));
        let answer = match SCRIPT[step] {
            Deposit(id) => told(self.system.get::<Account>(id).deposit_all(vec![1, 1]).key(key()).await)?,
            Note(id) => told(self.system.get::<Patient>(id).note(format!("note {step}")).key(key()).await)?,
            Take(id) => told(self.system.get::<Lease>(id).take().key(key()).await)?,
            Renew(id) => told(self.system.get::<Lease>(id).renew().key(key()).await)?,
            // Where a key's answer is remembered its events stay, and here they are to go.
            Save(sum) => {
                let savings = self.system.get::<Savings>(SAVINGS);
                while savings.balance().await? < sum {
                    savings.save().await?;
                }
                "saved".to_owned()
            }
            Keep(id) => {
                let patient = self.system.get::<Patient>(id);
                match patient.notes().await {
                    Err(CallError::Deleted { .. }) => "deleted".to_owned(),
                    notes => {
                        notes?;
                        patient.snapshot().await?;
                        "kept".to_owned()
                    }
                }
            }
            Delete(id) => {
                self.system.delete::<Account>(id).await?;
                "deleted".to_owned()
            }
            Forget(id) => {
                self.system.forget::<Patient>(id).await?;
                "deleted".to_owned()
            }
        };
        Ok(answer)
    }

    /// What the entities say of themselves.
    ///
    /// # Errors
    ///
    /// Every answer but that one is deleted.
    pub async fn state(&self) -> Outcome<String> {
        let mut state = String::new();
        for id in ACCOUNTS {
            state += &format!("{id} {}\n", told(self.system.get::<Account>(id).balance().await)?);
        }
        for id in PATIENTS {
            state += &format!("{id} {}\n", told(self.system.get::<Patient>(id).notes().await)?);
        }
        for id in LEASES {
            let lease = self.system.get::<Lease>(id);
            state += &format!("{id} {:?} {}\n", lease.state().await?, told(lease.renewals().await)?);
        }
        state += &format!("{SAVINGS} {}\n", told(self.system.get::<Savings>(SAVINGS).balance().await)?);
        Ok(state)
    }

    /// Makes one more command, which is no step.
    ///
    /// # Errors
    ///
    /// If it isn't stored.
    pub async fn more(&self) -> Outcome<()> {
        self.system.get::<Account>("alice").deposit(7).await?;
        Ok(())
    }

    /// Ends in order.
    ///
    /// # Errors
    ///
    /// If that fails.
    pub async fn close(self) -> Outcome<()> {
        Ok(self.system.shutdown().await?)
    }
}

/// An answer as it is told; that the entity is deleted is one.
fn told<T: std::fmt::Debug, E>(answer: Result<T, CallError<E>>) -> Outcome<String>
where
    CallError<E>: std::error::Error + 'static,
{
    match answer {
        Ok(answer) => Ok(format!("{answer:?}")),
        Err(CallError::Deleted { .. }) => Ok("deleted".to_owned()),
        Err(error) => Err(error.into()),
    }
}
