//! Rules for `#[on]`, and for `#[ignore]` and `#[reject]` beside it.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::ReturnType;
use syn::ext::IdentExt;

use crate::ctxt::Ctxt;
use crate::graph::{Graph, Place, Target, Way};
use crate::model::{Answer, Command, Handler, Model};
use crate::spell::spell;
use crate::types::is_unit;

pub(crate) fn check(ctxt: &Ctxt, model: &Model<'_>, graph: &Graph<'_>) {
    for way in &graph.ways {
        check_states_named_once(ctxt, graph, &way.from);
        check_states_named_once(ctxt, graph, &way.ignored);
        check_states_named_once(ctxt, graph, &way.rejected);
        check_targets_named_once(ctxt, way);
        if way.command().is_some() {
            check_terminal_is_not_left(ctxt, graph, way);
        }
    }
    check_handled_once(ctxt, graph);
    check_handled_or_not(ctxt, graph);
    for command in &model.commands {
        check_conditions_agree(ctxt, model, command);
        for handler in &command.handlers[1..] {
            check_same_parameters(ctxt, command, handler);
            check_same_answer(ctxt, command, handler);
        }
        for handler in &command.handlers {
            check_ignored_replies_nothing(ctxt, graph, command, handler);
        }
    }
}

/// In a list, a state is named once.
fn check_states_named_once(ctxt: &Ctxt, graph: &Graph<'_>, places: &[Place]) {
    for (index, place) in places.iter().enumerate() {
        let Some(first) = places[..index].iter().find(|first| first.state == place.state) else { continue };
        let name = graph.states[place.state].name();
        let message = if first.token == "_" && place.token == "_" {
            "`_` is named twice; remove one".to_owned()
        } else if first.token == "_" || place.token == "_" {
            format!("`_` is every state that is not terminal, so `{name}` is named twice; remove one")
        } else {
            format!("`{name}` is named twice; remove one")
        };
        let first_name = if first.token == "_" && place.token == "_" { "_" } else { &name };
        ctxt.collision(&place.token, message, &first.token, format!("`{first_name}` is first named here"));
        if place.token == "_" {
            break;
        }
    }
}

/// A way leads to a state once.
fn check_targets_named_once(ctxt: &Ctxt, way: &Way<'_>) {
    let tokens: Vec<_> = way
        .to
        .iter()
        .map(|target| match target {
            Target::State(place) => &place.token,
            Target::Stay(word) => word,
        })
        .collect();
    for (index, token) in tokens.iter().enumerate() {
        if let Some(first) = tokens[..index].iter().find(|first| *first == token) {
            let message = format!("`{token}` is named twice; remove one");
            ctxt.collision(token, message, first, format!("`{token}` is first named here"));
        }
    }
}

/// Nothing leads out of a terminal state. To stay there is to be asked something, or to note it.
fn check_terminal_is_not_left(ctxt: &Ctxt, graph: &Graph<'_>, way: &Way<'_>) {
    if way.targets().next().is_none() {
        return;
    }
    for place in way.from.iter().filter(|place| graph.states[place.state].is_terminal()) {
        let name = &place.token;
        ctxt.error(
            name,
            format!("`{name}` is terminal, so nothing but `stay` begins there; remove it here, or the `terminal`"),
        );
    }
}

/// In one state, one handler decides on a command.
fn check_handled_once(ctxt: &Ctxt, graph: &Graph<'_>) {
    for (index, way) in graph.ways.iter().enumerate() {
        let Some(command) = way.command() else { continue };
        let earlier = graph.ways[..index].iter().filter(|first| {
            first.command() == Some(command)
                // Two methods of one name are reported as such.
                && first.method.sig.ident != way.method.sig.ident
                && !(first.is_conditional() || way.is_conditional())
        });
        for first in earlier {
            let both = way.from.iter().find_map(|place| {
                let first = first.from.iter().find(|first| first.state == place.state)?;
                Some((place, first))
            });
            if let Some((place, first)) = both {
                let (command, state) = (command.unraw(), graph.states[place.state].name());
                ctxt.collision(
                    &place.token,
                    format!("`{command}` is already accepted in `{state}`; remove one"),
                    &first.token,
                    format!("`{command}` is accepted in `{state}` here"),
                );
            }
        }
    }
}

/// In one state, a command is handled, ignored or rejected.
fn check_handled_or_not(ctxt: &Ctxt, graph: &Graph<'_>) {
    for way in &graph.ways {
        let Some(command) = way.command() else { continue };
        let same_command = || graph.ways.iter().filter(|other| other.command() == Some(command));
        let report = |place: &Place, what: &str, first: &Place, first_is: &str| {
            let (command, state) = (command.unraw(), graph.states[place.state].name());
            ctxt.collision(
                &place.token,
                format!("`{command}` is both {first_is} and {what} in `{state}`; remove one"),
                &first.token,
                format!("`{command}` is {first_is} in `{state}` here"),
            );
        };
        for (places, what) in [(&way.ignored, "ignored"), (&way.rejected, "rejected")] {
            for place in places {
                if let Some(first) =
                    same_command().flat_map(|other| &other.from).find(|first| first.state == place.state)
                {
                    report(place, what, first, "handled");
                }
            }
        }
        for place in &way.rejected {
            if let Some(first) =
                same_command().flat_map(|other| &other.ignored).find(|first| first.state == place.state)
            {
                report(place, "rejected", first, "ignored");
            }
        }
    }
}

