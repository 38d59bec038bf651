//! What is counted while a log is replayed.

use std::collections::{BTreeMap, BTreeSet};

use annals::{Coverage, State, Trigger};

use crate::log::{BadRow, Entry};
use crate::shown::shown;
use crate::ticket::{Refusal, Ticket, TicketState};

/// How many rows that can't be read are named.
const BAD_ROWS_MAX: usize = 20;

/// How much is said of each of them.
const BAD_ROW_CHARS_MAX: usize = 200;

/// How many tickets are named whose counters don't agree with the log's.
const DISAGREEMENTS_MAX: usize = 5;

/// What was read.
#[derive(Debug, Default)]
pub(crate) struct Reading {
    pub(crate) rows: u64,
    /// Rows in states that the machine doesn't have.
    pub(crate) unknown_states: BTreeMap<String, u64>,
    /// Rows that can't be read.
    pub(crate) malformed: u64,
    /// The first of both.
    pub(crate) bad_rows: Vec<String>,
}

impl Reading {
    pub(crate) fn count(&mut self, entry: &Entry) {
        self.rows += 1;
        let Err(why) = &entry.row else { return };
        match why {
            BadRow::UnknownState(state) => *self.unknown_states.entry(state.clone()).or_default() += 1,
            _ => self.malformed += 1,
        }
        if self.bad_rows.len() < BAD_ROWS_MAX {
            let ticket = entry.ticket.as_ref().map(|ticket| format!(", ticket {ticket}")).unwrap_or_default();
            self.bad_rows.push(shown(&format!("line {}{ticket}: {why}", entry.line), BAD_ROW_CHARS_MAX));
        }
    }

    /// How many rows led to no command.
    pub(crate) fn bad(&self) -> u64 {
        self.malformed + self.unknown_states.values().sum::<u64>()
    }
}

/// A kind of refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Refused {
    pub(crate) state: TicketState,
    pub(crate) command: &'static str,
    pub(crate) why: Why,
}

/// Who refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Why {
    /// The machine: the state doesn't accept the command.
    NotAccepted,
    /// The handler.
    Refused(Refusal),
}

/// A counter of a ticket that isn't the log's.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Disagreement {
    pub(crate) ticket: String,
    pub(crate) counter: &'static str,
    pub(crate) folded: u32,
    pub(crate) logged: u32,
}

/// What became of the rows and the tickets. It doesn't depend on the order in which things are counted.
#[derive(Debug, PartialEq)]
pub(crate) struct Tally {
    pub(crate) commands: u64,
    pub(crate) refused: BTreeMap<Refused, u64>,
    /// The ways that accepted commands went.
    pub(crate) coverage: Coverage,
    /// Reassignments of which the log shows its counter alone.
    pub(crate) counted_only: u64,
    pub(crate) tickets: u64,
    pub(crate) by_state: BTreeMap<TicketState, u64>,
    /// What the tickets say of themselves, summed up.
    pub(crate) updates: u64,
    pub(crate) reopens: u64,
    pub(crate) reassignments: u64,
    /// Tickets of which every row was accepted; only they are compared and measured.
    pub(crate) fitting: u64,
    pub(crate) reopens_agree: u64,
    pub(crate) reassignments_agree: u64,
    /// The first of those that don't agree.
    pub(crate) disagreements: BTreeSet<Disagreement>,
    /// From opening to resolving, for each ticket that is resolved.
    pub(crate) minutes_to_resolve: Vec<i64>,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            commands: 0,
            refused: BTreeMap::new(),
            coverage: Coverage::of(Ticket::GRAPH),
            counted_only: 0,
            tickets: 0,
            by_state: BTreeMap::new(),
            updates: 0,
            reopens: 0,
            reassignments: 0,
            fitting: 0,
            reopens_agree: 0,
            reassignments_agree: 0,
            disagreements: BTreeSet::new(),
            minutes_to_resolve: Vec::new(),
        }
    }
}

impl Tally {
    /// A command that was accepted; `to` is `None` where the ticket stayed.
    pub(crate) fn moved(&mut self, from: TicketState, to: Option<TicketState>, command: &str) {
        self.coverage.record(name(from), to.map(name), Trigger::Command(command));
    }

    pub(crate) fn refused(&mut self, refused: Refused) {
        *self.refused.entry(refused).or_default() += 1;
    }

    /// A ticket as it is after its last row.
    pub(crate) fn ended(&mut self, state: TicketState, ticket: &Ticket) {
        self.tickets += 1;
        *self.by_state.entry(state).or_default() += 1;
        self.updates += u64::from(ticket.updates);
        self.reopens += u64::from(ticket.reopens);
        self.reassignments += u64::from(ticket.reassignments);
    }

