//! What is stored of an entity, folded record by record, and held against the graph and the clock.

use std::collections::BTreeMap;
use std::time::Duration;

use annals::journal::{Journal as _, MemoryJournal, Record, RunError, RunView, StoredCause, StoredKey, Write};
use annals::{By, Offset, PersistenceId, SeqNr, StateInfo, StateKind, Timestamp};
use annals_tests::at_once;

use super::job::Job;
use crate::Tally;
use crate::random::count;

/// Where an entity stands, since which record, and until when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stand {
    pub state: &'static str,
    pub visit: SeqNr,
    pub due: Option<Timestamp>,
}

/// An entity after one record.
#[derive(Debug, Clone)]
pub struct Point {
    pub live: Stand,
    /// Where it stands if it is loaded again.
    pub durable: Stand,
    /// How many entries it has.
    pub entries: usize,
    /// The command, if the record is its transition.
    pub went_by: Option<String>,
}

impl Point {
    /// Whether somebody could have seen it there.
    pub fn is_in(&self, state: &str) -> bool {
        self.live.state == state || self.durable.state == state
    }
}

/// All that is stored of an entity.
#[derive(Debug)]
pub struct Truth {
    /// By sequence number; the first is before all records.
    pub points: Vec<Point>,
    pub entries: Vec<u64>,
    /// How often it went from where to where.
    pub passages: BTreeMap<(&'static str, &'static str), usize>,
    /// What each key has ended with, and the last record.
    keys: BTreeMap<String, (u64, bool)>,
    highest: Option<u64>,
    time: Timestamp,
    /// A deadline whose events are stored, and that has not ended yet.
    open: Option<SeqNr>,
    stayed: u64,
    went: u64,
}

/// How long a step may limit a visit of `Running`.
const LIMITS: [Duration; 2] = [Duration::from_millis(50), Duration::from_secs(5)];

fn info(state: &str) -> &'static StateInfo {
    Job::GRAPH.states.iter().find(|info| info.name == state).expect("a declared state is stored")
}

fn is_way(from: &str, to: Option<&str>, cause: StoredCause<'_>) -> bool {
    Job::GRAPH.edges.iter().any(|edge| edge.from == from && edge.to == to && is_by(edge.by, cause))
}

fn is_by(by: By, cause: StoredCause<'_>) -> bool {
    match (by, cause) {
        (By::Command(declared), StoredCause::Command(stored)) => declared == stored,
        (By::Deadline(_), StoredCause::Deadline { .. }) => true,
        (By::Command(_), StoredCause::Deadline { .. }) | (By::Deadline(_), StoredCause::Command(_)) => false,
    }
}

/// Folds what is stored of an entity; fails where it could not have come about.
pub fn truth(journal: &MemoryJournal, entity: u64) -> Truth {
    let id = PersistenceId::new("Job", format!("{entity}"));
    let store = journal.facts().store;
    let mut truth = Truth::new();
    for run in at_once(journal.read_all(Offset(0), usize::MAX)).unwrap().runs {
        let view = RunView::parse(&run.bytes, store).unwrap();
        if !view.is_of(&id) {
            continue;
        }
        view.for_each(|seq_nr, write, record| {
            truth.follow(seq_nr.0, write, &record);
            Ok::<(), RunError>(())
        })
        .unwrap();
    }
    assert_eq!(truth.open, None, "a deadline has events and no end");
    truth
}

impl Truth {
    fn new() -> Self {
        let stand = Stand { state: "Idle", visit: SeqNr::ZERO, due: None };
        Self {
            points: vec![Point { live: stand, durable: stand, entries: 0, went_by: None }],
            entries: Vec::new(),
            passages: BTreeMap::new(),
            keys: BTreeMap::new(),
            highest: None,
            time: Timestamp::MIN,
            open: None,
            stayed: 0,
            went: 0,
        }
    }

    /// After all records.
    pub fn last(&self) -> &Point {
        self.points.last().unwrap()
    }

    pub fn count(&self, tally: &mut Tally) {
        *tally.entry("deadline stayed").or_default() += self.stayed;
        *tally.entry("deadline went").or_default() += self.went;
        *tally.entry("key stored").or_default() += count(self.keys.len());
    }

