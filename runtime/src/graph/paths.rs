//! The ways through a graph.

use std::fmt;
use std::slice;

use super::{Edge, Graph, StateKind};

impl Graph {
    /// All simple paths: each begins in the initial state, is in no state twice, and goes on until it can't.
    ///
    /// They come in the order of the declarations, and each is computed when it is asked for: a graph may have
    /// exponentially many, so `take` as many as you want. An edge that stays is on no path, nor is one that leads back to
    /// where each path came from.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use annals::{By, Edge, Graph, StateInfo, StateKind};
    ///
    /// const CART: Graph = Graph {
    ///     machine: "Cart",
    ///     states: &[
    ///         StateInfo { name: "Empty", was: &[], kind: StateKind::Initial, deadline: None },
    ///         StateInfo { name: "Shopping", was: &[], kind: StateKind::Ordinary, deadline: Some(Duration::from_secs(86_400)) },
    ///         StateInfo { name: "Paid", was: &[], kind: StateKind::Terminal, deadline: None },
    ///         StateInfo { name: "Dropped", was: &[], kind: StateKind::Terminal, deadline: None },
    ///     ],
    ///     edges: &[
    ///         Edge { from: "Empty", to: Some("Shopping"), by: By::Command("add") },
    ///         Edge { from: "Shopping", to: None, by: By::Command("add") },
    ///         Edge { from: "Shopping", to: Some("Empty"), by: By::Command("clear") },
    ///         Edge { from: "Shopping", to: Some("Paid"), by: By::Command("pay") },
    ///         Edge { from: "Shopping", to: Some("Dropped"), by: By::Deadline(Duration::from_secs(86_400)) },
    ///     ],
    /// };
    ///
    /// let paths: Vec<String> = CART.paths().map(|path| path.to_string()).collect();
    /// assert_eq!(paths, [
    ///     "Empty --add--> Shopping --pay--> Paid",
    ///     "Empty --add--> Shopping --after 1d--> Dropped",
    /// ]);
    /// ```
    pub fn paths(self) -> Paths {
        let start = self.states.iter().find(|state| state.kind == StateKind::Initial);
        let trail = start.map(|start| Step { at: start.name, by: None, left: self.edges.iter(), went_on: false });
        Paths { graph: self, trail: trail.into_iter().collect() }
    }
}

/// The simple paths of a graph, computed one by one; made by [`Graph::paths`].
#[derive(Debug, Clone)]
pub struct Paths {
    graph: Graph,
    /// The way to where the search stands, from the initial state. Empty when all is found.
    trail: Vec<Step>,
}

#[derive(Debug, Clone)]
struct Step {
    at: &'static str,
    /// The edge that led here.
    by: Option<Edge>,
    /// The edges of the graph that were not looked at yet.
    left: slice::Iter<'static, Edge>,
    /// Whether one of them led on.
    went_on: bool,
}

impl Iterator for Paths {
    type Item = Path;

    fn next(&mut self) -> Option<Path> {
        while let Some(step) = self.trail.last_mut() {
            let at = step.at;
            let Some(edge) = step.left.find(|edge| edge.from == at) else {
                let path = (!step.went_on).then(|| self.path());
                self.trail.pop();
                if path.is_some() {
                    return path;
                }
                continue;
            };
            let Some(to) = edge.to.filter(|to| self.trail.iter().all(|step| step.at != *to)) else { continue };
            if let Some(step) = self.trail.last_mut() {
                step.went_on = true;
            }
            self.trail.push(Step { at: to, by: Some(*edge), left: self.graph.edges.iter(), went_on: false });
        }
        None
    }
}

impl std::iter::FusedIterator for Paths {}

impl Paths {
    fn path(&self) -> Path {
        let start = self.trail.first().map_or("", |step| step.at);
        Path { start, edges: self.trail.iter().filter_map(|step| step.by).collect() }
    }
}

/// A way from the initial state of a machine, in no state twice.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Path {
    start: &'static str,
    edges: Vec<Edge>,
}

impl Path {
    /// The edges in the order in which they are taken; none if nothing leads out of the initial state.
    pub fn edges(&self) -> &[Edge] {
        &self.edges
    }

