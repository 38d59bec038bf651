//! The ticket: its states, and who may go where.

use annals::prelude::*;
use jiff::civil::DateTime;

/// An incident ticket, as its log tells it.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Ticket {
    pub(crate) opened_at: Option<DateTime>,
    /// Since when it has been resolved, if it is.
    pub(crate) resolved_at: Option<DateTime>,
    pub(crate) closed_at: Option<DateTime>,
    pub(crate) updated_at: Option<DateTime>,
    /// The group that it is assigned to, where the log names one.
    pub(crate) group: Option<String>,
    pub(crate) reopens: u32,
    pub(crate) reassignments: u32,
    /// How many changes there were, whatever they changed.
    pub(crate) updates: u32,
}

/// What the first row of a ticket tells.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Opening {
    pub(crate) opened_at: DateTime,
    /// When the log first saw it.
    pub(crate) seen_at: DateTime,
    /// The state in which the log first saw it.
    pub(crate) seen_in: TicketState,
    pub(crate) group: Option<String>,
}

/// What every later row tells, beside the state.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Change {
    pub(crate) at: DateTime,
    pub(crate) reassigned: Option<Reassigned>,
}

/// A ticket went to another group.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Reassigned {
    /// The group, where the log names one.
    pub(crate) to: Option<String>,
}

/// Why a ticket refuses a command that its state would accept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("the ticket is open already")]
    AlreadyOpen,
    #[error("the ticket was not opened yet")]
    NotOpen,
    #[error("a ticket doesn't begin closed")]
    BeginsClosed,
    #[error("a ticket is reopened to one of the open states, and is never new again")]
    NotAnOpenState,
}

#[fsm(
    states(
        /// Nobody works on it yet.
        initial New,
        /// Somebody works on it.
        Active,
        AwaitingUserInfo,
        AwaitingProblem,
        AwaitingVendor,
        AwaitingEvidence,
        /// Done, unless somebody objects.
        Resolved,
        terminal Closed,
    ),
    vis = pub(crate)
)]
impl Ticket {
    #[event]
    fn opened(&mut self, at: DateTime, group: Option<String>) {
        self.opened_at = Some(at);
        self.group = group;
    }

    #[event]
    fn updated(&mut self, at: DateTime) {
        self.updated_at = Some(at);
        self.updates += 1;
    }

    #[event]
    fn reassigned(&mut self, to: Option<String>) {
        self.group = to;
        self.reassignments += 1;
    }

    #[event]
    fn resolved(&mut self, at: DateTime) {
        self.resolved_at = Some(at);
    }

    #[event]
    fn reopened(&mut self) {
        self.resolved_at = None;
        self.reopens += 1;
    }

    #[event]
    fn closed(&mut self, at: DateTime) {
        self.closed_at = Some(at);
    }

    /// Begins the ticket where the log first saw it: of some tickets it doesn't have the first changes.
    #[on(New => stay | Active | AwaitingUserInfo | AwaitingProblem | AwaitingVendor | AwaitingEvidence | Resolved)]
    fn open(&self, opening: Opening) -> Result<Step, Refusal> {
        if self.opened_at.is_some() {
            return Err(Refusal::AlreadyOpen);
        }
        let begun = match opening.seen_in {
            TicketState::New => stay(),
            TicketState::Active => goto(Active),
            TicketState::AwaitingUserInfo => goto(AwaitingUserInfo),
            TicketState::AwaitingProblem => goto(AwaitingProblem),
            TicketState::AwaitingVendor => goto(AwaitingVendor),
            TicketState::AwaitingEvidence => goto(AwaitingEvidence),
            TicketState::Resolved => goto(Resolved).applying(TicketEvent::Resolved { at: opening.seen_at }),
            TicketState::Closed => return Err(Refusal::BeginsClosed),
        };
        Ok(begun.applying(TicketEvent::Opened { at: opening.opened_at, group: opening.group }))
    }

    /// Somebody works on it, for the first time or again.
    #[on(New | AwaitingUserInfo | AwaitingProblem | AwaitingVendor | AwaitingEvidence => Active)]
    fn activate(&self, change: Change) -> Result<Step, Refusal> {
        Ok(goto(Active).applying(self.changed(change)?))
    }

