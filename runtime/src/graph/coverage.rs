//! Which edges of a graph were taken.

use std::collections::BTreeMap;
use std::fmt;

use super::{By, Edge, Graph};

/// Counts how often each edge of a graph was taken, by tests or by a machine at work.
///
/// ```
/// use annals::{By, Coverage, Edge, Graph, StateInfo, StateKind, Trigger};
///
/// const LAMP: Graph = Graph {
///     machine: "Lamp",
///     states: &[
///         StateInfo { name: "Off", was: &[], kind: StateKind::Initial, deadline: None },
///         StateInfo { name: "On", was: &[], kind: StateKind::Ordinary, deadline: None },
///     ],
///     edges: &[
///         Edge { from: "Off", to: Some("On"), by: By::Command("press") },
///         Edge { from: "On", to: Some("Off"), by: By::Command("press") },
///         Edge { from: "On", to: None, by: By::Command("dim") },
///     ],
/// };
///
/// let mut coverage = Coverage::of(LAMP);
/// coverage.record("Off", Some("On"), Trigger::Command("press"));
/// coverage.record("On", None, Trigger::Command("dim"));
/// coverage.record("On", None, Trigger::Command("dim"));
///
/// assert!(coverage.untaken().eq([LAMP.edges[1]]));
/// assert_eq!(
///     coverage.to_string(),
///     "\
/// Lamp: 2 of 3 edges were taken
///
/// from  by     to    times
/// Off   press  On        1
/// On    dim    stay      2
///
/// never taken:
/// On    press  Off",
/// );
/// ```
///
/// Of a system it can be fed with [`Transitions`](crate::Transitions), which don't tell what stays:
///
/// ```
/// use annals::{Coverage, Machine, State, Transition};
///
/// fn count<A: Machine>(coverage: &mut Coverage, transition: &Transition<A>) {
///     coverage.record(transition.from.name(), Some(transition.to.name()), transition.cause());
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coverage {
    graph: Graph,
    /// One count for each edge of the graph.
    times: Vec<u64>,
    undeclared: BTreeMap<(String, Option<String>, Option<String>), u64>,
}

/// What makes a machine do something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Trigger<'a> {
    /// The command of this name.
    Command(&'a str),
    /// The deadline of the state.
    Deadline,
}

/// Something that a machine did and its graph doesn't declare.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Undeclared<'a> {
    /// The state where it began.
    pub from: &'a str,
    /// The state where it led; `None` if the machine stayed.
    pub to: Option<&'a str>,
    /// What made the machine do it.
    pub by: Trigger<'a>,
}

impl Coverage {
    /// Begins with no edge taken.
    pub fn of(graph: Graph) -> Self {
        Self { graph, times: vec![0; graph.edges.len()], undeclared: BTreeMap::new() }
    }

    /// The graph whose edges are counted.
    pub fn graph(&self) -> Graph {
        self.graph
    }

    /// Counts that a machine went from a state to another; `to` is `None` if it stayed.
    ///
    /// What the graph doesn't declare is counted apart: [`Coverage::undeclared`].
    pub fn record(&mut self, from: &str, to: Option<&str>, by: Trigger<'_>) {
        self.add(from, to, by, 1);
    }

    /// Adds what another coverage has counted, of the same graph or of another version of it.
    pub fn merge(&mut self, other: &Self) {
        for (edge, times) in other.taken() {
            self.add(edge.from, edge.to, edge.by.trigger(), times);
        }
        for (went, times) in other.undeclared() {
            self.add(went.from, went.to, went.by, times);
        }
    }

    fn add(&mut self, from: &str, to: Option<&str>, by: Trigger<'_>, times: u64) {
        let is_it = |edge: &Edge| edge.from == from && edge.to == to && edge.by.trigger() == by;
        let count = match self.graph.edges.iter().position(is_it) {
            Some(at) => &mut self.times[at],
            None => {
                let key = (from.to_owned(), to.map(str::to_owned), by.command().map(str::to_owned));
                self.undeclared.entry(key).or_default()
            }
        };
        *count = count.saturating_add(times);
    }

    /// The edges that were taken and how often, in the order of their declaration.
    pub fn taken(&self) -> impl Iterator<Item = (Edge, u64)> {
        self.graph.edges.iter().copied().zip(self.times.iter().copied()).filter(|(_, times)| *times > 0)
    }

