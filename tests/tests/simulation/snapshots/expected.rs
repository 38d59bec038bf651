//! What a book has to be: the fold of all commands that were acknowledged, kept beside the system.

use std::collections::VecDeque;
use std::time::Duration;

use annals::Timestamp;
use serde::{Deserialize, Serialize};

use crate::random::{Random, count};

/// How many unique keys an entity remembers.
pub const KEYS_MAX: usize = 3;

/// What a handler saw before, and the data after it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    pub seq_nr: u64,
    pub state: String,
    pub entries: Vec<u64>,
}

/// What is done to a book.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    Write { snapshot: bool },
    Peek,
    Lend { millis: Option<u64> },
    Check,
    Pass,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    Unique(u64),
    Rising(u64),
}

/// A command that was done with a key, and what it was answered.
#[derive(Debug, Clone)]
pub struct Done {
    pub key: Key,
    pub action: Action,
    pub op: u64,
    pub told: Told,
}

/// A state, and when its time ends.
type Standing = (&'static str, Option<Timestamp>);

#[derive(Debug, Clone)]
pub struct Expected {
    pub entries: Vec<u64>,
    pub seq_nr: u64,
    standing: Standing,
    /// Where it stands when it is loaded again: never in a transient state.
    durable: Standing,
    /// Those with unique keys that it has to remember, the oldest first.
    unique: VecDeque<Done>,
    /// The one with the highest number.
    rising: Option<(u64, Done)>,
    /// The record that ends it, once it is deleted.
    pub ended: Option<u64>,
}

impl Expected {
    pub fn new() -> Self {
        let standing = ("Open", None);
        let (entries, unique) = (Vec::new(), VecDeque::new());
        Self { entries, seq_nr: 0, standing, durable: standing, unique, rising: None, ended: None }
    }

    /// Something that its state accepts.
    pub fn choose(&self, random: &mut Random) -> Action {
        let checked = self.standing.0 == "Checked";
        match random.below(12) {
            0..=1 => Action::Peek,
            2 | 3 if !checked => Action::Lend { millis: random.pick(&[None, None, Some(50), Some(5_000)]) },
            4 if !checked => Action::Check,
            2..=7 if checked => Action::Pass,
            _ => Action::Write { snapshot: random.one_in(4) },
        }
    }

    /// A key that was never given, now and then.
    pub fn new_key(&self, op: u64, random: &mut Random) -> Option<Key> {
        match random.below(5) {
            0 => Some(Key::Unique(op)),
            1 => Some(Key::Rising(self.rising.as_ref().map_or(0, |(last, _)| *last) + 1 + random.below(3))),
            _ => None,
        }
    }

    /// A command whose answer it has to remember.
    pub fn done(&self, random: &mut Random) -> Option<Done> {
        let all: Vec<_> = self.unique.iter().chain(self.rising.iter().map(|(_, done)| done)).collect();
        (!all.is_empty()).then(|| all[usize::try_from(random.below(count(all.len()))).unwrap()].clone())
    }

    /// What its next command sees and leaves, if it is stored.
    pub fn after(&self, action: Action, op: u64) -> Told {
        let mut entries = self.entries.clone();
        if action != Action::Peek {
            entries.push(op);
        }
        Told { seq_nr: self.seq_nr, state: self.standing.0.to_owned(), entries }
    }

    /// What it tells of itself.
    pub fn told(&self) -> Told {
        self.after(Action::Peek, 0)
    }

    pub fn apply(&mut self, action: Action, op: u64, key: Option<Key>, now: Timestamp) {
        let told = self.after(action, op);
        self.entries.clone_from(&told.entries);
        if let Some(key) = key {
            let done = Done { key, action, op, told };
            match key {
                Key::Unique(_) => {
                    self.unique.push_back(done);
                    if self.unique.len() > KEYS_MAX {
                        self.unique.pop_front();
                    }
                }
                Key::Rising(number) => self.rising = Some((number, done)),
            }
        }
        let after = |millis| Some(now.checked_add(Duration::from_millis(millis)).unwrap());
        match action {
            Action::Write { .. } => self.seq_nr += 1,
            // A receipt.
            Action::Peek => self.seq_nr += u64::from(key.is_some()),
            Action::Lend { millis } => self.enter(("Lent", after(millis.unwrap_or(1_000)))),
            Action::Check => {
                let durable = self.durable;
                self.enter(("Checked", after(100)));
                self.durable = durable;
            }
            Action::Pass => self.enter(("Open", None)),
        }
    }

    /// An event and a transition.
    fn enter(&mut self, standing: Standing) {
        self.seq_nr += 2;
        (self.standing, self.durable) = (standing, standing);
    }

    /// Handles what is due; says whether anything was.
    pub fn tick(&mut self, now: Timestamp) -> bool {
        let is_due = self.ended.is_none() && self.standing.1.is_some_and(|due| due <= now);
        if is_due {
            self.entries.push(0);
            self.enter(("Open", None));
        }
        is_due
    }

    /// It is loaded again.
    pub fn reload(&mut self) {
        self.standing = self.durable;
    }

    /// What the journal has to have armed for it when nobody has it in memory.
    pub fn due(&self) -> Option<Timestamp> {
        if self.ended.is_some() { None } else { self.durable.1 }
    }

    pub fn is_transient(&self) -> bool {
        self.standing.0 == "Checked"
    }
}
