//! Rules for the signatures of marked methods.

use quote::ToTokens;
use syn::{Receiver, ReceiverKind, ReturnType, Safety, Signature, Type};

use crate::ctxt::Ctxt;
use crate::model::{Answer, Event, Handler, Member, Model, Query, parameters};
use crate::spell::spell;
use crate::symbol::{COMMAND, IGNORED_SINCE, ON};
use crate::types::{is_context, is_owned_context, mentions_context, mentions_effects};

pub(crate) fn check(ctxt: &Ctxt, model: &Model<'_>) {
    for event in &model.events {
        check_event_receiver(ctxt, event);
        check_event_return(ctxt, event);
        check_event_sync(ctxt, event);
        check_ignored_event_does_nothing(ctxt, event);
        check_no_context(
            ctxt,
            &event.member,
            "an event knows its parameters only: let the command put in what is needed",
        );
        check_no_effects(ctxt, &event.member, "an event changes data without them");
    }
    for handler in model.handlers() {
        check_called(ctxt, handler, "a command");
        check_answer(ctxt, handler);
    }
    for query in &model.queries {
        check_query_receiver(ctxt, query);
        check_query_sync(ctxt, query);
        check_query_replies(ctxt, model, query);
        check_no_context(
            ctxt,
            &query.member,
            "a query reads the data only: let a command reply with what needs the context",
        );
        check_no_effects(ctxt, &query.member, "a query reads the data without them");
    }
    for member in model.members() {
        check_plain_fn(ctxt, &member.method.sig);
        check_parameters_unconditional(ctxt, member);
    }
}

/// What the handlers of commands and of deadlines have in common.
pub(crate) fn check_called(ctxt: &Ctxt, handler: &Handler<'_>, who: &str) {
    check_handler_receiver(ctxt, handler, who);
    check_handler_sync(ctxt, handler);
    check_context_shared(ctxt, handler);
    check_context_first(ctxt, handler);
    check_no_effects(ctxt, &handler.member, "a handler decides without them");
}

/// How a method takes `self`.
#[derive(PartialEq)]
enum Takes {
    Shared,
    Mutable,
    Value,
}

fn takes(receiver: &Receiver) -> Takes {
    let reference = |mutable| if mutable { Takes::Mutable } else { Takes::Shared };
    match &receiver.kind {
        ReceiverKind::Reference(_, _, mutability) => reference(mutability.is_some()),
        ReceiverKind::Typed(_, ty) => match &**ty {
            Type::Reference(ty) => reference(ty.mutability.is_some()),
            _ => Takes::Value,
        },
        _ => Takes::Value,
    }
}

/// The receiver, or the name of a method without one.
fn receiver_of(sig: &Signature) -> &dyn ToTokens {
    match sig.receiver() {
        Some(receiver) => receiver,
        None => &sig.ident,
    }
}

fn has_receiver(sig: &Signature, expected: &Takes) -> bool {
    sig.receiver().is_some_and(|receiver| takes(receiver) == *expected)
}

/// Whether a method takes `&mut self`.
pub(crate) fn has_mut_self(sig: &Signature) -> bool {
    has_receiver(sig, &Takes::Mutable)
}

/// Whether a method takes `&self`.
pub(crate) fn has_shared_self(sig: &Signature) -> bool {
    has_receiver(sig, &Takes::Shared)
}

/// An event changes data, so it has `&mut self`.
fn check_event_receiver(ctxt: &Ctxt, event: &Event<'_>) {
    let sig = &event.member.method.sig;
    if !has_mut_self(sig) {
        ctxt.error(receiver_of(sig), "an event changes data: take `&mut self`");
    }
}

/// An event has happened: there is nothing to return.
fn check_event_return(ctxt: &Ctxt, event: &Event<'_>) {
    if let ReturnType::Type(_, ty) = &event.member.method.sig.output
        && !matches!(&**ty, Type::Tuple(tuple) if tuple.elems.is_empty())
    {
        ctxt.error(ty, "an event only changes data; it returns nothing: remove the return type");
    }
}

/// A fold is the same each time it is replayed, so it waits for nothing.
fn check_event_sync(ctxt: &Ctxt, event: &Event<'_>) {
    if let Some(keyword) = &event.member.method.sig.asyncness {
        ctxt.error(keyword, "an event only changes data; it waits for nothing: remove `async`");
    }
}

/// An ignored event isn't applied, so what its method did would be done no more.
fn check_ignored_event_does_nothing(ctxt: &Ctxt, event: &Event<'_>) {
    let body = &event.member.method.body;
    if event.stored.ignored_since().is_some() && !body.stream().is_empty() {
        ctxt.error(
            body.stream(),
            format!(
                "`{}` is ignored, so this isn't run: leave the body empty, or remove `{IGNORED_SINCE}`",
                event.member.name()
            ),
        );
    }
}

