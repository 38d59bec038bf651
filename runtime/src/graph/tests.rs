//! The lock of the tests, with a state of each kind.

use super::*;

const RELOCK: Duration = Duration::from_secs(30);

pub(super) const LOCK: Graph = Graph {
    machine: "Lock",
    states: &[
        StateInfo { name: "Unlocked", was: &[], kind: StateKind::Initial, deadline: Some(RELOCK) },
        StateInfo { name: "Locked", was: &[], kind: StateKind::Ordinary, deadline: None },
        StateInfo { name: "Checking", was: &[], kind: StateKind::Transient, deadline: None },
        StateInfo { name: "Broken", was: &[], kind: StateKind::Terminal, deadline: None },
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
        Edge { from: "Locked", to: Some("Locked"), by: By::Command("restart") },
        Edge { from: "Unlocked", to: Some("Locked"), by: By::Deadline(RELOCK) },
    ],
};

/// A machine whose names are words of Rust and of Mermaid.
pub(super) const WORDS: Graph = Graph {
    machine: "Words",
    states: &[
        StateInfo { name: "State", was: &[], kind: StateKind::Initial, deadline: None },
        StateInfo { name: "State_", was: &[], kind: StateKind::Ordinary, deadline: None },
        StateInfo { name: "r#type", was: &[], kind: StateKind::Ordinary, deadline: None },
        StateInfo { name: "End", was: &[], kind: StateKind::Terminal, deadline: None },
        StateInfo { name: "note", was: &[], kind: StateKind::Transient, deadline: None },
        StateInfo { name: "Été", was: &[], kind: StateKind::Ordinary, deadline: None },
    ],
    edges: &[
        Edge { from: "State", to: Some("r#type"), by: By::Command("state") },
        Edge { from: "r#type", to: Some("note"), by: By::Command("note") },
        Edge { from: "State", to: Some("End"), by: By::Command("end") },
        Edge { from: "note", to: Some("State_"), by: By::Command("r#loop") },
        Edge { from: "State_", to: Some("Été"), by: By::Command("rester") },
    ],
};

#[test]
fn a_state_accepts_its_commands_once_and_in_the_order_of_their_declaration() {
    assert!(LOCK.accepts("Unlocked").eq(["lock", "slam", "kick"]));
    assert!(LOCK.accepts("Locked").eq(["enter_digit", "try_unlock", "check", "kick", "restart"]));
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

#[test]
fn an_edge_is_an_arrow() {
    let shown: Vec<String> = LOCK.edges.iter().map(ToString::to_string).collect();
    assert_eq!(shown[0], "Unlocked --lock--> Locked");
    assert_eq!(shown[2], "Locked --enter_digit--> stay");
    assert_eq!(shown[10], "Unlocked --after 30s--> Locked");
}
