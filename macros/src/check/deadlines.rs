//! Rules for `#[after]` and its handlers.

use syn::ReturnType;

use crate::check::methods;
use crate::ctxt::Ctxt;
use crate::graph::{Graph, Way};
use crate::model::{Answer, Handler, Model, parameters};
use crate::spell::spell;
use crate::types::{is_unit, mentions_context, mentions_effects};

pub(crate) fn check(ctxt: &Ctxt, model: &Model<'_>, graph: &Graph<'_>) {
    check_one_deadline(ctxt, graph);
    for way in graph.ways.iter().filter(|way| way.command().is_none()) {
        check_terminal_has_no_deadline(ctxt, graph, way);
    }
    for handler in &model.deadlines {
        methods::check_called(ctxt, handler, "a deadline's handler");
        check_no_parameters(ctxt, handler);
        check_no_reply(ctxt, handler);
    }
}

/// The time in a state ends once.
fn check_one_deadline(ctxt: &Ctxt, graph: &Graph<'_>) {
    for (index, way) in graph.ways.iter().enumerate().filter(|(_, way)| way.command().is_none()) {
        let earlier = graph.ways[..index].iter().filter(|first| {
            let both_there = !(first.is_conditional() || way.is_conditional());
            first.command().is_none() && both_there && first.method.sig.ident != way.method.sig.ident
        });
        for first in earlier {
            let both = way.from.iter().find_map(|place| {
                let first = first.from.iter().find(|first| first.state == place.state)?;
                Some((place, first))
            });
            if let Some((place, first)) = both {
                let state = graph.states[place.state].name();
                ctxt.collision(
                    &place.token,
                    format!("`{state}` already has a deadline; remove one"),
                    &first.token,
                    format!("`{state}` has a deadline here"),
                );
            }
        }
    }
}

/// In a terminal state nothing happens any more.
fn check_terminal_has_no_deadline(ctxt: &Ctxt, graph: &Graph<'_>, way: &Way<'_>) {
    for place in way.from.iter().filter(|place| graph.states[place.state].is_terminal()) {
        let name = &place.token;
        ctxt.error(name, format!("`{name}` is terminal, so it has no deadline; remove it here, or the `terminal`"));
    }
}

/// Nobody calls a deadline, so nobody gives it anything.
fn check_no_parameters(ctxt: &Ctxt, handler: &Handler<'_>) {
    let given = parameters(handler.member.method);
    // What else is wrong with those is said elsewhere.
    for parameter in given.filter(|parameter| !mentions_context(&parameter.ty) && !mentions_effects(&parameter.ty)) {
        ctxt.error(
            parameter,
            "nobody calls a deadline, so nobody can give it this; it takes `&self`, and `cx: &Context<Self>` if it likes",
        );
    }
}

/// Nobody calls a deadline, so nobody gets a reply or can be refused.
fn check_no_reply(ctxt: &Ctxt, handler: &Handler<'_>) {
    let sig = &handler.member.method.sig;
    match (&handler.answer, &sig.output) {
        (Answer::Step { reply }, ReturnType::Type(_, ty)) if !is_unit(reply) => {
            ctxt.error(ty, "nobody calls a deadline, so nobody gets a reply; return `Step`");
        }
        (Answer::Refusable { .. }, ReturnType::Type(_, ty)) => {
            ctxt.error(ty, "nobody calls a deadline, so nobody can be refused; return `Step`, and `stay()` in it");
        }
        (Answer::Wrong(_), ReturnType::Type(_, ty)) => {
            ctxt.error(ty, format!("expected `Step`, found `{}`", spell(ty)));
        }
        (Answer::Missing, _) => ctxt.error(&sig.ident, "expected `-> Step`, found nothing"),
        _ => {}
    }
}