/// The handlers of a command are there together, or a build would have half of a command.
fn check_conditions_agree(ctxt: &Ctxt, model: &Model<'_>, command: &Command<'_>) {
    let is_conditional = |command: &Command<'_>| command.first().member.is_conditional();
    let other = model.commands.iter().find(|other| other.ident == command.ident && !is_conditional(other));
    if let (true, Some(other)) = (is_conditional(command), other) {
        let name = command.name();
        ctxt.collision(
            command.first().member.cfgs().next(),
            format!("all handlers of `{name}` have the same `#[cfg]`, so that a build has them all or none"),
            other.first().member.ident(),
            format!("this handler of `{name}` has another, or none"),
        );
    }
}

/// A caller of a command doesn't know the state, so all its handlers take the same.
fn check_same_parameters(ctxt: &Ctxt, command: &Command<'_>, handler: &Handler<'_>) {
    let first = command.first();
    let (here, there) = (parameters(handler), parameters(first));
    if here.to_string() != there.to_string() {
        let (name, here, there) = (command.name(), spell(&here), spell(&there));
        ctxt.collision(
            blamed_parameters(handler),
            format!("`{name}` takes `({here})` here and `({there})` there; all handlers of a command take the same"),
            blamed_parameters(first),
            format!("`{name}` takes `({there})` here"),
        );
    }
}

/// `card: Card, name: String`
fn parameters(handler: &Handler<'_>) -> TokenStream {
    let fields = handler.member.fields.iter().map(|field| {
        let (ident, ty) = (field.ident, &field.ty);
        quote!(#ident: #ty)
    });
    quote!(#(#fields),*)
}

/// The parameters where they stand, or the name of a method without any.
fn blamed_parameters(handler: &Handler<'_>) -> TokenStream {
    let fields = handler.member.fields.iter().map(|field| {
        let (ident, ty) = (field.ident, field.given);
        quote!(#ident #ty)
    });
    if handler.member.fields.is_empty() { handler.member.ident().to_token_stream() } else { quote!(#(#fields)*) }
}

/// A caller of a command doesn't know the state, so all its handlers reply and refuse with the same. What is behind an
/// alias only the compiler can tell.
fn check_same_answer(ctxt: &Ctxt, command: &Command<'_>, handler: &Handler<'_>) {
    let first = command.first();
    let (Some(here), Some(there)) = (answer(&handler.answer), answer(&first.answer)) else { return };
    if here != there {
        let [here, there] = [handler, first].map(|handler| match &handler.member.method.sig.output {
            ReturnType::Type(_, ty) => spell(ty),
            ReturnType::Default => "()".to_owned(),
        });
        let name = command.name();
        ctxt.collision(
            blamed_answer(handler),
            format!("`{name}` returns `{here}` here and `{there}` there; all handlers of a command return the same"),
            blamed_answer(first),
            format!("`{name}` returns `{there}` here"),
        );
    }
}

/// The reply and the refusal, as text.
fn answer(answer: &Answer) -> Option<(String, Option<String>)> {
    match answer {
        Answer::Step { reply } => Some((spell(reply), None)),
        Answer::Refusable { reply, refusal } => Some((spell(reply), Some(spell(refusal)))),
        Answer::Named(_) | Answer::Wrong(_) | Answer::Missing => None,
    }
}

fn blamed_answer(handler: &Handler<'_>) -> TokenStream {
    match &handler.member.method.sig.output {
        ReturnType::Type(_, ty) => ty.to_token_stream(),
        ReturnType::Default => handler.member.ident().to_token_stream(),
    }
}

/// Who is ignored gets no reply, so only a command without one can be.
fn check_ignored_replies_nothing(ctxt: &Ctxt, graph: &Graph<'_>, command: &Command<'_>, handler: &Handler<'_>) {
    let (Answer::Step { reply } | Answer::Refusable { reply, .. }) = &handler.answer else { return };
    let Some(way) = graph.way_of(handler.member.method).filter(|_| !is_unit(reply)) else { return };
    if let Some(place) = way.ignored.first() {
        let (name, reply) = (command.name(), spell(reply));
        ctxt.error(
            &place.token,
            format!("`{name}` replies with `{reply}`, which nobody gives where it is ignored; use `#[reject(..)]`"),
        );
    }
}