    fn follow(&mut self, seq_nr: u64, write: &Write<'_>, record: &Record<'_>) {
        assert_eq!(seq_nr, count(self.points.len()), "a sequence number is left out");
        assert!(write.time >= self.time, "{seq_nr}: time runs backwards");
        assert_eq!(write.key.is_some(), write.outcome.is_some(), "{seq_nr}: keys and answers belong together");
        self.time = write.time;
        let mut point = self.last().clone();
        point.went_by = None;
        assert!(seq_nr <= 2 || point.durable.visit > SeqNr::ZERO, "{seq_nr}: the first visit has not begun");
        let cause = write.cause.expect("every write of a machine has a cause");
        if let StoredCause::Deadline { visit } = cause {
            assert!(write.key.is_none());
            self.check_deadline(seq_nr, visit, &mut point);
        }
        let ends = match *record {
            Record::Event(event) => {
                let text = std::str::from_utf8(event.payload).unwrap();
                let digits: String = text.chars().filter(char::is_ascii_digit).collect();
                let op = if event.name == "did" { digits.parse().unwrap() } else { 0 };
                assert!(op == 0 || !self.entries.contains(&op), "{seq_nr}: operation {op} is stored twice");
                assert_eq!(op == 0, matches!(cause, StoredCause::Deadline { .. }), "{seq_nr}: {}", event.name);
                self.entries.push(op);
                point.entries += 1;
                choose(seq_nr, &mut point, |stand| {
                    Job::GRAPH.edges.iter().any(|edge| edge.from == stand.state && is_by(edge.by, cause))
                });
                if let StoredCause::Deadline { visit } = cause {
                    self.open = Some(visit);
                }
                false
            }
            Record::Transition(transition) => {
                let Some(to) = Job::GRAPH.states.iter().find(|info| info.name == transition.to) else {
                    panic!("{seq_nr}: no state is called {}", transition.to);
                };
                let due = transition.due.map(|due| Duration::try_from(due.duration_since(write.time)).unwrap());
                let limited = to.name == "Running" && due.is_some_and(|due| LIMITS.contains(&due));
                assert!(due == to.deadline || limited, "{seq_nr}: {} lasts {due:?}", to.name);
                assert_eq!(transition.transient, to.kind == StateKind::Transient);
                match transition.from {
                    None => {
                        assert!(
                            seq_nr <= 2 && to.kind == StateKind::Initial && point.durable.visit == SeqNr::ZERO,
                            "{seq_nr}"
                        );
                        // The write has still its own ending to show, and shows none: nothing more is known of it.
                    }
                    Some(from) => {
                        let visit = match cause {
                            StoredCause::Deadline { visit } => Some(visit),
                            StoredCause::Command(_) => None,
                        };
                        choose(seq_nr, &mut point, |stand| {
                            stand.state == from
                                && visit.is_none_or(|visit| visit == stand.visit)
                                && is_way(from, Some(to.name), cause)
                        });
                        *self.passages.entry((info(from).name, to.name)).or_default() += 1;
                        self.went += u64::from(visit.is_some());
                        if let StoredCause::Command(name) = cause {
                            point.went_by = Some(name.to_owned());
                        }
                    }
                }
                point.live = Stand { state: to.name, visit: SeqNr(seq_nr), due: transition.due };
                if !transition.transient {
                    point.durable = point.live;
                }
                self.open = None;
                true
            }
            Record::DeadlineConsumed { visit } => {
                assert_eq!(cause, StoredCause::Deadline { visit });
                choose(seq_nr, &mut point, |stand| stand.visit == visit && is_way(stand.state, None, cause));
                for stand in [&mut point.live, &mut point.durable] {
                    if stand.visit == visit {
                        stand.due = None;
                    }
                }
                self.stayed += 1;
                self.open = None;
                true
            }
            Record::Receipt => {
                assert!(write.key.is_some() && matches!(cause, StoredCause::Command(_)), "{seq_nr}");
                true
            }
            ref record => panic!("{seq_nr}: nothing stores {record:?}"),
        };
        if let Some(key) = write.key {
            self.check_key(seq_nr, key, ends);
        }
        self.points.push(point);
    }

    /// A deadline fires when its time is over, once for a visit, and for the state that the entity stands in.
    fn check_deadline(&self, seq_nr: u64, visit: SeqNr, point: &mut Point) {
        if self.open == Some(visit) {
            return;
        }
        assert_eq!(self.open, None, "{seq_nr}: the deadline before has events and no end");
        choose(seq_nr, point, |stand| stand.visit == visit);
        let due = point.live.due;
        assert!(due.is_some(), "{seq_nr}: the deadline of visit {visit} fires twice");
        assert!(due <= Some(self.time), "{seq_nr}: fires at {} and is due at {due:?}", self.time);
    }

    /// A key is stored with one write.
    fn check_key(&mut self, seq_nr: u64, key: StoredKey, ends: bool) {
        if let StoredKey::Rising(number) = key {
            assert!(self.highest.is_none_or(|highest| highest <= number), "{seq_nr}: {number} is not higher");
            self.highest = Some(number);
        }
        let known = self.keys.insert(format!("{key:?}"), (seq_nr, ends));
        if let Some((last, ended)) = known {
            assert!(last + 1 == seq_nr && !ended, "{seq_nr}: a second write has the key of the one up to {last}");
        }
    }
}

/// Of a transient state and the one to which it is recovered, takes the one that fits. Where only the latter does,
/// the entity was loaded again.
fn choose(seq_nr: u64, point: &mut Point, fits: impl Fn(&Stand) -> bool) {
    if fits(&point.live) {
        return;
    }
    let is_transient = info(point.live.state).kind == StateKind::Transient;
    assert!(is_transient && fits(&point.durable), "record {seq_nr} can't follow {point:?}");
    point.live = point.durable;
}
