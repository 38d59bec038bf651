//! What is emitted beside mistakes: the block, and items with the right names and types that do nothing, so that no
//! "not found" follows in other code.

use proc_macro2::{Ident, TokenStream};
use quote::{format_ident, quote};
use syn::visit_mut::{self, VisitMut};
use syn::{FnArg, Lifetime, Path, ReturnType, Signature, Type, TypeReference, parse_quote};

use crate::block;
use crate::check;
use crate::crate_path::CratePath;
use crate::expand::entity_ref::Method;
use crate::expand::{
    aggregate_impl, command_impl, entity_ref, markers, method, quiet_item, signature, state_enum, state_impl, unmarked,
};
use crate::graph::{Graph, Way};
use crate::model::{Answer, Member, Model, is_conditional};
use crate::states::State;
use crate::symbol::{ENUM_DERIVES, GOTO, ON};
use crate::types::{mentions_context, mentions_effects, unit};
use crate::words::{Words, bare_step, only_word};

/// The block and the stubs, without mistakes of their own.
pub(crate) fn stub(mut model: Model<'_>) -> TokenStream {
    leave_twins_out(&mut model);
    leave_contexts_out(&mut model);
    let events_changed = own_all_types(&mut model);
    let model = &model;
    let machine = model.graph.as_ref().map(|graph| machine(model, graph));
    let nothing = quote!(#![allow(unused_variables)] loop {});
    let block = block(model, events_changed);
    let event = model.options.event.is_none().then(|| event(model));
    let commands = model.commands.iter().map(|command| (&command.variant, &command.first().member));
    let command = stub_enum(model, &model.command_type(), commands);
    let aggregate = aggregate_impl::with_apply(model, &nothing);
    let command_impl = command_impl::with_bodies(model, &nothing, &nothing);
    let entity_ref = entity_ref(model, &nothing);
    quote! {
        #block
        #event
        #command
        #aggregate
        #command_impl
        #entity_ref
        #machine
    }
}

/// The states and handlers of a machine, each once.
fn machine(model: &Model<'_>, graph: &Graph<'_>) -> TokenStream {
    let krate = &model.options.crate_path;
    let states = sound_states(graph);
    let mut seen: Vec<Ident> = Vec::new();
    let is_first = |way: &&Way<'_>| way.is_conditional() || is_first(&mut seen, &way.marker);
    let ways: Vec<&Way<'_>> = graph.ways.iter().filter(is_first).collect();
    // Without any state there is still one to begin in.
    let none = format_ident!("__None");
    let mut idents: Vec<&Ident> = states.iter().map(|state| &state.ident).collect();
    if idents.is_empty() {
        idents.push(&none);
    }
    // A name may be wrong.
    let quiet = quote!(#[allow(non_camel_case_types)]);
    let state_enum = state_enum::with_variants(model, &quiet, idents.iter().map(|ident| quote!(#ident)));
    let initial = idents[0];
    let graph_of = quote!(#krate::Graph { machine: "", states: &[], edges: &[] });
    let bodies = [&graph_of, &quote!(&[]), &quote!(Self::#initial), &quote!(loop {})];
    let state_impl = state_impl::with_bodies(model, bodies, &TokenStream::new());
    let markers = markers::stub(model, graph, &states, &ways);
    quote! {
        #state_enum
        #state_impl
        #markers
    }
}

/// The states that can be emitted: the first of each name, and none that collides with the module of handlers.
fn sound_states<'g>(graph: &'g Graph<'_>) -> Vec<&'g State> {
    let states = graph.states.iter().enumerate();
    let is_sound =
        |(index, state): &(usize, &State)| graph.index_of(&state.ident) == Some(*index) && state.name() != ON;
    states.filter(is_sound).map(|(_, state)| state).collect()
}

/// Whether a body has a call that is reported, or goes to what is reported to be no state: rustc would say it again.
fn goes_nowhere(model: &Model<'_>, found: &block::Method) -> bool {
    let Some(graph) = &model.graph else { return false };
    let states = sound_states(graph);
    let calls = model.words(found).calls(&found.body);
    if calls.iter().any(|call| check::misuse(model, graph, call).is_some()) {
        return true;
    }
    let targets = calls.into_iter().filter(|call| call.word == GOTO);
    let mut targets = targets.filter_map(|call| only_word(call.arguments.stream()));
    targets.any(|target| check::is_camel(&target) && states.iter().all(|state| state.ident != target))
}

/// Leaves the second of two items with one name out: rustc would say again that they collide.
fn leave_twins_out(model: &mut Model<'_>) {
    let mut variants: Vec<Ident> = Vec::new();
    model.events.retain(|event| event.member.is_conditional() || is_first(&mut variants, &event.variant));
    variants.clear();
    model
        .commands
        .retain(|command| command.first().member.is_conditional() || is_first(&mut variants, &command.variant));
}

fn is_first(seen: &mut Vec<Ident>, ident: &Ident) -> bool {
    let first = !seen.contains(ident);
    seen.push(ident.clone());
    first
}

/// Leaves contexts and effects out of the fields: where they are no mistake, they aren't there.
fn leave_contexts_out(model: &mut Model<'_>) {
    let events = model.events.iter_mut().map(|event| &mut event.member);
    let handlers = model.commands.iter_mut().flat_map(|command| &mut command.handlers);
    let commands = handlers.map(|handler| &mut handler.member);
    let queries = model.queries.iter_mut().map(|query| &mut query.member);
    for member in events.chain(commands).chain(queries) {
        member.fields.retain(|field| !mentions_context(field.given) && !mentions_effects(field.given));
    }
}

/// The user's block, without the second of two marked methods with one name.
///
/// If the types of events are wrong, the bodies that make events are left out: they would be wrong, too.
fn block(model: &Model<'_>, events_changed: bool) -> TokenStream {
    let mut seen: Vec<Ident> = Vec::new();
    model.block.rewritten(|found: &block::Method| {
        let conditional = found.attrs.iter().any(is_conditional);
        let twin = !found.markers.is_empty() && !conditional && !is_first(&mut seen, &found.sig.ident);
        if twin {
            TokenStream::new()
        } else if is_hook(model, found) {
            hook(found)
        } else if model.is_handler(found) && (events_changed || goes_nowhere(model, found)) {
            method_without_body(model, found)
        } else if !model.is_handler(found) && model.bare_step(&found.sig.output).is_some() {
            step_of_anybody(found, found.sig.clone(), &model.options.crate_path)
        } else {
            method(model, found)
        }
    })
}

/// The block where nothing can be made of its type. What speaks of steps, contexts and effects in it speaks of things
/// that aren't there.
pub(crate) fn block_alone(block: &block::Block, crate_path: &CratePath) -> TokenStream {
    let is_runtime = |input: &FnArg| match input {
        FnArg::Typed(parameter) => mentions_context(&parameter.ty) || mentions_effects(&parameter.ty),
        FnArg::Receiver(_) => false,
    };
    // A trait has its own say in what its methods are.
    let is_own = block.header.trait_.is_none();
    block.rewritten(|found| {
        if !is_own || !(makes_bare_step(found, crate_path) || found.sig.inputs.iter().any(is_runtime)) {
            return unmarked(found);
        }
        let mut sig = found.sig.clone();
        sig.inputs = sig.inputs.into_iter().filter(|input| !is_runtime(input)).collect();
        step_of_anybody(found, sig, crate_path)
    })
}

fn makes_bare_step(found: &block::Method, crate_path: &CratePath) -> bool {
    matches!(&found.sig.output, ReturnType::Type(_, ty) if bare_step(ty, crate_path).is_some())
}

/// A method that isn't known to be a handler, and makes a step: for whoever it is that calls it.
///
/// ```text
/// fn shut<__H: Handler>(&self) -> Step<(), __H> { loop {} }
/// ```
fn step_of_anybody(found: &block::Method, mut sig: Signature, crate_path: &CratePath) -> TokenStream {
    let block::Method { attrs, vis, .. } = found;
    let anybody: Path = parse_quote!(__H);
    if let ReturnType::Type(_, ty) = &mut sig.output {
        sig.generics.params.push(parse_quote!(#anybody: #crate_path::Handler));
        Words { handler: &anybody, crate_path, graph: None }.complete_type(ty);
    }
    quote!(#(#attrs)* #[allow(dead_code, unused_variables)] #vis #sig { loop {} })
}

fn is_hook(model: &Model<'_>, found: &block::Method) -> bool {
    model.graph.as_ref().is_some_and(|graph| graph.hooks.iter().any(|hook| std::ptr::eq(hook.method, found)))
}

/// A hook returns nothing.
fn hook(found: &block::Method) -> TokenStream {
    let mut sig = found.sig.clone();
    let block::Method { attrs, vis, body, .. } = found;
    match std::mem::replace(&mut sig.output, ReturnType::Default) {
        ReturnType::Default => quote!(#(#attrs)* #vis #sig #body),
        ReturnType::Type(..) => quote!(#(#attrs)* #[allow(unused_variables)] #vis #sig { loop {} }),
    }
}

fn method_without_body(model: &Model<'_>, found: &block::Method) -> TokenStream {
    let sig = signature(model, found);
    let block::Method { attrs, vis, .. } = found;
    quote!(#(#attrs)* #[allow(unused_variables)] #vis #sig { loop {} })
}

/// ```text
/// pub enum AccountEvent { Deposited { amount: u64 } }
/// impl Serialize for AccountEvent { .. }
/// impl<'de> Deserialize<'de> for AccountEvent { .. }
/// impl Event for AccountEvent { .. }
/// ```
fn event(model: &Model<'_>) -> TokenStream {
    let krate = &model.options.crate_path;
    let enum_type = model.event_enum();
    let variants = model.events.iter().map(|event| (&event.variant, &event.member));
    let stub = stub_enum(model, &enum_type, variants);
    quote! {
        #stub

        #[automatically_derived]
        impl #krate::__rt::serde::Serialize for #enum_type {
            fn serialize<S: #krate::__rt::serde::Serializer>(
                &self,
                _: S,
            ) -> #krate::__rt::Result<S::Ok, S::Error> {
                loop {}
            }
        }

        #[automatically_derived]
        impl<'de> #krate::__rt::serde::Deserialize<'de> for #enum_type {
            fn deserialize<D: #krate::__rt::serde::Deserializer<'de>>(
                _: D,
            ) -> #krate::__rt::Result<Self, D::Error> {
                loop {}
            }
        }

        #[automatically_derived]
        impl #krate::Event for #enum_type {
            const VARIANTS: &'static [#krate::EventVariant] = &[];

            fn upcast(
                _: #krate::__rt::usize,
                _: #krate::__rt::u32,
                _: #krate::Payload<'_>,
            ) -> #krate::__rt::Result<Self, #krate::DecodeError> {
                loop {}
            }
        }
    }
}

fn stub_enum<'a>(
    model: &Model<'_>,
    enum_type: &Ident,
    variants: impl Iterator<Item = (&'a Ident, &'a Member<'a>)>,
) -> TokenStream {
    let (vis, derives) = (&model.options.vis, derives(model));
    let variants = variants.map(|(variant, member)| {
        let (cfgs, fields) = (member.cfgs(), super::field_types(member));
        let fields = (!member.fields.is_empty()).then(|| quote!({ #(#fields),* }));
        quote!(#(#cfgs)* #variant #fields)
    });
    let quiet = quiet_item();
    quote! {
        #[derive(::core::fmt::Debug, ::core::clone::Clone, ::core::cmp::PartialEq, #(#derives),*)]
        #quiet
        #vis enum #enum_type {
            #(#variants),*
        }
    }
}

/// What `derive(..)` adds, once each, without serde's derives: they need types that are right.
fn derives<'m>(model: &'m Model<'_>) -> impl Iterator<Item = &'m Path> {
    let mut seen: Vec<Ident> = [ENUM_DERIVES, &["Event", "Serialize", "Deserialize"]]
        .concat()
        .into_iter()
        .map(|word| format_ident!("{word}"))
        .collect();
    model
        .options
        .derives
        .iter()
        .filter(move |path| path.segments.last().is_some_and(|last| is_first(&mut seen, &last.ident)))
}

fn entity_ref(model: &Model<'_>, nothing: &TokenStream) -> TokenStream {
    // These two every ref has already.
    let mut seen = vec![format_ident!("id"), format_ident!("send")];
    if model.options.snapshots.is_some() {
        seen.push(format_ident!("snapshot"));
    }
    if model.graph.is_some() {
        seen.extend(["state", "accepts"].map(|word| format_ident!("{word}")));
    }
    let mut has_room = |member: &Member<'_>, ident: &Ident| member.is_conditional() || is_first(&mut seen, ident);
    let commands = model.commands.iter().filter(|command| has_room(&command.first().member, &command.ident));
    let commands = commands.map(|command| {
        let call = entity_ref::call_type(model, &command.first().answer);
        entity_ref::method(model, &Method::of_command(model, command), &call, nothing)
    });
    let commands: TokenStream = commands.collect();
    let queries = model.queries.iter().filter(|query| has_room(&query.member, query.member.ident())).map(|query| {
        let call = entity_ref::never(model, &query.reply);
        entity_ref::method(model, &Method::of_query(query), &call, nothing)
    });
    let queries: TokenStream = queries.collect();
    entity_ref::with_methods(model, &quote!(#commands #queries))
}

/// Makes types of those that no field can have: `&str` becomes `&'static str`, `impl Trait` becomes `()`.
///
/// Tells whether a field of an event was among them.
fn own_all_types(model: &mut Model<'_>) -> bool {
    let mut own = Own { changed: false };
    for event in &mut model.events {
        own.fields(&mut event.member);
    }
    let events_changed = own.changed;
    for handler in model.commands.iter_mut().flat_map(|command| &mut command.handlers) {
        own.fields(&mut handler.member);
        match &mut handler.answer {
            Answer::Step { reply } | Answer::Wrong(reply) => own.visit_type_mut(reply),
            Answer::Refusable { reply, refusal } => {
                own.visit_type_mut(reply);
                own.visit_type_mut(refusal);
            }
            Answer::Named(ty) => own.visit_type_mut(ty),
            Answer::Missing => {}
        }
    }
    let make_steps: Vec<bool> =
        model.queries.iter().map(|query| model.bare_step(&query.member.method.sig.output).is_some()).collect();
    for (query, makes_step) in model.queries.iter_mut().zip(make_steps) {
        own.fields(&mut query.member);
        if makes_step {
            query.reply = unit();
        }
        own.visit_type_mut(&mut query.reply);
    }
    events_changed
}

struct Own {
    changed: bool,
}

impl Own {
    fn fields(&mut self, member: &mut Member<'_>) {
        for field in &mut member.fields {
            self.visit_type_mut(&mut field.ty);
        }
    }
}

impl VisitMut for Own {
    fn visit_type_mut(&mut self, ty: &mut Type) {
        visit_mut::visit_type_mut(self, ty);
        if matches!(ty, Type::ImplTrait(_)) {
            self.changed = true;
            *ty = parse_quote!(());
        }
    }

    fn visit_type_reference_mut(&mut self, reference: &mut TypeReference) {
        visit_mut::visit_type_reference_mut(self, reference);
        self.changed = true;
        reference.lifetime = Some(parse_quote!('static));
    }

    fn visit_lifetime_mut(&mut self, lifetime: &mut Lifetime) {
        if lifetime.ident != "static" {
            self.changed = true;
            *lifetime = parse_quote!('static);
        }
    }
}
