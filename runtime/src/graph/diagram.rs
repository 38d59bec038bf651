//! A graph as a picture: the text that Mermaid and Graphviz draw.

use std::fmt::{self, Write};

use super::{Edge, Graph, StateInfo, StateKind};

/// What Mermaid's lexer takes for its own, in any case, where a state may stand; and names of its own nodes.
const MERMAID_WORDS: [&str; 16] = [
    "accdescr",
    "acctitle",
    "class",
    "classdef",
    "click",
    "default",
    "end",
    "href",
    "note",
    "root",
    "root_end",
    "root_start",
    "scale",
    "state",
    "statediagram",
    "style",
];

impl Graph {
    /// Draws the graph as a Mermaid state diagram.
    ///
    /// There is one arrow for each pair of states, and all that takes one there is written on it. `stay` is an arrow
    /// back to the state itself, as is a transition to the same state, which says that it re-enters. Transient states
    /// are dashed. Names are taken to be Rust's; those that Mermaid can't take, such as `End`, are shown as they are and
    /// called something else in the text.
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
    ///         StateInfo { name: "Open", was: &[], kind: StateKind::Ordinary, deadline: Some(Duration::from_secs(90)) },
    ///         StateInfo { name: "Broken", was: &[], kind: StateKind::Terminal, deadline: None },
    ///     ],
    ///     edges: &[
    ///         Edge { from: "Closed", to: Some("Open"), by: By::Command("open") },
    ///         Edge { from: "Closed", to: None, by: By::Command("knock") },
    ///         Edge { from: "Closed", to: Some("Broken"), by: By::Command("kick") },
    ///         Edge { from: "Open", to: Some("Closed"), by: By::Command("close") },
    ///         Edge { from: "Open", to: Some("Closed"), by: By::Deadline(Duration::from_secs(90)) },
    ///     ],
    /// };
    ///
    /// assert_eq!(
    ///     DOOR.to_mermaid(),
    ///     "\
    /// stateDiagram-v2
    ///     [*] --> Closed
    ///     Closed --> Open: open
    ///     Closed --> Closed: knock
    ///     Closed --> Broken: kick
    ///     Open --> Closed: close, after 1min 30s
    ///     Broken --> [*]
    /// ",
    /// );
    /// ```
    pub fn to_mermaid(self) -> String {
        let mut text = String::from("stateDiagram-v2\n");
        // Writing into a string doesn't fail.
        let _ = self.write_mermaid(&mut text);
        text
    }

    /// Draws the graph in Graphviz's language DOT, as [`Graph::to_mermaid`] does.
    ///
    /// ```
    /// use annals::{By, Edge, Graph, StateInfo, StateKind};
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
    ///     ],
    /// };
    ///
    /// assert_eq!(
    ///     LAMP.to_dot(),
    ///     r#"digraph "Lamp" {
    ///     node [shape=box, style=rounded];
    ///     "" [shape=point];
    ///     "Off";
    ///     "On";
    ///     "" -> "Off";
    ///     "Off" -> "On" [label="press"];
    ///     "On" -> "Off" [label="press"];
    /// }
    /// "#,
    /// );
    /// ```
    pub fn to_dot(self) -> String {
        let mut text = String::new();
        // Writing into a string doesn't fail.
        let _ = self.write_dot(&mut text);
        text
    }

