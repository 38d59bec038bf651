//! States that were called otherwise. The twins of `older_names` and `older_names_misplaced`.

#![allow(non_camel_case_types)]

use annals::prelude::*;

#[derive(Default, Serialize, Deserialize)]
struct Door;

#[fsm(states(
    initial Open,
    /// Not open.
    Shut was("Closed", "Ajar"),
    transient Swinging was("Moving",),
    was,
    terminal Gone was("with spaces"),
))]
impl Door {
    #[on(_ => Shut | Swinging | was | Gone)]
    fn push(&self, force: u64) -> Step {
        match force {
            0 => goto(Shut),
            1 => goto(Swinging),
            2 => goto(was),
            _ => goto(Gone),
        }
    }
}

#[derive(Default, Serialize, Deserialize)]
struct Was;

#[fsm(states(initial was was("is")), mod = was_states)]
impl Was {
    #[on(was => stay)]
    fn stand(&self) -> Step {
        stay()
    }
}

fn main() {
    let names = Door::GRAPH.states.iter().map(|state| (state.name, state.was.join("|")));
    let expected = [("Open", ""), ("Shut", "Closed|Ajar"), ("Swinging", "Moving"), ("was", ""), ("Gone", "with spaces")];
    assert!(names.eq(expected.map(|(name, was)| (name, was.to_owned()))));
    assert_eq!(Was::GRAPH.states[0].was, ["is"]);
}
