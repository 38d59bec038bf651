//! Rules for the graph as a whole. What seems to be missing may be there as long as a name is not understood, so they
//! wait until all are.

use crate::ctxt::Ctxt;
use crate::graph::{Graph, Way};
use crate::model::Model;
use crate::states::State;

pub(crate) fn check(ctxt: &Ctxt, model: &Model<'_>, graph: &Graph<'_>) {
    let has_initial = graph.states.iter().any(State::is_initial);
    if !graph.clean || !has_initial {
        return;
    }
    check_reachable(ctxt, graph);
    check_exits(ctxt, graph);
    if model.options.exhaustive {
        check_exhaustive(ctxt, model, graph);
    }
}

/// Something leads to each state.
fn check_reachable(ctxt: &Ctxt, graph: &Graph<'_>) {
    let mut reached: Vec<bool> = graph.states.iter().map(State::is_initial).collect();
    let mut queue: Vec<usize> = (0..reached.len()).filter(|state| reached[*state]).collect();
    while let Some(state) = queue.pop() {
        for target in graph.ways.iter().filter(|way| way.begins_in(state)).flat_map(Way::targets) {
            if !std::mem::replace(&mut reached[target.state], true) {
                queue.push(target.state);
            }
        }
    }
    for (index, state) in graph.states.iter().enumerate() {
        let is_twin = graph.index_of(&state.ident) != Some(index);
        if reached[index] || is_twin {
            continue;
        }
        let name = state.name();
        let is_target = graph.ways.iter().flat_map(Way::targets).any(|target| target.state == index);
        let message = if is_target {
            format!("`{name}` can't be reached: what leads to it begins in states that nothing leads to")
        } else {
            format!("no transition leads to `{name}`; add one, or remove the state")
        };
        ctxt.error(&state.ident, message);
    }
}

/// A state in which a machine isn't over can be left, or entered anew. A machine of one state has nowhere else to go.
fn check_exits(ctxt: &Ctxt, graph: &Graph<'_>) {
    if graph.states.len() == 1 {
        return;
    }
    for (index, state) in graph.states.iter().enumerate() {
        let is_twin = graph.index_of(&state.ident) != Some(index);
        let has_exit = graph.ways.iter().any(|way| way.begins_in(index) && way.targets().next().is_some());
        if !state.is_terminal() && !has_exit && !is_twin {
            let name = state.name();
            let remedy =
                if state.is_initial() { "add a transition" } else { "mark it `terminal`, or add a transition" };
            ctxt.error(&state.ident, format!("`{name}` has no way out; {remedy}"));
        }
    }
}

/// With `exhaustive`, each state says what to do with each command.
fn check_exhaustive(ctxt: &Ctxt, model: &Model<'_>, graph: &Graph<'_>) {
    for (index, state) in graph.states.iter().enumerate() {
        let is_said =
            |command: &str| {
                graph.ways.iter().filter(|way| way.command().is_some_and(|ident| ident == command)).any(|way| {
                    way.from.iter().chain(&way.ignored).chain(&way.rejected).any(|place| place.state == index)
                })
            };
        let mut missing: Vec<String> = Vec::new();
        for command in model.commands.iter().map(|command| command.ident.to_string()) {
            let quoted = format!("`{command}`");
            if !is_said(&command) && !missing.contains(&quoted) {
                missing.push(quoted);
            }
        }
        let name = state.name();
        let message = match missing.as_slice() {
            [] => continue,
            [command] => format!(
                "state `{name}` does not say what to do with {command}: add it to an `#[on]`, `#[ignore]` or `#[reject]` \
                 of the command"
            ),
            commands => format!(
                "state `{name}` does not say what to do with {}: add it to an `#[on]`, `#[ignore]` or `#[reject]` of each",
                commands.join(", ")
            ),
        };
        ctxt.error(&state.ident, message);
    }
}
