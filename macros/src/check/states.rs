//! Rules for the states of a machine, and for the names that are made of them and of handlers.

use proc_macro2::TokenTree;
use syn::LitStr;
use syn::ext::IdentExt;

use crate::block::Item;
use crate::ctxt::Ctxt;
use crate::graph::{Graph, Way};
use crate::model::Model;
use crate::states::State;
use crate::symbol::{INITIAL, ON, STAY, TERMINAL, TRANSIENT};

pub(crate) fn check(ctxt: &Ctxt, model: &Model<'_>, graph: &Graph<'_>) {
    check_has_states(ctxt, model);
    check_one_initial(ctxt, model, graph);
    check_states_differ(ctxt, graph);
    check_older_names_differ(ctxt, graph);
    for state in &graph.states {
        check_words_differ(ctxt, state);
        check_transient_is_left(ctxt, state);
        check_initial_goes_on(ctxt, state);
        check_state_name(ctxt, state);
    }
    check_markers_differ(ctxt, graph);
    check_graph_is_free(ctxt, model);
}

/// A machine has states.
fn check_has_states(ctxt: &Ctxt, model: &Model<'_>) {
    let message = "a machine has states: write `#[fsm(states(initial A, B))]`, or `#[aggregate]` for one without";
    match &model.options.states {
        None if model.options.clean => ctxt.error(&model.ident, message),
        Some(states) if states.clean && states.list.is_empty() => ctxt.push(syn::Error::new(states.span, message)),
        _ => {}
    }
}

/// A machine begins in one state.
fn check_one_initial(ctxt: &Ctxt, model: &Model<'_>, graph: &Graph<'_>) {
    let Some(states) = &model.options.states else { return };
    let mut initial = graph.states.iter().filter(|state| state.is_initial());
    let Some(first) = initial.next() else {
        if states.clean && !states.list.is_empty() {
            let message = "exactly one state is `initial`: write the word before the state in which a machine begins";
            ctxt.push(syn::Error::new(states.span, message));
        }
        return;
    };
    for second in initial {
        let name = first.name();
        ctxt.collision(
            second.words.iter().find(|word| *word == INITIAL),
            format!("exactly one state is `initial`, and the first is `{name}`; remove one `initial`"),
            &first.ident,
            format!("`{name}` is the first"),
        );
    }
}

/// A state is declared once.
fn check_states_differ(ctxt: &Ctxt, graph: &Graph<'_>) {
    for (index, state) in graph.states.iter().enumerate() {
        if let Some(first) = graph.states[..index].iter().find(|first| first.ident == state.ident) {
            let name = state.name();
            ctxt.collision(
                &state.ident,
                format!("`{name}` is declared twice; remove one"),
                &first.ident,
                format!("`{name}` is first declared here"),
            );
        }
    }
}

/// A stored name leads to one state, be it today's name or an older one.
fn check_older_names_differ(ctxt: &Ctxt, graph: &Graph<'_>) {
    let mut seen: Vec<(String, &State, &LitStr)> = Vec::new();
    for state in &graph.states {
        let name = state.name();
        for literal in &state.was {
            let was = literal.value();
            if was == name {
                ctxt.error(literal, format!("`{name}` is called so today; remove this"));
            } else if let Some(other) = graph.states.iter().find(|other| other.name() == was) {
                ctxt.collision(
                    literal,
                    format!("`{was}` is another state of today, so what is stored as `{was}` is that; remove this"),
                    &other.ident,
                    format!("`{was}` is declared here"),
                );
            } else if let Some((_, first_state, first)) = seen.iter().find(|(first, ..)| *first == was) {
                let message = if std::ptr::eq(*first_state, state) {
                    format!("`{name}` has the older name `{was}` twice; remove one")
                } else {
                    format!("`{}` and `{name}` were both stored as `{was}`; remove one", first_state.name())
                };
                ctxt.collision(literal, message, first, format!("`{was}` is first given here"));
            } else {
                seen.push((was, state, literal));
            }
        }
    }
}

