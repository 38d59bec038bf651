//! Rules for the words in the bodies of handlers. What isn't written out there, the compiler finds by its traits.

use proc_macro2::{Ident, TokenStream, TokenTree};
use quote::{ToTokens, quote};

use crate::ctxt::Ctxt;
use crate::graph::{Graph, Target, Way};
use crate::model::Model;
use crate::spell::spell;
use crate::symbol::{APPLYING, GOTO};
use crate::words::{Call, GoesAfter, only_path, only_word};

pub(crate) fn check(ctxt: &Ctxt, model: &Model<'_>, graph: &Graph<'_>) {
    for way in &graph.ways {
        for call in model.words(way.method).calls(&way.method.body) {
            if let Some(remedy) = misuse(model, graph, &call) {
                ctxt.error(remedy.blamed, remedy.message);
            } else if call.word == GOTO {
                check_target(ctxt, graph, way, &call);
            } else {
                check_may_stay(ctxt, way, &call);
            }
        }
    }
}

/// What is wrong with a call in any handler, whatever that declares.
pub(crate) struct Misuse {
    blamed: TokenStream,
    message: String,
}

pub(crate) fn misuse(model: &Model<'_>, graph: &Graph<'_>, call: &Call) -> Option<Misuse> {
    goes_late(call).or_else(|| if call.word == GOTO { no_bare_name(model, graph, call) } else { None })
}

/// A step begins with where it goes.
fn goes_late(call: &Call) -> Option<Misuse> {
    let GoesAfter { goto, state, methods } = call.goes_after.as_ref()?;
    let message = if call.word == GOTO {
        "a step goes to one state: remove this, or the other `goto`".to_owned()
    } else {
        let applying = (call.word == APPLYING).then_some(&call.word);
        let then: String = applying.into_iter().chain(methods).map(|method| format!(".{method}(..)")).collect();
        format!("a step begins with where it goes: write `goto({}){then}`", spell(state.stream()))
    };
    Some(Misuse { blamed: quote!(#goto #state), message })
}

/// `goto` takes the bare name of a state, so that the macro can hold it against what is declared.
fn no_bare_name(model: &Model<'_>, graph: &Graph<'_>, call: &Call) -> Option<Misuse> {
    let argument = call.arguments.stream();
    if let Some(path) = only_path(argument.clone()) {
        let words: Vec<&Ident> = path.segments.iter().map(|segment| &segment.ident).collect();
        return match words.as_slice() {
            [.., through, state] if **through == model.state_enum() && graph.index_of(state).is_some() => {
                let message = format!("write `goto({state})`: `goto` takes the bare name of a state");
                Some(Misuse { blamed: path.to_token_stream(), message })
            }
            _ => None,
        };
    }
    let choice = match argument.clone().into_iter().next() {
        Some(TokenTree::Ident(word)) if word == "if" => "if .. { goto(A) } else { goto(B) }",
        Some(TokenTree::Ident(word)) if word == "match" => "match .. { .. => goto(A), .. => goto(B) }",
        _ => return None,
    };
    let message = format!("`goto` takes the bare name of a state: write the choice around it, `{choice}`");
    Some(Misuse { blamed: argument, message })
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
    let Call { word, arguments, is_limited, .. } = call;
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
