//! What a row means: the command that tells its change.

use crate::log::Row;
use crate::ticket::{Change, Opening, Reassigned, TicketCommand, TicketState};

/// What has to be known of a ticket's last row to see what the next one changed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Before {
    state: TicketState,
    group: Option<String>,
    reassignments: u32,
}

impl From<Row> for Before {
    fn from(row: Row) -> Self {
        Self { state: row.state, group: row.group, reassignments: row.reassignments }
    }
}

/// The one command that a row means, whatever it changed at once, so that a row is one atomic write.
///
/// The first row opens the ticket, in whatever state it shows. Then a new state decides which command it is; a row that leaves the state as it was is a reassignment or an update.
pub(crate) fn command(before: Option<&Before>, row: &Row) -> TicketCommand {
    let Some(before) = before else {
        return TicketCommand::Open { opening: opening(row) };
    };
    let change = Change { at: row.updated_at, reassigned: reassigned(before, row) };
    match row.state {
        to if to == before.state && change.reassigned.is_some() => TicketCommand::Reassign { change },
        to if to == before.state => TicketCommand::Update { change },
        // Nothing makes a ticket new again: the machine says so.
        TicketState::New => TicketCommand::Open { opening: opening(row) },
        TicketState::Resolved => TicketCommand::Resolve { change },
        TicketState::Closed => TicketCommand::Close { change },
        to if is_done(before.state) => TicketCommand::Reopen { to, change },
        TicketState::Active => TicketCommand::Activate { change },
        TicketState::AwaitingUserInfo => TicketCommand::AwaitUserInfo { change },
        TicketState::AwaitingProblem => TicketCommand::AwaitProblem { change },
        TicketState::AwaitingVendor => TicketCommand::AwaitVendor { change },
        TicketState::AwaitingEvidence => TicketCommand::AwaitEvidence { change },
    }
}

fn opening(row: &Row) -> Opening {
    Opening { opened_at: row.opened_at, seen_at: row.updated_at, seen_in: row.state, group: row.group.clone() }
}

/// Another group has the ticket if the log names another one, or none any more.
///
/// Some rows count a reassignment between groups that have one name, or none, in this log. The counter is all that
/// tells of those.
fn reassigned(before: &Before, row: &Row) -> Option<Reassigned> {
    (row.group != before.group || is_counted_only(before, row)).then(|| Reassigned { to: row.group.clone() })
}

/// Whether the log counts a reassignment of which it shows nothing.
pub(crate) fn is_counted_only(before: &Before, row: &Row) -> bool {
    row.group == before.group && row.reassignments > before.reassignments
}

/// Where an accepted command leads; `None` if the ticket stays in its state.
pub(crate) fn target(command: &TicketCommand) -> Option<TicketState> {
    match command {
        TicketCommand::Open { opening } => Some(opening.seen_in).filter(|seen_in| *seen_in != TicketState::New),
        TicketCommand::Activate { .. } => Some(TicketState::Active),
        TicketCommand::AwaitUserInfo { .. } => Some(TicketState::AwaitingUserInfo),
        TicketCommand::AwaitProblem { .. } => Some(TicketState::AwaitingProblem),
        TicketCommand::AwaitVendor { .. } => Some(TicketState::AwaitingVendor),
        TicketCommand::AwaitEvidence { .. } => Some(TicketState::AwaitingEvidence),
        TicketCommand::Resolve { .. } => Some(TicketState::Resolved),
        TicketCommand::Close { .. } => Some(TicketState::Closed),
        TicketCommand::Reopen { to, .. } => Some(*to),
        TicketCommand::Reassign { .. } | TicketCommand::Update { .. } => None,
    }
}

fn is_done(state: TicketState) -> bool {
    matches!(state, TicketState::Resolved | TicketState::Closed)
}

#[cfg(test)]
mod tests {
    use jiff::civil::{DateTime, date};

    use super::*;

    fn at() -> DateTime {
        date(2016, 3, 1).at(12, 0, 0, 0)
    }