/// What a state is, is said once.
fn check_words_differ(ctxt: &Ctxt, state: &State) {
    for (index, word) in state.words.iter().enumerate() {
        if let Some(first) = state.words[..index].iter().find(|first| *first == word) {
            let message = format!("`{word}` is given twice; remove one");
            ctxt.collision(word, message, first, format!("`{word}` is first given here"));
        }
    }
}

/// An entity isn't recovered to a transient state, so it has been in another before, and goes to another after.
fn check_transient_is_left(ctxt: &Ctxt, state: &State) {
    let Some(word) = state.words.iter().find(|word| *word == TRANSIENT) else { return };
    for other in [INITIAL, TERMINAL] {
        if state.words.iter().any(|word| word == other) {
            let name = state.name();
            ctxt.error(
                word,
                format!(
                    "a transient state cannot be {other}: recovery of `{name}` would have nowhere to go; remove one"
                ),
            );
        }
    }
}

/// A machine does something before it is over.
fn check_initial_goes_on(ctxt: &Ctxt, state: &State) {
    if state.is_initial()
        && let Some(word) = state.words.iter().find(|word| *word == TERMINAL)
    {
        let name = state.name();
        ctxt.error(
            word,
            format!("a terminal state cannot be initial: a machine that begins in `{name}` would be over"),
        );
    }
}

/// The markers of states stand beside the module `on` of those of handlers, and `stay` is a word of its own.
fn check_state_name(ctxt: &Ctxt, state: &State) {
    let name = state.name();
    if name == ON {
        ctxt.error(&state.ident, "a state `on` collides with the module of that name in what is generated; rename it");
    } else if name == STAY {
        ctxt.error(&state.ident, "a state `stay` can't be told from the word `stay` behind a `=>`; rename it");
    }
}

/// A handler is stood for by a type of its own.
fn check_markers_differ(ctxt: &Ctxt, graph: &Graph<'_>) {
    let is_own_command = |way: &Way<'_>| way.command().is_some_and(|command| *command == way.method.sig.ident);
    for (index, way) in graph.ways.iter().enumerate() {
        let ident = &way.method.sig.ident;
        let twin = graph.ways[..index].iter().find(|first| {
            first.marker == way.marker
                && first.method.sig.ident != *ident
                && !(first.is_conditional() || way.is_conditional())
                // Of commands it is said that their variants collide.
                && !(is_own_command(first) && is_own_command(way))
        });
        if let Some(first) = twin {
            let (marker, first) = (&way.marker, &first.method.sig.ident);
            let [first_name, name] = [first, ident].map(IdentExt::unraw);
            ctxt.collision(
                ident,
                format!(
                    "`{first_name}` and `{name}` both become the type `{}::on::{marker}`; rename one",
                    graph.module
                ),
                first,
                format!("`{first_name}` becomes `{marker}`, too"),
            );
        }
    }
}

/// `GRAPH` is generated beside the block.
fn check_graph_is_free(ctxt: &Ctxt, model: &Model<'_>) {
    if let Some(name) = own_graph(model) {
        ctxt.error(name, "`GRAPH` is generated: it is the graph of the machine; rename this constant");
    }
}

/// The name of a constant `GRAPH` in the block.
pub(crate) fn own_graph(model: &Model<'_>) -> Option<TokenTree> {
    model.block.items.iter().find_map(|item| {
        let Item::Other { tokens, .. } = item else { return None };
        let mut tokens = tokens.clone().into_iter().skip_while(|token| !is_word(token, "const"));
        tokens.next()?;
        tokens.next().filter(|name| is_word(name, "GRAPH"))
    })
}

fn is_word(token: &TokenTree, word: &str) -> bool {
    matches!(token, TokenTree::Ident(ident) if ident == word)
}
