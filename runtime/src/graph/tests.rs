//! The lock of the tests, with a state of each kind.

use super::*;

const RELOCK: Duration = Duration::from_secs(30);

pub(super) const LOCK: Graph = Graph {
    machine: "Lock",
    states: &[
        StateInfo { name: "Unlocked", kind: StateKind::Initial, deadline: Some(RELOCK) },
        StateInfo { name: "Locked", kind: StateKind::Ordinary, deadline: None },
        StateInfo { name: "Checking", kind: StateKind::Transient, deadline: None },
        StateInfo { name: "Broken", kind: StateKind::Terminal, deadline: None },
    ],
    edges: &[
        Edge { from: "Unlocked", to: Some("Locked"), by: By::Command("lock") },
        Edge { from: "Unlocked", to: Some("Locked"), by: By::Command("slam") },
        Edge { from: "Locked", to: None, by: By::Command("enter_digit") },
        Edge { from: "Locked", to: Some("Unlocked"), by: By::Command("try_unlock") },
        Edge { from: "Locked", to: None, by: By::Command("try_unlock") },
        Edge { from: "Locked", to: Some("Checking"), by: By::Command("check") },
        Edge { from: "Checking", to: Some("Locked"), by: By::Command("pass") },
        Edge { from: "Unlocked", to: Some("Broken"), by: By::Command("kick") },
        Edge { from: "Locked", to: Some("Broken"), by: By::Command("kick") },
        Edge { from: "Unlocked", to: Some("Locked"), by: By::Deadline(RELOCK) },
    ],
};

#[test]
fn a_state_accepts_its_commands_once_and_in_the_order_of_their_declaration() {
    assert!(LOCK.accepts("Unlocked").eq(["lock", "slam", "kick"]));
    assert!(LOCK.accepts("Locked").eq(["enter_digit", "try_unlock", "check", "kick"]));
}

#[test]
fn a_terminal_or_unknown_state_accepts_nothing() {
    assert_eq!(LOCK.accepts("Broken").count(), 0);
    assert_eq!(LOCK.accepts("Ajar").count(), 0);
    assert_eq!(Graph::EMPTY.accepts("Unlocked").count(), 0);
}

#[test]
fn a_command_is_accepted_in_each_state_once_and_in_the_order_of_the_states() {
    assert!(LOCK.accepted_in("kick").eq(["Unlocked", "Locked"]));
    assert!(LOCK.accepted_in("try_unlock").eq(["Locked"]));
    assert_eq!(LOCK.accepted_in("open").count(), 0);
}
