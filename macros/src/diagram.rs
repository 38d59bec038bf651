//! The graph for readers: a table of the transitions, and a diagram.
//!
//! The diagram is the one that `Graph::to_mermaid` draws, but with durations as they are written.

use syn::ext::IdentExt;

use crate::duration::Duration;
use crate::graph::{Cause, Graph, Target, Way};
use crate::states::State;
use crate::symbol::MERMAID_WORDS;

/// One step from a state to another.
struct Edge {
    from: usize,
    /// None is `stay`.
    to: Option<usize>,
    by: String,
    is_command: bool,
}

/// `| from | by | to |` and a line for each edge.
pub(crate) fn table(graph: &Graph<'_>) -> String {
    let name = |state: usize| format!("`{}`", graph.states[state].name());
    let mut table = String::from("| from | by | to |\n|---|---|---|\n");
    for Edge { from, to, by, is_command } in edges(graph) {
        let by = if is_command { format!("`{by}`") } else { by };
        let to = to.map_or_else(|| "stay".to_owned(), name);
        table.extend(["| ", &name(from), " | ", &by, " | ", &to, " |\n"]);
    }
    table
}

/// ```text
/// stateDiagram-v2
///     [*] --> Unlocked
///     Unlocked --> Locked: lock, after 30s
/// ```
pub(crate) fn mermaid(graph: &Graph<'_>) -> String {
    let called: Vec<String> = (0..graph.states.len()).map(|state| mermaid_name(graph, state)).collect();
    let arrows = arrows(graph);
    let states = || graph.states.iter().zip(&called).enumerate();
    let mut text = String::from("stateDiagram-v2\n");
    for (index, (state, called)) in states() {
        let shown = state.name();
        if *called != shown {
            text.extend(["    state \"", &shown, "\" as ", called, "\n"]);
        }
        let is_drawn = arrows.iter().any(|arrow| arrow.from == index || arrow.to == index);
        if state.is_initial() {
            text.extend(["    [*] --> ", called, "\n"]);
        } else if state.words.is_empty() && !is_drawn {
            text.extend(["    ", called, "\n"]);
        }
    }
    for arrow in &arrows {
        text.extend(["    ", &called[arrow.from], " --> ", &called[arrow.to], ": ", &arrow.label, "\n"]);
    }
    for (_, (_, called)) in states().filter(|(_, (state, _))| state.is_terminal()) {
        text.extend(["    ", called, " --> [*]\n"]);
    }
    for (_, (_, called)) in states().filter(|(_, (state, _))| state.is_transient()) {
        text.extend(["    class ", called, " transient\n"]);
    }
    if graph.states.iter().any(State::is_transient) {
        text.push_str("    classDef transient stroke-dasharray: 5 5\n");
    }
    text
}

/// In the order of their declaration.
fn edges(graph: &Graph<'_>) -> Vec<Edge> {
    graph.ways.iter().flat_map(edges_of).collect()
}

fn edges_of(way: &Way<'_>) -> Vec<Edge> {
    let (by, is_command) = match &way.cause {
        Cause::Command(command) => (command.unraw().to_string(), true),
        Cause::Deadline(duration) => {
            let duration = duration.as_ref().map(Duration::text).unwrap_or_default();
            (format!("after {duration}"), false)
        }
    };
    let targets = || {
        way.to.iter().map(|target| match target {
            Target::State(place) => Some(place.state),
            Target::Stay(_) => None,
        })
    };
    let gone = way.from.iter().flat_map(|from| targets().map(move |to| (from.state, to)));
    let ignored = way.ignored.iter().map(|from| (from.state, None));
    gone.chain(ignored).map(|(from, to)| Edge { from, to, by: by.clone(), is_command }).collect()
}

/// All edges between two states.
struct Arrow {
    from: usize,
    to: usize,
    label: String,
}

/// One arrow for each pair of states, in the states' order.
fn arrows(graph: &Graph<'_>) -> Vec<Arrow> {
    let mut edges = edges(graph);
    edges.sort_by_key(|edge| edge.from);
    let mut arrows: Vec<Arrow> = Vec::new();
    for Edge { from, to, by, .. } in edges {
        let label = if to == Some(from) { format!("{by} (re-enters)") } else { by };
        let to = to.unwrap_or(from);
        match arrows.iter_mut().find(|arrow| (arrow.from, arrow.to) == (from, to)) {
            Some(arrow) => arrow.label.extend([", ", &label]),
            None => arrows.push(Arrow { from, to, label }),
        }
    }
    arrows
}

/// What a state is called in Mermaid's text: its name, unless Mermaid has another use for it or could not give it a
/// class; then something that no other state is called.
fn mermaid_name(graph: &Graph<'_>, state: usize) -> String {
    let plainly = graph.states[state].name();
    let mut name = if !plainly.is_ascii() {
        format!("s{}", state + 1)
    } else if MERMAID_WORDS.iter().any(|word| plainly.eq_ignore_ascii_case(word)) {
        format!("{plainly}_")
    } else {
        return plainly;
    };
    while graph.states.iter().any(|other| other.name() == name) {
        name.push('_');
    }
    name
}