    /// The states on the way, the initial one first.
    pub fn states(&self) -> impl Iterator<Item = &'static str> {
        [self.start].into_iter().chain(self.edges.iter().filter_map(|edge| edge.to))
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.start)?;
        self.edges.iter().try_for_each(|edge| edge.write_way(f))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::super::tests::LOCK;
    use super::*;
    use crate::graph::{By, StateInfo};

    const NAMES: [&str; 6] = ["A", "B", "C", "D", "E", "F"];

    /// A graph of up to six states, the first of them initial, without an edge declared twice.
    fn graphs() -> impl Strategy<Value = Graph> {
        let edges = proptest::collection::btree_set((0..6_usize, proptest::option::of(0..6_usize), 0..2_usize), 0..14);
        edges.prop_map(|edges| {
            let states = NAMES.iter().enumerate().map(|(at, name)| {
                let kind = if at == 0 { StateKind::Initial } else { StateKind::Ordinary };
                StateInfo { name, was: &[], kind, deadline: None }
            });
            let edges = edges.into_iter().map(|(from, to, by)| Edge {
                from: NAMES[from],
                to: to.map(|to| NAMES[to]),
                by: By::Command(["go", "run"][by]),
            });
            Graph { machine: "M", states: states.collect::<Vec<_>>().leak(), edges: edges.collect::<Vec<_>>().leak() }
        })
    }

    /// The states that can be reached from the initial one without being in `avoided`.
    fn reached_without(graph: Graph, avoided: &str) -> BTreeSet<&'static str> {
        let mut reached = BTreeSet::new();
        let mut open = vec!["A"];
        while let Some(state) = open.pop() {
            if state != avoided && reached.insert(state) {
                open.extend(graph.edges.iter().filter(|edge| edge.from == state).filter_map(|edge| edge.to));
            }
        }
        reached
    }

    proptest! {
        #[test]
        fn each_path_begins_at_the_start_is_in_no_state_twice_and_goes_on_until_it_cannot(graph in graphs()) {
            for path in graph.paths() {
                let states: Vec<_> = path.states().collect();
                prop_assert_eq!(states[0], "A");
                prop_assert_eq!(states.len(), path.edges().len() + 1);
                for (edge, ends) in path.edges().iter().zip(states.windows(2)) {
                    prop_assert!(graph.edges.contains(edge));
                    prop_assert_eq!((edge.from, edge.to), (ends[0], Some(ends[1])));
                }
                let different: BTreeSet<_> = states.iter().collect();
                prop_assert_eq!(different.len(), states.len(), "{}", path);
                let end = states[states.len() - 1];
                let onward = graph.edges.iter().filter(|edge| edge.from == end).filter_map(|edge| edge.to);
                prop_assert!(onward.into_iter().all(|to| states.contains(&to)), "{} goes on", path);
            }
        }

        #[test]
        fn no_path_comes_twice(graph in graphs()) {
            let mut seen = BTreeSet::new();
            for path in graph.paths() {
                prop_assert!(seen.insert(path.to_string()), "{} comes twice", path);
            }
        }

        // An edge lies on a simple path if its beginning can be reached without having been at its end.
        #[test]
        fn each_edge_that_a_simple_path_can_take_is_on_one(graph in graphs()) {
            let on_paths: BTreeSet<_> =
                graph.paths().flat_map(|path| path.edges().to_vec()).map(|edge| edge.to_string()).collect();
            for edge in graph.edges {
                let takes = edge.to.is_some_and(|to| reached_without(graph, to).contains(edge.from));
                prop_assert_eq!(on_paths.contains(&edge.to_string()), takes, "{}", edge);
            }
        }
    }

    #[test]
    fn a_lock_has_its_paths_in_the_order_of_the_declarations() {
        let paths: Vec<String> = LOCK.paths().map(|path| path.to_string()).collect();
        assert_eq!(
            paths,
            [
                "Unlocked --lock--> Locked --check--> Checking",
                "Unlocked --lock--> Locked --kick--> Broken",
                "Unlocked --slam--> Locked --check--> Checking",
                "Unlocked --slam--> Locked --kick--> Broken",
                "Unlocked --kick--> Broken",
                "Unlocked --after 30s--> Locked --check--> Checking",
                "Unlocked --after 30s--> Locked --kick--> Broken",
            ]
        );
    }

    #[test]
    fn a_machine_that_only_stays_has_one_path_without_edges() {
        let graph = Graph {
            machine: "Rock",
            states: &[StateInfo { name: "Lying", was: &[], kind: StateKind::Initial, deadline: None }],
            edges: &[Edge { from: "Lying", to: None, by: By::Command("push") }],
        };
        let paths: Vec<_> = graph.paths().collect();
        assert_eq!(paths.len(), 1);
        assert_eq!(paths[0].to_string(), "Lying");
        assert!(paths[0].edges().is_empty());
    }

    #[test]
    fn a_graph_without_an_initial_state_has_no_paths() {
        assert_eq!(Graph::EMPTY.paths().count(), 0);
    }

    #[test]
    fn the_first_of_more_paths_than_can_be_counted_come_at_once() {
        let names: Vec<&'static str> = (0..64).map(|at| &*format!("S{at}").leak()).collect();
        let states = names.iter().enumerate().map(|(at, name)| {
            let kind = if at == 0 { StateKind::Initial } else { StateKind::Ordinary };
            StateInfo { name, was: &[], kind, deadline: None }
        });
        let edges = names.iter().flat_map(|from| {
            let to = |to: &&'static str| Edge { from, to: Some(*to), by: By::Command("go") };
            names.iter().map(to)
        });
        let (states, edges) = (states.collect::<Vec<_>>().leak(), edges.collect::<Vec<_>>().leak());
        let everywhere = Graph { machine: "Everywhere", states, edges };
        assert!(everywhere.paths().take(100).all(|path| path.edges().len() == 63));
    }
}