    fn write_mermaid(self, text: &mut String) -> fmt::Result {
        let arrows = self.arrows();
        for state in self.states {
            let (shown, called) = (plain(state.name), self.mermaid_name(state.name));
            if called != shown {
                writeln!(text, "    state \"{shown}\" as {called}")?;
            }
            let drawn = arrows.iter().any(|arrow| arrow.from == state.name || arrow.to == state.name);
            match state.kind {
                StateKind::Initial => writeln!(text, "    [*] --> {called}")?,
                StateKind::Ordinary if !drawn => writeln!(text, "    {called}")?,
                StateKind::Ordinary | StateKind::Transient | StateKind::Terminal => {}
            }
        }
        for arrow in &arrows {
            let (from, to) = (self.mermaid_name(arrow.from), self.mermaid_name(arrow.to));
            writeln!(text, "    {from} --> {to}: {}", arrow.label)?;
        }
        for state in self.states_of(StateKind::Terminal) {
            writeln!(text, "    {} --> [*]", self.mermaid_name(state.name))?;
        }
        for state in self.states_of(StateKind::Transient) {
            writeln!(text, "    class {} transient", self.mermaid_name(state.name))?;
        }
        if self.states_of(StateKind::Transient).next().is_some() {
            writeln!(text, "    classDef transient stroke-dasharray: 5 5")?;
        }
        Ok(())
    }

    fn write_dot(self, text: &mut String) -> fmt::Result {
        writeln!(text, "digraph {} {{", Quoted(self.machine))?;
        writeln!(text, "    node [shape=box, style=rounded];")?;
        // No state has an empty name.
        writeln!(text, "    \"\" [shape=point];")?;
        for state in self.states {
            let look = match state.kind {
                StateKind::Initial | StateKind::Ordinary => "",
                StateKind::Transient => " [style=\"rounded,dashed\"]",
                StateKind::Terminal => " [peripheries=2]",
            };
            writeln!(text, "    {}{look};", Quoted(plain(state.name)))?;
        }
        for state in self.states_of(StateKind::Initial) {
            writeln!(text, "    \"\" -> {};", Quoted(plain(state.name)))?;
        }
        for Arrow { from, to, label } in self.arrows() {
            let (from, to, label) = (Quoted(plain(from)), Quoted(plain(to)), Quoted(&label));
            writeln!(text, "    {from} -> {to} [label={label}];")?;
        }
        text.push_str("}\n");
        Ok(())
    }

    fn states_of(self, kind: StateKind) -> impl Iterator<Item = &'static StateInfo> {
        self.states.iter().filter(move |state| state.kind == kind)
    }

    /// One arrow for each pair of states, in the states' order. Mermaid draws several loops of one state over each
    /// other.
    fn arrows(self) -> Vec<Arrow> {
        let mut edges: Vec<&Edge> = self.edges.iter().collect();
        edges.sort_by_key(|edge| self.states.iter().position(|state| state.name == edge.from));
        let mut arrows: Vec<Arrow> = Vec::new();
        for edge in edges {
            let (from, to) = (edge.from, edge.to.unwrap_or(edge.from));
            let mut label = plain(&edge.by.to_string()).to_owned();
            if edge.to == Some(edge.from) {
                label.push_str(" (re-enters)");
            }
            match arrows.iter_mut().find(|arrow| (arrow.from, arrow.to) == (from, to)) {
                Some(arrow) => {
                    arrow.label.push_str(", ");
                    arrow.label.push_str(&label);
                }
                None => arrows.push(Arrow { from, to, label }),
            }
        }
        arrows
    }

    /// What a state is called in Mermaid's text: its name, unless Mermaid has another use for it or could not give it a
    /// class; then something that no other state is called.
    fn mermaid_name(self, state: &str) -> String {
        let plainly = plain(state);
        let mut name = match self.states.iter().position(|other| other.name == state) {
            Some(at) if !plainly.is_ascii() => format!("s{}", at + 1),
            _ if is_mermaid_word(plainly) => format!("{plainly}_"),
            _ => return plainly.to_owned(),
        };
        while self.states.iter().any(|other| plain(other.name) == name) {
            name.push('_');
        }
        name
    }
}

/// All edges between two states.
struct Arrow {
    from: &'static str,
    to: &'static str,
    label: String,
}

fn is_mermaid_word(name: &str) -> bool {
    MERMAID_WORDS.iter().any(|word| name.eq_ignore_ascii_case(word))
}

