//! Rules for the words in the bodies of handlers. What isn't written out there, the compiler finds by its traits.

use proc_macro2::Ident;
use quote::quote;

use crate::ctxt::Ctxt;
use crate::graph::{Graph, Target, Way};
use crate::model::Model;
use crate::spell::spell;
use crate::symbol::{APPLYING, GOTO};
use crate::words::{Call, only_word};

pub(crate) fn check(ctxt: &Ctxt, model: &Model<'_>, graph: &Graph<'_>) {
    for way in &graph.ways {
        for call in model.words(way.method).calls(&way.method.body) {
            if call.word == GOTO {
                check_target(ctxt, graph, way, &call);
            } else {
                check_may_stay(ctxt, way, &call);
            }
        }
    }
}

/// A handler goes where its attribute says, and limits a visit if something follows.
fn check_target(ctxt: &Ctxt, graph: &Graph<'_>, way: &Way<'_>, call: &Call) {
    let Some(token) = only_word(call.arguments.stream()) else { return };
    let Some(state) = graph.index_of(&token) else {
        // What the attribute names, too, is reported there.
        if is_camel(&token) && !way.unknown.contains(&token) {
            graph.report_no_state(ctxt, &token);
        }
        return;
    };
    if way.clean && way.targets().all(|target| target.state != state) {
        let (handler, declared) = (&way.method.sig.ident, declared(way));
        ctxt.error(&token, format!("`{handler}` does not declare a transition to `{token}`; declared: {declared}"));
    }
    if call.is_limited && graph.clean && graph.deadlines_of(state).next().is_none() {
        ctxt.error(
            &token,
            format!("no handler says what happens when `{token}` ends: add one with `#[after(.., {token} => ..)]`"),
        );
    }
}

/// A handler stays where its attribute says that it may. A visit that goes on has its time already.
fn check_may_stay(ctxt: &Ctxt, way: &Way<'_>, call: &Call) {
    let Call { word, arguments, is_limited } = call;
    let handler = &way.method.sig.ident;
    if way.clean && !way.stays() {
        let attribute = if way.command().is_some() { "#[on(.. => ..)]" } else { "#[after(.., .. => ..)]" };
        let begins = if word == APPLYING { ", and a step that begins with `applying` stays" } else { "" };
        ctxt.error(
            quote!(#word #arguments),
            format!(
                "`{handler}` does not declare that it may stay{begins}: add `stay` to its `{attribute}`; declared: {}",
                declared(way)
            ),
        );
    }
    if *is_limited {
        let call = if word == APPLYING { word.to_string() } else { spell(quote!(#word #arguments)) };
        ctxt.error(
            quote!(#word #arguments),
            format!("`for_max` limits a visit that begins, and `{call}` goes on with one; begin with `goto(..)`"),
        );
    }
}

/// `` `Unlocked`, `stay` ``
fn declared(way: &Way<'_>) -> String {
    let targets: Vec<String> = way
        .to
        .iter()
        .map(|target| match target {
            Target::State(place) => format!("`{}`", place.token),
            Target::Stay(_) => "`stay`".to_owned(),
        })
        .collect();
    targets.join(", ")
}

/// Whether a word looks like a state, not like a variable or a constant.
pub(crate) fn is_camel(word: &Ident) -> bool {
    let word = word.to_string();
    word.starts_with(char::is_uppercase) && (word.len() == 1 || word.contains(char::is_lowercase))
}
