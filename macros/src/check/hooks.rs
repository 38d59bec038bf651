//! Rules for `#[enter]` and `#[exit]`.

use syn::{ReturnType, Signature, Type};

use crate::check::methods::{check_plain_fn, has_mut_self, has_shared_self};
use crate::ctxt::Ctxt;
use crate::graph::{Graph, Hook};
use crate::model::parameters;
use crate::types::{is_owned_effects, mentions_context};

pub(crate) fn check(ctxt: &Ctxt, graph: &Graph<'_>) {
    for hook in &graph.hooks {
        let sig = &hook.method.sig;
        check_returns_nothing(ctxt, hook);
        check_receiver(ctxt, sig);
        check_sync(ctxt, sig);
        check_parameters(ctxt, hook);
        check_one_shape(ctxt, sig);
        check_plain_fn(ctxt, sig);
    }
}

/// A transition is over when a hook runs.
fn check_returns_nothing(ctxt: &Ctxt, hook: &Hook<'_>) {
    if let ReturnType::Type(_, ty) = &hook.method.sig.output
        && !matches!(&**ty, Type::Tuple(tuple) if tuple.elems.is_empty())
    {
        let what = if hook.on_enter { "entering" } else { "leaving" };
        ctxt.error(
            ty,
            format!("{what} a state has effects only, and transitions belong to handlers: remove the return type"),
        );
    }
}

/// A hook may look at the data.
fn check_receiver(ctxt: &Ctxt, sig: &Signature) {
    let Some(receiver) = sig.receiver().filter(|_| !has_shared_self(sig)) else { return };
    if has_mut_self(sig) {
        ctxt.error(receiver, "a hook has effects only; only `#[event]` methods change data: take `&self`, or nothing");
    } else {
        ctxt.error(receiver, "a hook looks at the data: take `&self`, or nothing");
    }
}

/// What takes time is spawned.
fn check_sync(ctxt: &Ctxt, sig: &Signature) {
    if let Some(keyword) = &sig.asyncness {
        ctxt.error(keyword, "hooks are synchronous; spawn what takes time: `fx.spawn(async { .. })`");
    }
}

/// The runtime calls a hook with its effects.
fn check_parameters(ctxt: &Ctxt, hook: &Hook<'_>) {
    let expected = "a hook takes `fx: &Effects<Self>`, and `&self` before it if it likes";
    let (contexts, mut given): (Vec<_>, Vec<_>) =
        parameters(hook.method).partition(|parameter| mentions_context(&parameter.ty));
    for context in &contexts {
        ctxt.error(context, "a hook has no context; an event can keep what is needed of it in the data: remove this");
    }
    let mut given = given.drain(..);
    match given.next() {
        None if !contexts.is_empty() => {}
        None => ctxt.error(&hook.method.sig.ident, expected),
        // What else it is, may be an alias.
        Some(first) if is_owned_effects(&first.ty) => ctxt.error(first, expected),
        Some(_) => {}
    }
    for parameter in given {
        ctxt.error(parameter, format!("nobody gives this: {expected}"));
    }
}

/// The runtime calls a hook with effects of one type.
fn check_one_shape(ctxt: &Ctxt, sig: &Signature) {
    if !sig.generics.params.is_empty() {
        ctxt.error(&sig.generics, "a hook has one shape; it can't be generic");
    }
}