/// A name as it is read: without the mark of a raw identifier.
fn plain(name: &str) -> &str {
    name.strip_prefix("r#").unwrap_or(name)
}

/// A string of DOT.
struct Quoted<'a>(&'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for char in self.0.chars() {
            match char {
                '"' => f.write_str("\\\"")?,
                '\\' => f.write_str("\\\\")?,
                '\n' => f.write_str("\\n")?,
                char => f.write_char(char)?,
            }
        }
        f.write_char('"')
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{LOCK, WORDS};
    use super::*;

    #[test]
    fn a_lock_is_drawn_by_mermaid() {
        assert_eq!(
            LOCK.to_mermaid(),
            "\
stateDiagram-v2
    [*] --> Unlocked
    Unlocked --> Locked: lock, slam, after 30s
    Unlocked --> Broken: kick
    Locked --> Locked: enter_digit, try_unlock, restart (re-enters)
    Locked --> Unlocked: try_unlock
    Locked --> Checking: check
    Locked --> Broken: kick
    Checking --> Locked: pass
    Broken --> [*]
    class Checking transient
    classDef transient stroke-dasharray: 5 5
"
        );
    }

    #[test]
    fn a_lock_is_drawn_by_graphviz() {
        assert_eq!(
            LOCK.to_dot(),
            r#"digraph "Lock" {
    node [shape=box, style=rounded];
    "" [shape=point];
    "Unlocked";
    "Locked";
    "Checking" [style="rounded,dashed"];
    "Broken" [peripheries=2];
    "" -> "Unlocked";
    "Unlocked" -> "Locked" [label="lock, slam, after 30s"];
    "Unlocked" -> "Broken" [label="kick"];
    "Locked" -> "Locked" [label="enter_digit, try_unlock, restart (re-enters)"];
    "Locked" -> "Unlocked" [label="try_unlock"];
    "Locked" -> "Checking" [label="check"];
    "Locked" -> "Broken" [label="kick"];
    "Checking" -> "Locked" [label="pass"];
}
"#
        );
    }

    #[test]
    fn names_that_mermaid_cannot_take_are_shown_as_they_are_and_called_something_else() {
        assert_eq!(
            WORDS.to_mermaid(),
            "\
stateDiagram-v2
    state \"State\" as State__
    [*] --> State__
    state \"End\" as End_
    state \"note\" as note_
    state \"Été\" as s6
    State__ --> type: state
    State__ --> End_: end
    State_ --> s6: rester
    type --> note_: note
    note_ --> State_: loop
    End_ --> [*]
    class note_ transient
    classDef transient stroke-dasharray: 5 5
"
        );
    }

    #[test]
    fn graphviz_needs_no_other_names_but_the_mark_of_raw_identifiers_goes() {
        assert!(WORDS.to_dot().contains("\n    \"State\" -> \"type\" [label=\"state\"];\n"));
    }

    #[test]
    fn a_name_of_a_machine_is_escaped_in_dot() {
        let graph = Graph { machine: "a \"big\" C:\\door\n", ..Graph::EMPTY };
        assert!(graph.to_dot().starts_with("digraph \"a \\\"big\\\" C:\\\\door\\n\" {\n"));
    }

    #[test]
    fn a_state_without_edges_is_drawn_too() {
        const LONELY: &[StateInfo] = &[
            StateInfo { name: "A", was: &[], kind: StateKind::Initial, deadline: None },
            StateInfo { name: "B", was: &[], kind: StateKind::Ordinary, deadline: None },
        ];
        let graph = Graph { states: LONELY, ..Graph::EMPTY };
        assert_eq!(graph.to_mermaid(), "stateDiagram-v2\n    [*] --> A\n    B\n");
    }

    #[test]
    fn a_graph_of_nothing_is_an_empty_diagram() {
        assert_eq!(Graph::EMPTY.to_mermaid(), "stateDiagram-v2\n");
        assert!(Graph::EMPTY.to_dot().starts_with("digraph \"\" {\n"));
    }
}