/// A handler decides on data that it can't change, so it has `&self`.
fn check_handler_receiver(ctxt: &Ctxt, handler: &Handler<'_>, who: &str) {
    let sig = &handler.member.method.sig;
    if has_mut_self(sig) {
        let message = format!("{who} decides; only `#[event]` methods change data: take `&self`");
        ctxt.error(receiver_of(sig), message);
    } else if !has_receiver(sig, &Takes::Shared) {
        ctxt.error(receiver_of(sig), format!("{who} decides on the data: take `&self`"));
    }
}

/// A handler decides at once; what takes time is an effect.
fn check_handler_sync(ctxt: &Ctxt, handler: &Handler<'_>) {
    if let Some(keyword) = &handler.member.method.sig.asyncness {
        ctxt.error(
            keyword,
            "handlers are synchronous; do the waiting in an effect: `.and_then(|fx| fx.spawn(async { .. }))`",
        );
    }
}

/// A handler returns a step, or refuses with an error. Aliases are left to the trait `HandlerReturn`.
fn check_answer(ctxt: &Ctxt, handler: &Handler<'_>) {
    let expected = "expected `Step<R>` or `Result<Step<R>, E>`";
    let sig = &handler.member.method.sig;
    match (&handler.answer, &sig.output) {
        (Answer::Wrong(_), ReturnType::Type(_, ty)) => {
            ctxt.error(ty, format!("{expected}, found `{}`", spell(ty)));
        }
        (Answer::Missing, _) => {
            ctxt.error(&sig.ident, format!("{expected}, found nothing; write `-> Step` for a command without a reply"));
        }
        _ => {}
    }
}

/// All see the same context, so it is behind `&`.
fn check_context_shared(ctxt: &Ctxt, handler: &Handler<'_>) {
    if let Some(Type::Reference(ty)) = handler.context.map(|context| &*context.ty)
        && ty.mutability.is_some()
    {
        ctxt.error(ty, "nobody changes the context: take `&Context<Self>`");
    }
}

/// The context comes before what the caller gives, and by reference.
fn check_context_first(ctxt: &Ctxt, handler: &Handler<'_>) {
    for (index, parameter) in parameters(handler.member.method).enumerate() {
        if is_owned_context(&parameter.ty) {
            ctxt.error(&parameter.ty, "the context belongs to the runtime: take `&Context<Self>`");
        } else if index > 0 && is_context(&parameter.ty) {
            ctxt.error(parameter, "the context is a handler's first parameter: move it to the front");
        }
    }
}

/// A query reads, so it has `&self`.
fn check_query_receiver(ctxt: &Ctxt, query: &Query<'_>) {
    let sig = &query.member.method.sig;
    if !has_receiver(sig, &Takes::Shared) {
        ctxt.error(receiver_of(sig), "a query reads the data: take `&self`");
    }
}

/// A query reads what is in memory.
fn check_query_sync(ctxt: &Ctxt, query: &Query<'_>) {
    if let Some(keyword) = &query.member.method.sig.asyncness {
        ctxt.error(keyword, "queries are synchronous; they read what is in memory: remove `async`");
    }
}

/// A query without a reply would tell nothing. One that makes a step is meant to be a command.
fn check_query_replies(ctxt: &Ctxt, model: &Model<'_>, query: &Query<'_>) {
    let sig = &query.member.method.sig;
    match &sig.output {
        ReturnType::Default => ctxt.error(&sig.ident, "a query replies with what it read: give it a return type"),
        ReturnType::Type(_, ty) => {
            if model.bare_step(&sig.output).is_some() {
                let marker = if model.graph.is_some() { format!("#[{ON}(..)]") } else { format!("#[{COMMAND}]") };
                ctxt.error(ty, format!("a query returns a value; use `{marker}` for what makes a step"));
            }
        }
    }
}

/// Effects follow a step that is durable.
fn check_no_effects(ctxt: &Ctxt, member: &Member<'_>, why: &str) {
    for parameter in parameters(member.method).filter(|parameter| mentions_effects(&parameter.ty)) {
        ctxt.error(parameter, format!("effects go into `.and_then(|fx| ..)` of a step; {why}: remove this"));
    }
}

/// Only commands have a context.
fn check_no_context(ctxt: &Ctxt, member: &Member<'_>, message: &str) {
    for parameter in parameters(member.method) {
        if mentions_context(&parameter.ty) {
            ctxt.error(parameter, message);
        }
    }
}

/// Generated code calls marked methods, so they are safe functions of Rust.
pub(crate) fn check_plain_fn(ctxt: &Ctxt, sig: &Signature) {
    let message = "the runtime calls this method: make it a plain `fn`";
    if let Safety::Unsafe(keyword) = &sig.safety {
        ctxt.error(keyword, message);
    }
    if let Some(abi) = &sig.abi {
        ctxt.error(abi, message);
    }
}

/// A parameter becomes a field and an argument, which can't be left out alone.
fn check_parameters_unconditional(ctxt: &Ctxt, member: &Member<'_>) {
    for attr in parameters(member.method).flat_map(|parameter| &parameter.attrs) {
        if attr.path().is_ident("cfg") {
            ctxt.error(
                attr,
                "a parameter can't be left out alone: put the `#[cfg(..)]` on the method, and write one for each case",
            );
        }
    }
}