    /// Nothing can be done before the user answers.
    #[on(New | Active | AwaitingProblem | AwaitingVendor | AwaitingEvidence => AwaitingUserInfo)]
    fn await_user_info(&self, change: Change) -> Result<Step, Refusal> {
        Ok(goto(AwaitingUserInfo).applying(self.changed(change)?))
    }

    /// Nothing can be done before the problem behind it is found.
    #[on(New | Active | AwaitingUserInfo | AwaitingVendor | AwaitingEvidence => AwaitingProblem)]
    fn await_problem(&self, change: Change) -> Result<Step, Refusal> {
        Ok(goto(AwaitingProblem).applying(self.changed(change)?))
    }

    /// Nothing can be done before the vendor has done something.
    #[on(New | Active | AwaitingUserInfo | AwaitingProblem | AwaitingEvidence => AwaitingVendor)]
    fn await_vendor(&self, change: Change) -> Result<Step, Refusal> {
        Ok(goto(AwaitingVendor).applying(self.changed(change)?))
    }

    /// Nothing can be done before there is evidence.
    #[on(New | Active | AwaitingUserInfo | AwaitingProblem | AwaitingVendor => AwaitingEvidence)]
    fn await_evidence(&self, change: Change) -> Result<Step, Refusal> {
        Ok(goto(AwaitingEvidence).applying(self.changed(change)?))
    }

    /// It is done.
    #[on(New | Active | AwaitingUserInfo | AwaitingProblem | AwaitingVendor | AwaitingEvidence => Resolved)]
    fn resolve(&self, change: Change) -> Result<Step, Refusal> {
        let at = change.at;
        Ok(goto(Resolved).applying(self.changed(change)?).applying(TicketEvent::Resolved { at }))
    }

    /// It was not done after all.
    #[on(Resolved => Active | AwaitingUserInfo | AwaitingProblem | AwaitingVendor | AwaitingEvidence)]
    fn reopen(&self, to: TicketState, change: Change) -> Result<Step, Refusal> {
        let reopened = match to {
            TicketState::Active => goto(Active),
            TicketState::AwaitingUserInfo => goto(AwaitingUserInfo),
            TicketState::AwaitingProblem => goto(AwaitingProblem),
            TicketState::AwaitingVendor => goto(AwaitingVendor),
            TicketState::AwaitingEvidence => goto(AwaitingEvidence),
            TicketState::New | TicketState::Resolved | TicketState::Closed => return Err(Refusal::NotAnOpenState),
        };
        Ok(reopened.applying(self.changed(change)?).applying(TicketEvent::Reopened))
    }

    /// Nobody objected.
    #[on(Resolved => Closed)]
    fn close(&self, change: Change) -> Result<Step, Refusal> {
        let at = change.at;
        Ok(goto(Closed).applying(self.changed(change)?).applying(TicketEvent::Closed { at }))
    }

    /// Another group has it now, and all else is as it was.
    #[on(_ => stay)]
    fn reassign(&self, change: Change) -> Result<Step, Refusal> {
        Ok(stay().applying(self.changed(change)?))
    }

    /// Something changed that the machine doesn't look at.
    #[on(_ => stay)]
    fn update(&self, change: Change) -> Result<Step, Refusal> {
        Ok(stay().applying(self.changed(change)?))
    }

    /// All that is known of the ticket.
    #[query]
    fn read(&self) -> Self {
        self.clone()
    }

    /// What every change of an open ticket brings with it.
    fn changed(&self, change: Change) -> Result<Vec<TicketEvent>, Refusal> {
        self.opened_at.ok_or(Refusal::NotOpen)?;
        let updated = TicketEvent::Updated { at: change.at };
        let reassigned = change.reassigned.map(|Reassigned { to }| TicketEvent::Reassigned { to });
        Ok(std::iter::once(updated).chain(reassigned).collect())
    }
}

#[cfg(test)]
mod tests {
    use annals::testing::{Bench, assert_schema, given};
    use annals::{Graph, StateKind};
    use jiff::civil::date;

    use super::*;

    fn at(day: i8) -> DateTime {
        date(2016, 3, day).at(12, 0, 0, 0)
    }

    fn opening(seen_in: TicketState) -> Opening {
        Opening { opened_at: at(1), seen_at: at(2), seen_in, group: None }
    }

    fn change(day: i8) -> Change {
        Change { at: at(day), reassigned: None }
    }