    /// A ticket of which every row was accepted, with the counters of the last.
    pub(crate) fn fits(&mut self, name: &str, ticket: &Ticket, reopens: u32, reassignments: u32) {
        self.fitting += 1;
        self.reopens_agree += u64::from(self.agrees(name, "reopen_count", ticket.reopens, reopens));
        let agrees = self.agrees(name, "reassignment_count", ticket.reassignments, reassignments);
        self.reassignments_agree += u64::from(agrees);
        if let (Some(opened), Some(resolved)) = (ticket.opened_at, ticket.resolved_at) {
            self.minutes_to_resolve.push(resolved.duration_since(opened).as_mins());
        }
    }

    fn agrees(&mut self, ticket: &str, counter: &'static str, folded: u32, logged: u32) -> bool {
        if folded != logged {
            self.disagreements.insert(Disagreement { ticket: ticket.to_owned(), counter, folded, logged });
            self.limit();
        }
        folded == logged
    }

    /// Keeps the first of what is only named by example.
    fn limit(&mut self) {
        while self.disagreements.len() > DISAGREEMENTS_MAX {
            self.disagreements.pop_last();
        }
    }

    /// All refusals.
    pub(crate) fn refusals(&self) -> u64 {
        self.refused.values().sum()
    }

    /// The median time from opening to resolving; of two in the middle, the mean.
    pub(crate) fn median_minutes(&self) -> Option<i64> {
        let mut minutes = self.minutes_to_resolve.clone();
        minutes.sort_unstable();
        let upper = *minutes.get(minutes.len() / 2)?;
        let lower = minutes[(minutes.len() - 1) / 2];
        Some(lower.midpoint(upper))
    }

    /// Adds what another one counted.
    pub(crate) fn add(&mut self, other: Self) {
        fn sum<K: Ord>(into: &mut BTreeMap<K, u64>, from: BTreeMap<K, u64>) {
            for (key, count) in from {
                *into.entry(key).or_default() += count;
            }
        }
        self.commands += other.commands;
        sum(&mut self.refused, other.refused);
        self.coverage.merge(&other.coverage);
        self.counted_only += other.counted_only;
        self.tickets += other.tickets;
        sum(&mut self.by_state, other.by_state);
        self.updates += other.updates;
        self.reopens += other.reopens;
        self.reassignments += other.reassignments;
        self.fitting += other.fitting;
        self.reopens_agree += other.reopens_agree;
        self.reassignments_agree += other.reassignments_agree;
        self.disagreements.extend(other.disagreements);
        self.limit();
        self.minutes_to_resolve.extend(other.minutes_to_resolve);
    }
}

/// What the graph calls a state.
pub(crate) fn name(state: TicketState) -> &'static str {
    Ticket::GRAPH.states[state.index()].name
}

#[cfg(test)]
mod tests {
    use jiff::civil::{DateTime, date};

    use super::*;

    fn at(hour: i8) -> Option<DateTime> {
        Some(date(2016, 3, 1).at(hour, 0, 0, 0))
    }

    fn resolved(from: i8, to: i8) -> Tally {
        let ticket = Ticket { opened_at: at(from), resolved_at: at(to), ..Ticket::default() };
        let mut tally = Tally::default();
        tally.fits("INC1", &ticket, 0, 0);
        tally
    }

    #[test]
    fn the_median_is_the_one_in_the_middle_or_the_mean_of_two() {
        let mut tally = Tally::default();
        assert_eq!(tally.median_minutes(), None);
        tally.add(resolved(8, 20));
        tally.add(resolved(8, 9));
        assert_eq!(tally.median_minutes(), Some((720 + 60) / 2));
        tally.add(resolved(8, 10));
        assert_eq!(tally.median_minutes(), Some(120));
    }

    #[test]
    fn a_tally_is_the_same_in_whatever_order_it_is_added_up() {
        let part = |number: u32| {
            let mut part = Tally::default();
            part.moved(TicketState::New, Some(TicketState::Active), "activate");
            let ticket = Ticket { reopens: number, ..Ticket::default() };
            part.ended(TicketState::Active, &ticket);
            part.fits(&format!("INC{number}"), &ticket, 0, 0);
            part
        };
        let sum = |parts: &mut dyn Iterator<Item = u32>| {
            let mut sum = Tally::default();
            parts.for_each(|number| sum.add(part(number)));
            sum
        };
        let (forwards, backwards) = (sum(&mut (0..9)), sum(&mut (0..9).rev()));
        assert_eq!(forwards, backwards);
        assert_eq!(forwards.reopens_agree, 1);
        assert_eq!(forwards.disagreements.len(), DISAGREEMENTS_MAX);
        assert_eq!(forwards.disagreements.first().unwrap().ticket, "INC1");
    }
}