    /// The edges that were never taken, in the order of their declaration.
    pub fn untaken(&self) -> impl Iterator<Item = Edge> {
        self.graph.edges.iter().copied().zip(&self.times).filter(|(_, times)| **times == 0).map(|(edge, _)| edge)
    }

    /// What was recorded and the graph doesn't declare, and how often: each thing once, sorted by its names.
    pub fn undeclared(&self) -> impl Iterator<Item = (Undeclared<'_>, u64)> {
        self.undeclared.iter().map(|((from, to, command), times)| {
            let by = command.as_deref().map_or(Trigger::Deadline, Trigger::Command);
            (Undeclared { from, to: to.as_deref(), by }, *times)
        })
    }

    /// Whether every edge was taken, and nothing that the graph doesn't declare.
    pub fn is_complete(&self) -> bool {
        self.undeclared.is_empty() && self.untaken().next().is_none()
    }
}

impl<'a> Trigger<'a> {
    fn command(self) -> Option<&'a str> {
        match self {
            Self::Command(command) => Some(command),
            Self::Deadline => None,
        }
    }
}

impl By {
    fn trigger(self) -> Trigger<'static> {
        self.command().map_or(Trigger::Deadline, Trigger::Command)
    }
}

impl fmt::Display for Trigger<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.command().unwrap_or("the deadline"))
    }
}

impl fmt::Display for Coverage {
    /// Reports to a person: what was taken and how often, what never was, and what was though it isn't declared.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let taken: Vec<_> =
            self.taken().map(|(edge, times)| Row::new(edge.from, &edge.by, edge.to, &times.to_string())).collect();
        let untaken: Vec<_> = self.untaken().map(|edge| Row::new(edge.from, &edge.by, edge.to, "")).collect();
        let undeclared: Vec<_> =
            self.undeclared().map(|(went, times)| Row::new(went.from, &went.by, went.to, &times.to_string())).collect();
        let head = Row::new("from", &"by", Some("to"), "times");
        let all = || [&head].into_iter().chain(&taken).chain(&untaken).chain(&undeclared);
        let widths = [0, 1, 2, 3].map(|column| all().map(|row| row.width(column)).max().unwrap_or(0));

        write!(f, "{}: {} of {} edges were taken", self.graph.machine, taken.len(), self.graph.edges.len())?;
        if !taken.is_empty() {
            f.write_str("\n\n")?;
            head.write(f, widths)?;
            taken.iter().try_for_each(|row| row.write_below(f, widths))?;
        }
        for (title, rows) in [("never taken:", untaken), ("taken, but not declared:", undeclared)] {
            if !rows.is_empty() {
                write!(f, "\n\n{title}")?;
                rows.iter().try_for_each(|row| row.write_below(f, widths))?;
            }
        }
        Ok(())
    }
}

/// A row of the report: from, by, to, times.
struct Row([String; 4]);

impl Row {
    fn new(from: &str, by: &dyn fmt::Display, to: Option<&str>, times: &str) -> Self {
        Self([from.to_owned(), by.to_string(), to.unwrap_or("stay").to_owned(), times.to_owned()])
    }

    fn width(&self, column: usize) -> usize {
        self.0[column].chars().count()
    }

    fn write(&self, f: &mut fmt::Formatter<'_>, widths: [usize; 4]) -> fmt::Result {
        let Self([from, by, to, times]) = self;
        let [w_from, w_by, w_to, w_times] = widths;
        let line = format!("{from:w_from$}  {by:w_by$}  {to:w_to$}  {times:>w_times$}");
        f.write_str(line.trim_end())
    }