    /// An open ticket in this state.
    fn ticket(state: TicketState) -> Bench<Ticket> {
        given::<Ticket>(TicketEvent::Opened { at: at(1), group: None }).in_state(state)
    }

    #[test]
    fn what_is_stored_is_as_the_file_says() {
        assert_schema::<Ticket>("schemas/ticket.schema");
    }

    #[test]
    fn a_ticket_is_opened_once_and_in_any_state_but_the_last() {
        for state in [TicketState::New, TicketState::Active, TicketState::AwaitingEvidence, TicketState::Resolved] {
            given::<Ticket>([]).when(|ticket| ticket.open(opening(state))).then_reply(()).then_state(state);
        }
        given::<Ticket>([])
            .when(|ticket| ticket.open(opening(TicketState::Closed)))
            .then_refusal(Refusal::BeginsClosed);
        ticket(TicketState::New)
            .when(|ticket| ticket.open(opening(TicketState::New)))
            .then_refusal(Refusal::AlreadyOpen);
    }

    #[test]
    fn nothing_happens_to_a_ticket_before_it_is_opened() {
        let ticket = given::<Ticket>([]);
        ticket.when(|ticket| ticket.activate(change(2))).then_no_events().then_refusal(Refusal::NotOpen);
        ticket.when(|ticket| ticket.update(change(2))).then_refusal(Refusal::NotOpen);
    }

    #[test]
    fn a_resolved_ticket_is_closed_or_reopened_and_only_such_a_one() {
        let resolved = || ticket(TicketState::Resolved);
        resolved().when(|ticket| ticket.close(change(3))).then_state(TicketState::Closed);
        resolved()
            .when(|ticket| ticket.reopen(TicketState::AwaitingVendor, change(3)))
            .then_events([TicketEvent::Updated { at: at(3) }, TicketEvent::Reopened])
            .then_state(TicketState::AwaitingVendor);
        for state in [TicketState::New, TicketState::Resolved, TicketState::Closed] {
            resolved().when(|ticket| ticket.reopen(state, change(3))).then_refusal(Refusal::NotAnOpenState);
        }
        ticket(TicketState::Active).when(|ticket| ticket.close(change(3))).then_not_accepted();
        ticket(TicketState::Active).when(|ticket| ticket.reopen(TicketState::Active, change(3))).then_not_accepted();
    }

    #[test]
    fn a_closed_ticket_accepts_nothing() {
        assert_eq!(Ticket::GRAPH.accepts("Closed").count(), 0);
        ticket(TicketState::Closed).when(|ticket| ticket.update(change(3))).then_not_accepted();
    }

    #[test]
    fn open_states_lead_everywhere_but_back_to_new() {
        let Graph { states, edges, .. } = Ticket::GRAPH;
        let open = states.iter().filter(|it| it.kind != StateKind::Terminal && it.name != "Resolved");
        for from in open.map(|state| state.name) {
            for to in states.iter().map(|state| state.name) {
                let is_declared = edges.iter().any(|edge| edge.from == from && edge.to == Some(to));
                assert_eq!(is_declared, from != to && !["New", "Closed"].contains(&to), "{from} -> {to}");
            }
        }
    }

    #[test]
    fn a_ticket_counts_its_changes_reopenings_and_reassignments() {
        let ticket = given::<Ticket>([]);
        let moved = Change { at: at(3), reassigned: Some(Reassigned { to: Some("B".to_owned()) }) };
        ticket.when(|it| it.open(opening(TicketState::New))).then_ok();
        ticket.when(|it| it.activate(moved.clone())).then_ok();
        ticket.when(|it| it.reassign(Change { at: at(4), reassigned: Some(Reassigned { to: None }) })).then_ok();
        ticket.when(|it| it.resolve(change(5))).then_ok();
        ticket.inspect(|it| assert_eq!(it.resolved_at, Some(at(5))));
        ticket.when(|it| it.reopen(TicketState::Active, moved)).then_ok();
        let told = Ticket {
            opened_at: Some(at(1)),
            updated_at: Some(at(3)),
            group: Some("B".to_owned()),
            reopens: 1,
            reassignments: 3,
            updates: 4,
            ..Ticket::default()
        };
        ticket.inspect(|it| assert_eq!(*it, told));
    }
}
