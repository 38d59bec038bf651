//! Rules for the head of the block and for the markers in it.

use quote::quote;
use syn::{Attribute, PathArguments, Type};

use crate::attr::{keys_of, word_of};
use crate::block::{Block, Kind, Method};
use crate::ctxt::Ctxt;
use crate::spell::spell;
use crate::symbol::{BESIDE_ON, COMMAND, FSM_MARKERS, ON, QUERY};

pub(crate) fn header(ctxt: &Ctxt, block: &Block) {
    check_inherent(ctxt, block);
    check_no_parameters(ctxt, block);
    check_named_type(ctxt, block);
    check_one_macro(ctxt, block);
}

/// The block is the type's own.
fn check_inherent(ctxt: &Ctxt, block: &Block) {
    if let Some((path, keyword)) = &block.header.trait_ {
        let (word, ty) = (block.kind.word(), spell(&block.header.self_ty));
        ctxt.error(
            quote!(#path #keyword),
            format!("`#[{word}]` needs an inherent impl, not one of a trait: write `impl {ty} {{ .. }}`"),
        );
    }
}

/// Stored data has one shape, so neither the block nor its type has parameters.
fn check_no_parameters(ctxt: &Ctxt, block: &Block) {
    let message = format!("`#[{}]` needs a type without parameters: stored data has one shape", block.kind.word());
    let generics = &block.header.generics;
    if !generics.params.is_empty() {
        ctxt.error(generics, &message);
    }
    if let Some(clause) = &generics.where_clause {
        ctxt.error(clause, &message);
    }
    // The parameters of the block say it already.
    if let (Type::Path(ty), true) = (&*block.header.self_ty, generics.params.is_empty()) {
        for part in &ty.path.segments {
            if !matches!(part.arguments, PathArguments::None) {
                ctxt.error(&part.arguments, &message);
            }
        }
    }
}

/// The generated items are named after the type.
fn check_named_type(ctxt: &Ctxt, block: &Block) {
    let ty = &*block.header.self_ty;
    if !matches!(ty, Type::Path(path) if path.qself.is_none()) {
        let word = block.kind.word();
        ctxt.error(ty, format!("`#[{word}]` needs a type that has a name of its own, such as a struct"));
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
pub(crate) fn markers(ctxt: &Ctxt, kind: Kind, markers: &[Attribute], method: Option<&Method>) {
    for marker in markers {
        match kind {
            Kind::Aggregate => check_marker_of_aggregates(ctxt, marker),
            Kind::Machine => {
                check_marker_of_machines(ctxt, marker, method);
                check_beside_on(ctxt, marker, markers, method);
            }
        }
        check_marker_on_method(ctxt, kind, marker, method);
        check_marker_keys(ctxt, marker);
    }
    if let Some(method) = method {
        check_one_marker(ctxt, kind, markers, method);
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

/// A machine accepts a command in some of its states, so it has `#[on]` in place of `#[command]`.
fn check_marker_of_machines(ctxt: &Ctxt, marker: &Attribute, method: Option<&Method>) {
    if word_of(marker) == COMMAND && method.is_some() {
        ctxt.error(
            marker,
            "in a machine a command says in which states it is accepted, and where it leads: write \
             `#[on(A => B)]`, or `#[on(_ => stay)]` for one that is always accepted",
        );
    }
}

/// What isn't handled is said beside what is.
fn check_beside_on(ctxt: &Ctxt, marker: &Attribute, markers: &[Attribute], method: Option<&Method>) {
    let word = word_of(marker);
    if BESIDE_ON.contains(&word.as_str()) && method.is_some() && markers.iter().all(|other| word_of(other) != ON) {
        ctxt.error(marker, format!("`#[{word}]` stands beside the `#[on]` of a command's handler; move it there"));
    }
}

/// Only methods are events, commands and queries.
fn check_marker_on_method(ctxt: &Ctxt, kind: Kind, marker: &Attribute, method: Option<&Method>) {
    let word = word_of(marker);
    let reported = kind == Kind::Aggregate && FSM_MARKERS.contains(&word.as_str());
    if method.is_none() && !reported {
        ctxt.error(marker, format!("`#[{word}]` belongs on a method; remove it here"));
    }
}

/// `#[command]` and `#[query]` have no keys.
fn check_marker_keys(ctxt: &Ctxt, marker: &Attribute) {
    let word = word_of(marker);
    if word != COMMAND && word != QUERY {
        return;
    }
    if let Some(keys) = ctxt.ok(keys_of(marker)).filter(|keys| !keys.is_empty()) {
        ctxt.error(&keys, format!("`#[{word}]` has no keys; remove this"));
    }
}

/// A method is one thing.
fn check_one_marker(ctxt: &Ctxt, kind: Kind, markers: &[Attribute], method: &Method) {
    let mut markers = markers.iter().filter(|marker| !BESIDE_ON.contains(&word_of(marker).as_str()));
    let Some(first) = markers.next() else { return };
    let name = &method.sig.ident;
    for other in markers {
        let word = word_of(other);
        let note = format!("`{name}` is first marked here");
        let message = match kind {
            Kind::Machine if word == ON && word_of(first) == ON => format!(
                "`{name}` has a second `#[on]`: put the states into one, or give the others a method of their own with \
                 `#[on(.., command = {name})]`"
            ),
            Kind::Machine if word == word_of(first) => {
                format!("`{name}` has a second `#[{word}]`; join them, or remove one")
            }
            Kind::Machine => format!(
                "`{name}` is marked twice; a method is an event, a handler, a query or a hook: remove `#[{word}]`, or \
                 the other"
            ),
            Kind::Aggregate => format!(
                "`{name}` is marked twice; a method is an event, a command or a query: remove `#[{word}]`, or the other"
            ),
        };
        ctxt.collision(other, message, first, note);
    }
}