    fn write_below(&self, f: &mut fmt::Formatter<'_>, widths: [usize; 4]) -> fmt::Result {
        f.write_str("\n")?;
        self.write(f, widths)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::LOCK;
    use super::*;

    #[test]
    fn what_is_recorded_is_counted_at_its_edge() {
        let mut coverage = Coverage::of(LOCK);
        coverage.record("Locked", None, Trigger::Command("try_unlock"));
        coverage.record("Locked", None, Trigger::Command("try_unlock"));
        coverage.record("Unlocked", Some("Locked"), Trigger::Deadline);
        let taken: Vec<_> = coverage.taken().map(|(edge, times)| (edge.to_string(), times)).collect();
        assert_eq!(
            taken,
            [("Locked --try_unlock--> stay".to_owned(), 2), ("Unlocked --after 30s--> Locked".to_owned(), 1)]
        );
        assert_eq!(coverage.untaken().count(), LOCK.edges.len() - 2);
        assert_eq!(coverage.undeclared().count(), 0);
    }

    #[test]
    fn what_is_not_declared_is_kept_apart() {
        let mut coverage = Coverage::of(LOCK);
        for _ in 0..2 {
            coverage.record("Locked", Some("Ajar"), Trigger::Command("try_unlock"));
        }
        coverage.record("Locked", None, Trigger::Deadline);
        let undeclared: Vec<_> = coverage.undeclared().collect();
        assert_eq!(
            undeclared,
            [
                (Undeclared { from: "Locked", to: None, by: Trigger::Deadline }, 1),
                (Undeclared { from: "Locked", to: Some("Ajar"), by: Trigger::Command("try_unlock") }, 2),
            ]
        );
        assert_eq!(coverage.taken().count(), 0);
    }

    #[test]
    fn to_stay_is_not_to_enter_again() {
        let mut coverage = Coverage::of(LOCK);
        coverage.record("Locked", None, Trigger::Command("restart"));
        assert_eq!(coverage.undeclared().count(), 1);
        coverage.record("Locked", Some("Locked"), Trigger::Command("restart"));
        assert_eq!(coverage.taken().count(), 1);
    }

    #[test]
    fn it_is_complete_when_all_edges_were_taken_and_no_other() {
        let mut coverage = Coverage::of(LOCK);
        for edge in LOCK.edges {
            assert!(!coverage.is_complete());
            coverage.record(edge.from, edge.to, edge.by.trigger());
        }
        assert!(coverage.is_complete());
        coverage.record("Broken", Some("Locked"), Trigger::Command("mend"));
        assert!(!coverage.is_complete());
    }

    #[test]
    fn two_coverages_add_up() {
        let (mut one, mut other) = (Coverage::of(LOCK), Coverage::of(LOCK));
        one.record("Unlocked", Some("Locked"), Trigger::Command("lock"));
        for coverage in [&mut one, &mut other] {
            coverage.record("Unlocked", Some("Locked"), Trigger::Command("slam"));
            coverage.record("Broken", None, Trigger::Command("kick"));
        }
        let mut both = one.clone();
        both.merge(&other);
        assert!(
            both.taken().map(|(edge, times)| (edge.by, times)).eq([(By::Command("lock"), 1), (By::Command("slam"), 2)])
        );
        assert!(both.undeclared().map(|(_, times)| times).eq([2]));
        other.merge(&one);
        assert_eq!(both, other);
    }

    #[test]
    fn what_another_version_of_the_graph_counted_finds_its_place() {
        let mut old = Coverage::of(Graph { edges: &[], ..LOCK });
        old.record("Unlocked", Some("Locked"), Trigger::Command("lock"));
        let mut new = Coverage::of(LOCK);
        new.merge(&old);
        assert_eq!(new.taken().count(), 1);
        old.merge(&new);
        assert!(old.undeclared().map(|(_, times)| times).eq([2]));
    }

    #[test]
    fn the_report_says_what_was_taken_what_never_was_and_what_is_not_declared() {
        let mut coverage = Coverage::of(LOCK);
        for _ in 0..12 {
            coverage.record("Locked", None, Trigger::Command("enter_digit"));
        }
        coverage.record("Locked", Some("Unlocked"), Trigger::Command("try_unlock"));
        coverage.record("Locked", Some("Unlocked"), Trigger::Deadline);
        assert_eq!(
            coverage.to_string(),
            "\
Lock: 2 of 11 edges were taken

from      by            to        times
Locked    enter_digit   stay         12
Locked    try_unlock    Unlocked      1

never taken:
Unlocked  lock          Locked
Unlocked  slam          Locked
Locked    try_unlock    stay
Locked    check         Checking
Checking  pass          Locked
Unlocked  kick          Broken
Locked    kick          Broken
Locked    restart       Locked
Unlocked  after 30s     Locked

taken, but not declared:
Locked    the deadline  Unlocked      1"
        );
    }

    #[test]
    fn the_report_has_no_empty_parts() {
        let mut coverage = Coverage::of(Graph { edges: &LOCK.edges[..1], ..LOCK });
        assert_eq!(coverage.to_string(), "Lock: 0 of 1 edges were taken\n\nnever taken:\nUnlocked  lock  Locked");
        coverage.record("Unlocked", Some("Locked"), Trigger::Command("lock"));
        assert_eq!(
            coverage.to_string(),
            "Lock: 1 of 1 edges were taken\n\nfrom      by    to      times\nUnlocked  lock  Locked      1"
        );
    }
}
