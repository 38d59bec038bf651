//! The graph of a state machine as data: its states, and the ways between them.

mod coverage;
mod diagram;
mod duration;
mod paths;

use std::fmt;
use std::time::Duration;

pub use coverage::{Coverage, Trigger, Undeclared};
pub use paths::{Path, Paths};

/// The states of a machine and the ways between them, as they were declared.
///
/// `#[fsm]` makes one for each machine, and the runtime holds handlers to it: nothing goes a way that isn't here. It can
/// be drawn ([`Graph::to_mermaid`], [`Graph::to_dot`]), walked ([`Graph::paths`]) and compared with what was done
/// ([`Coverage`]). It can as well be written by hand:
///
/// ```
/// use std::time::Duration;
///
/// use annals::{By, Edge, Graph, StateInfo, StateKind};
///
/// const DOOR: Graph = Graph {
///     machine: "Door",
///     states: &[
///         StateInfo { name: "Closed", was: &[], kind: StateKind::Initial, deadline: None },
///         StateInfo { name: "Open", was: &[], kind: StateKind::Ordinary, deadline: Some(Duration::from_secs(30)) },
///     ],
///     edges: &[
///         Edge { from: "Closed", to: Some("Open"), by: By::Command("open") },
///         Edge { from: "Closed", to: None, by: By::Command("knock") },
///         Edge { from: "Open", to: Some("Closed"), by: By::Deadline(Duration::from_secs(30)) },
///     ],
/// };
///
/// assert!(DOOR.accepts("Closed").eq(["open", "knock"]));
/// assert!(DOOR.accepted_in("open").eq(["Closed"]));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Graph {
    /// The stored name of the aggregate.
    pub machine: &'static str,
    /// The states in the order of their declaration.
    pub states: &'static [StateInfo],
    /// The ways in the order of their declaration; one that is declared for several states or targets is several.
    pub edges: &'static [Edge],
}

/// A state of a [`Graph`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct StateInfo {
    /// What it is called, as in the code, and under which name it is stored.
    pub name: &'static str,
    /// Older names under which it may be stored.
    pub was: &'static [&'static str],
    /// What is special about it.
    pub kind: StateKind,
    /// How long it lasts, unless a step says otherwise; `None` if it has no deadline.
    pub deadline: Option<Duration>,
}

/// What is special about a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StateKind {
    /// Where a machine begins. Exactly one state is this.
    Initial,
    /// Nothing.
    Ordinary,
    /// Isn't returned to on recovery.
    Transient,
    /// Nothing leads out of it.
    Terminal,
}

/// A way of a [`Graph`]: what may happen in a state, and where it leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Edge {
    /// The state where it begins.
    pub from: &'static str,
    /// The state where it leads; `None` is `stay`. A state that leads to itself by name is entered again.
    pub to: Option<&'static str>,
    /// What it takes to go there.
    pub by: By,
}

/// What makes a machine go along an [`Edge`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum By {
    /// The command of this name.
    Command(&'static str),
    /// The state has lasted this long.
    Deadline(Duration),
}

impl Graph {
    /// The graph of an aggregate without states.
    pub const EMPTY: Self = Self { machine: "", states: &[], edges: &[] };

    /// The commands that are accepted in `state`: each once, in the order of their declaration.
    pub fn accepts(self, state: &str) -> impl Iterator<Item = &'static str> {
        let commands = move |edges: &'static [Edge]| {
            edges.iter().filter(move |edge| edge.from == state).filter_map(|edge| edge.by.command())
        };
        self.edges.iter().enumerate().filter_map(move |(at, edge)| {
            let command = edge.by.command().filter(|_| edge.from == state)?;
            commands(&self.edges[..at]).all(|earlier| earlier != command).then_some(command)
        })
    }

    /// The states in which `command` is accepted: each once, in the order of their declaration.
    pub fn accepted_in(self, command: &str) -> impl Iterator<Item = &'static str> {
        let accepts = move |state| {
            self.edges.iter().any(|edge| edge.from == state && edge.by.command().is_some_and(|by| by == command))
        };
        self.states.iter().map(|state| state.name).filter(move |state| accepts(*state))
    }
}

impl By {
    /// The command, if it is one.
    fn command(self) -> Option<&'static str> {
        match self {
            Self::Command(command) => Some(command),
            Self::Deadline(_) => None,
        }
    }
}

impl Edge {
    /// The edge without where it begins: ` --lock--> Locked`.
    fn write_way(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, " --{}--> {}", self.by, self.to.unwrap_or("stay"))
    }
}

impl fmt::Display for Edge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.from)?;
        self.write_way(f)
    }
}

impl fmt::Display for By {
    /// A command is its name, a deadline is `after 30s`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Command(command) => f.write_str(command),
            Self::Deadline(duration) => write!(f, "after {}", duration::Spelled(*duration)),
        }
    }
}

/// A duration as a person writes it.
#[cfg(feature = "testing")]
pub(crate) fn spelled(duration: Duration) -> impl fmt::Display {
    duration::Spelled(duration)
}

#[cfg(test)]
mod tests;
