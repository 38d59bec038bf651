//! What is worth a word and no error. A macro can't warn on stable Rust; a deprecated constant can.

use proc_macro2::{Ident, TokenStream};
use quote::{ToTokens, format_ident, quote, quote_spanned};

use crate::block::Kind;
use crate::graph::{Graph, Target, Way};
use crate::model::Model;
use crate::symbol::{COMMAND, EVENT, GOTO, ON, STAY};
use crate::words::{Call, mentions, only_word};

/// All that is worth a word.
pub(super) fn expand(model: &Model<'_>) -> TokenStream {
    let mut warnings = TokenStream::new();
    warnings.extend(at_rest(model));
    if let Some(graph) = &model.graph {
        for way in &graph.ways {
            warnings.extend(never_gone(model, graph, way));
        }
    }
    warnings
}

/// Nothing can happen to an aggregate without events, or without commands that decide on them.
///
/// ```text
/// const _: () = {
///     #[deprecated(note = "nothing can ever happen to `Account`: it has no `#[event]`")]
///     const AGGREGATE_AT_REST: () = ();
///     AGGREGATE_AT_REST
/// };
/// ```
fn at_rest(model: &Model<'_>) -> Option<TokenStream> {
    let missing = if model.commands.is_empty() && model.deadlines.is_empty() {
        if model.block.kind == Kind::Machine { ON } else { COMMAND }
    } else if model.graph.is_some() {
        return None;
    } else if model.events.is_empty() && model.options.event.is_none() {
        EVENT
    } else {
        return None;
    };
    let note = format!("nothing can ever happen to `{}`: it has no `#[{missing}]`", model.ident);
    let warning = format_ident!("AGGREGATE_AT_REST", span = model.ident.span());
    Some(warn(&warning, &note))
}

/// A handler that declares a way goes it somewhere, or the diagram says more than the code. What the body makes through
/// other code isn't known, so this is said only where all is written out.
fn never_gone(model: &Model<'_>, graph: &Graph<'_>, way: &Way<'_>) -> TokenStream {
    let calls = model.words(way.method).calls(&way.method.body);
    let goes: Vec<&Call> = calls.iter().filter(|call| call.word == GOTO).collect();
    let targets: Vec<Ident> = goes.iter().filter_map(|call| only_word(call.arguments.stream())).collect();
    let all_are_states = targets.len() == goes.len() && targets.iter().all(|name| graph.index_of(name).is_some());
    if calls.is_empty() || !all_are_states || is_named_elsewhere(model, way) {
        return TokenStream::new();
    }
    let handler = &way.method.sig.ident;
    let cfgs: Vec<_> = way.cfgs().collect();
    way.to
        .iter()
        .filter_map(|target| match target {
            Target::State(place) if !targets.contains(&place.token) => {
                let warning = format_ident!("NEVER_GONE", span = place.token.span());
                Some(warn(&warning, &format!("`{handler}` declares `{}` but never goes there", place.token)))
            }
            Target::Stay(word) if goes.len() == calls.len() => {
                let warning = format_ident!("NEVER_STAYS", span = word.span());
                Some(warn(&warning, &format!("`{handler}` declares `{STAY}` but never stays")))
            }
            _ => None,
        })
        .map(|warning| quote!(#(#cfgs)* #warning))
        .collect()
}

/// Whether another method of the block makes steps for this handler: it says `door_fsm::on::Open`.
fn is_named_elsewhere(model: &Model<'_>, way: &Way<'_>) -> bool {
    let others = model.block.methods().filter(|method| !std::ptr::eq(*method, way.method));
    others.into_iter().any(|method| mentions(method.sig.to_token_stream(), &way.marker))
}

/// A use of something deprecated, at the span of its name.
fn warn(name: &Ident, note: &str) -> TokenStream {
    quote_spanned! {name.span()=>
        const _: () = {
            #[deprecated(note = #note)]
            const #name: () = ();
            #name
        };
    }
}