    fn row(state: TicketState, group: &str, reassignments: u32) -> Row {
        let group = (group != "?").then(|| group.to_owned());
        Row { state, opened_at: at(), updated_at: at(), group, reopens: 0, reassignments }
    }

    /// The command between two rows of these states, by one group.
    fn between(before: TicketState, after: TicketState) -> TicketCommand {
        command(Some(&row(before, "A", 0).into()), &row(after, "A", 0))
    }

    fn kept() -> Change {
        Change { at: at(), reassigned: None }
    }

    #[test]
    fn the_first_row_opens_the_ticket_in_the_state_that_it_shows() {
        for state in [TicketState::New, TicketState::Active, TicketState::Resolved, TicketState::Closed] {
            let opening = Opening { opened_at: at(), seen_at: at(), seen_in: state, group: Some("A".to_owned()) };
            assert_eq!(command(None, &row(state, "A", 0)), TicketCommand::Open { opening });
        }
    }

    #[test]
    fn a_new_state_is_the_command_that_leads_there() {
        use TicketState::*;
        assert_eq!(between(New, Active), TicketCommand::Activate { change: kept() });
        assert_eq!(between(Active, AwaitingUserInfo), TicketCommand::AwaitUserInfo { change: kept() });
        assert_eq!(between(New, AwaitingProblem), TicketCommand::AwaitProblem { change: kept() });
        assert_eq!(between(AwaitingProblem, AwaitingVendor), TicketCommand::AwaitVendor { change: kept() });
        assert_eq!(between(AwaitingVendor, AwaitingEvidence), TicketCommand::AwaitEvidence { change: kept() });
        assert_eq!(between(AwaitingEvidence, Resolved), TicketCommand::Resolve { change: kept() });
        assert_eq!(between(New, Closed), TicketCommand::Close { change: kept() });
    }

    #[test]
    fn an_open_state_after_an_end_is_a_reopening() {
        use TicketState::*;
        for before in [Resolved, Closed] {
            for to in [Active, AwaitingUserInfo] {
                assert_eq!(between(before, to), TicketCommand::Reopen { to, change: kept() });
            }
        }
    }

    #[test]
    fn a_ticket_that_is_new_again_is_opened_again() {
        assert!(matches!(between(TicketState::Active, TicketState::New), TicketCommand::Open { .. }));
        assert!(matches!(between(TicketState::Resolved, TicketState::New), TicketCommand::Open { .. }));
    }

    #[test]
    fn a_row_in_the_same_state_is_an_update_or_a_reassignment() {
        let before = row(TicketState::Active, "A", 1).into();
        let updated = command(Some(&before), &row(TicketState::Active, "A", 1));
        assert_eq!(updated, TicketCommand::Update { change: kept() });
        for (group, to) in [("B", Some("B".to_owned())), ("?", None)] {
            let change = Change { at: at(), reassigned: Some(Reassigned { to }) };
            let reassigned = command(Some(&before), &row(TicketState::Active, group, 2));
            assert_eq!(reassigned, TicketCommand::Reassign { change });
        }
    }

    #[test]
    fn a_row_that_changes_state_and_group_is_one_command() {
        let before = row(TicketState::New, "A", 0).into();
        let change = Change { at: at(), reassigned: Some(Reassigned { to: Some("B".to_owned()) }) };
        assert_eq!(command(Some(&before), &row(TicketState::Active, "B", 1)), TicketCommand::Activate { change });
    }

    #[test]
    fn a_reassignment_that_only_the_counter_shows_is_one() {
        let before = row(TicketState::Active, "?", 1).into();
        let after = row(TicketState::Active, "?", 2);
        assert!(is_counted_only(&before, &after));
        let change = Change { at: at(), reassigned: Some(Reassigned { to: None }) };
        assert_eq!(command(Some(&before), &after), TicketCommand::Reassign { change });
        assert!(!is_counted_only(&before, &row(TicketState::Active, "B", 2)));
    }
}
