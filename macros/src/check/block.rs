//! Rules for the head of the block and for the markers in it.

use quote::quote;
use syn::{Attribute, PathArguments, Type};

use crate::attr::{keys_of, word_of};
use crate::block::{Block, Method};
use crate::ctxt::Ctxt;
use crate::spell::spell;
use crate::symbol::{AGGREGATE_MARKERS, EVENT, FSM_MARKERS};

pub(crate) fn header(ctxt: &Ctxt, block: &Block) {
    check_inherent(ctxt, block);
    check_no_parameters(ctxt, block);
    check_named_type(ctxt, block);
    check_one_macro(ctxt, block);
}

/// The block is the type's own.
fn check_inherent(ctxt: &Ctxt, block: &Block) {
    if let Some((path, keyword)) = &block.header.trait_ {
        let ty = spell(&block.header.self_ty);
        ctxt.error(
            quote!(#path #keyword),
            format!("`#[aggregate]` needs an inherent impl, not one of a trait: write `impl {ty} {{ .. }}`"),
        );
    }
}

/// Stored data has one shape, so neither the block nor its type has parameters.
fn check_no_parameters(ctxt: &Ctxt, block: &Block) {
    let message = "`#[aggregate]` needs a type without parameters: stored data has one shape";
    let generics = &block.header.generics;
    if !generics.params.is_empty() {
        ctxt.error(generics, message);
    }
    if let Some(clause) = &generics.where_clause {
        ctxt.error(clause, message);
    }
    // The parameters of the block say it already.
    if let (Type::Path(ty), true) = (&*block.header.self_ty, generics.params.is_empty()) {
        for part in &ty.path.segments {
            if !matches!(part.arguments, PathArguments::None) {
                ctxt.error(&part.arguments, message);
            }
        }
    }
}

/// The generated items are named after the type.
fn check_named_type(ctxt: &Ctxt, block: &Block) {
    let ty = &*block.header.self_ty;
    if !matches!(ty, Type::Path(path) if path.qself.is_none()) {
        ctxt.error(ty, "`#[aggregate]` needs a type that has a name of its own, such as a struct");
    }
}

/// A block is made an aggregate once.
fn check_one_macro(ctxt: &Ctxt, block: &Block) {
    for attr in &block.other_macros {
        let word = word_of(attr);
        ctxt.error(attr, format!("`#[{word}]` is one too many: a block is made an aggregate, or a machine, once"));
    }
}

/// The markers of one item; `method` is none if it is something else.
pub(crate) fn markers(ctxt: &Ctxt, markers: &[Attribute], method: Option<&Method>) {
    for marker in markers {
        check_marker_of_aggregates(ctxt, marker);
        check_marker_on_method(ctxt, marker, method);
        check_marker_keys(ctxt, marker);
    }
    if let Some(method) = method {
        check_one_marker(ctxt, markers, method);
    }
}

/// `#[on]` and the like are for blocks with states.
fn check_marker_of_aggregates(ctxt: &Ctxt, marker: &Attribute) {
    let word = word_of(marker);
    if FSM_MARKERS.contains(&word.as_str()) {
        ctxt.error(
            marker,
            format!(
                "`#[{word}]` belongs on a method of an `#[fsm]` impl; an aggregate has `#[event]`, `#[command]` and \
                 `#[query]`"
            ),
        );
    }
}

/// Only methods are events, commands and queries.
fn check_marker_on_method(ctxt: &Ctxt, marker: &Attribute, method: Option<&Method>) {
    let word = word_of(marker);
    if method.is_none() && AGGREGATE_MARKERS.contains(&word.as_str()) {
        ctxt.error(marker, format!("`#[{word}]` belongs on a method; remove it here"));
    }
}

/// Only `#[event]` has keys.
fn check_marker_keys(ctxt: &Ctxt, marker: &Attribute) {
    let word = word_of(marker);
    if word == EVENT || !AGGREGATE_MARKERS.contains(&word.as_str()) {
        return;
    }
    if let Some(keys) = ctxt.ok(keys_of(marker)).filter(|keys| !keys.is_empty()) {
        ctxt.error(&keys, format!("`#[{word}]` has no keys; remove this"));
    }
}

/// A method is an event, a command or a query: one of them.
fn check_one_marker(ctxt: &Ctxt, markers: &[Attribute], method: &Method) {
    let [first, others @ ..] = markers else { return };
    for other in others {
        let (word, name) = (word_of(other), &method.sig.ident);
        ctxt.collision(
            other,
            format!(
                "`{name}` is marked twice; a method is an event, a command or a query: remove `#[{word}]`, or the other"
            ),
            first,
            format!("`{name}` is first marked here"),
        );
    }
}
