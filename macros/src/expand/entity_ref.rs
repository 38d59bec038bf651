//! The typed reference: a method for each command and query.

use proc_macro2::{Ident, TokenStream};
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Attribute, Type};

use crate::expand::{call, call_at, decision, field_types, quiet_calls, quiet_item, span_of_answer};
use crate::graph::Graph;
use crate::model::{Answer, Command, Member, Model, Query};
use crate::words::at;

/// ```text
/// #[derive(Clone, Debug)]
/// pub struct AccountRef(EntityRef<Account>);
///
/// impl From<EntityRef<Account>> for AccountRef { .. }
///
/// impl AccountRef {
///     pub fn id(&self) -> &EntityId { .. }
///     pub fn send(&self, command: AccountCommand) -> Call<(), Refused> { .. }
///     // where snapshots are taken:
///     pub fn snapshot(&self) -> Call<SnapshotMeta, SnapshotError> { .. }
///     // of a machine:
///     pub fn state(&self) -> Call<LockState, Never> { .. }
///     pub fn accepts(&self) -> Call<Vec<&'static str>, Never> { .. }
///     // and a method for each command and query
/// }
/// ```
pub(super) fn expand(model: &Model<'_>) -> TokenStream {
    let commands = model.commands.iter().map(|command| command_method(model, command));
    let queries = model.queries.iter().map(|query| query_method(model, query));
    with_methods(model, &commands.chain(queries).collect())
}

/// The reference with these methods.
pub(super) fn with_methods(model: &Model<'_>, methods: &TokenStream) -> TokenStream {
    let (krate, vis, ty) = (&model.options.crate_path, &model.options.vis, &model.ty);
    let (ref_type, command_type) = (model.ref_type(), model.command_type());
    let doc = format!(" The handle of one `{}`, with a method for each command and query.", model.ident);
    let (quiet, calls) = (quiet_item(), quiet_calls());
    let snapshot = model.options.snapshots.is_some().then(|| snapshot(model));
    let of_machine = model.graph.is_some().then(|| of_machine(model));
    quote! {
        #[doc = #doc]
        #[derive(::core::clone::Clone, ::core::fmt::Debug)]
        #quiet
        #vis struct #ref_type(#krate::EntityRef<#ty>);

        #[automatically_derived]
        impl ::core::convert::From<#krate::EntityRef<#ty>> for #ref_type {
            fn from(entity: #krate::EntityRef<#ty>) -> Self {
                Self(entity)
            }
        }

        #quiet
        #calls
        impl #ref_type {
            /// The entity's id.
            #vis fn id(&self) -> &#krate::EntityId {
                self.0.id()
            }

            /// Sends a command that is given as data; tells whether it was refused.
            #vis fn send(&self, command: #command_type) -> #krate::Call<(), #krate::Refused> {
                self.0.send(command)
            }

            #snapshot
            #of_machine
            #methods
        }
    }
}

/// What the ref has of an aggregate that takes snapshots.
fn snapshot(model: &Model<'_>) -> TokenStream {
    let (krate, vis) = (&model.options.crate_path, &model.options.vis);
    quote! {
        /// Has a snapshot taken, and tells what is known of it when it is saved.
        #vis fn snapshot(
            &self,
        ) -> #krate::Call<#krate::snapshot::SnapshotMeta, #krate::snapshot::SnapshotError> {
            #krate::__rt::snapshot(&self.0)
        }
    }
}

/// What every ref of a machine has.
fn of_machine(model: &Model<'_>) -> TokenStream {
    let (krate, vis, state_enum) = (&model.options.crate_path, &model.options.vis, model.state_enum());
    quote! {
        /// The state.
        #vis fn state(&self) -> #krate::Call<#state_enum, #krate::__rt::Never> {
            #krate::__rt::state(&self.0)
        }

        /// The commands that are accepted right now.
        #vis fn accepts(&self) -> #krate::Call<#krate::__rt::Vec<&'static #krate::__rt::str>, #krate::__rt::Never> {
            #krate::__rt::accepts(&self.0)
        }
    }
}

/// ```text
/// /// Pays `amount` in; replies with the new balance.
/// pub fn deposit(&self, amount: u64) -> Call<u64, Never> {
///     call(&self.0, "deposit", move |__data, _| Account::deposit(__data, amount))
/// }
/// ```
///
/// Of a machine, with what [`decision`] makes:
///
/// ```text
/// pub fn try_unlock(&self) -> Call<Greeting, Never> {
///     dispatch(&self.0, "try_unlock", move |__data, __cx| match __cx.state() { .. })
/// }
/// ```
fn command_method(model: &Model<'_>, command: &Command<'_>) -> TokenStream {
    let krate = &model.options.crate_path;
    let (name, handler) = (command.name(), command.first());
    let span = span_of_answer(&handler.member);
    let closure = at(quote!(move), span);
    let body = if let Some(graph) = &model.graph {
        let decision = decision(model, graph, command, "decided");
        call_at(span, quote!(#krate::__rt::dispatch), quote!(&self.0, #name, #closure |__data, __cx| #decision))
    } else {
        let call = call(model, &handler.member, handler.context.is_some());
        let context = if handler.context.is_some() { quote!(__cx) } else { quote!(_) };
        call_at(span, quote!(#krate::__rt::call), quote!(&self.0, #name, #closure |__data, #context| #call))
    };
    method(model, &Method::of_command(model, command), &call_type(model, &handler.answer), &body)
}

/// ```text
/// pub fn balance(&self) -> Call<u64, Never> {
///     query(&self.0, "balance", move |__data| Account::balance(__data))
/// }
/// ```
fn query_method(model: &Model<'_>, query: &Query<'_>) -> TokenStream {
    let krate = &model.options.crate_path;
    let name = query.member.name();
    let call = call(model, &query.member, false);
    let span = span_of_answer(&query.member);
    let closure = at(quote!(move), span);
    let body = call_at(span, quote!(#krate::__rt::query), quote!(&self.0, #name, #closure |__data| #call));
    method(model, &Method::of_query(query), &never(model, &query.reply), &body)
}

/// A method of the reference: what it is made of.
pub(super) struct Method<'m> {
    ident: &'m Ident,
    docs: Vec<&'m Attribute>,
    /// What is said of it after its docs.
    also: Option<String>,
    member: &'m Member<'m>,
}

impl<'m> Method<'m> {
    pub(super) fn of_command(model: &Model<'_>, command: &'m Command<'m>) -> Self {
        let also = model.graph.as_ref().and_then(|graph| accepted_in(graph, command));
        Self { ident: &command.ident, docs: command.docs().collect(), also, member: &command.first().member }
    }

    pub(super) fn of_query(query: &'m Query<'m>) -> Self {
        Self { ident: query.member.ident(), docs: query.member.docs().collect(), also: None, member: &query.member }
    }
}

/// ``Accepted in `Unlocked` and `Locked`.``
fn accepted_in(graph: &Graph<'_>, command: &Command<'_>) -> Option<String> {
    let ways = || command.handlers.iter().filter_map(|handler| graph.way_of(handler.member.method));
    let is_accepted =
        |state: usize| ways().any(|way| way.from.iter().chain(&way.ignored).any(|place| place.state == state));
    let states = graph.states.iter().enumerate().filter(|(state, _)| is_accepted(*state));
    let states: Vec<String> = states.map(|(_, state)| format!("`{}`", state.name())).collect();
    match states.as_slice() {
        [] => None,
        [one] => Some(format!("Accepted in {one}.")),
        [others @ .., last] => Some(format!("Accepted in {} and {last}.", others.join(", "))),
    }
}

/// The docs, `cfg`s and `deprecated` of the handler are those of the reference's method; of a machine, its docs also say
/// where it is accepted.
pub(super) fn method(model: &Model<'_>, found: &Method<'_>, call: &TokenStream, body: &TokenStream) -> TokenStream {
    let Method { ident, docs, also, member } = found;
    let also = also.iter().map(|also| {
        let paragraph = (!docs.is_empty()).then(|| quote!(#[doc = ""]));
        let also = format!(" {also}");
        quote!(#paragraph #[doc = #also])
    });
    let (vis, parameters, cfgs) = (&model.options.vis, field_types(member), member.cfgs());
    let deprecated = member.method.attrs.iter().filter(|attr| attr.path().is_ident("deprecated"));
    let body = quote_spanned!(span_of_answer(member)=> { #body });
    quote! {
        #(#docs)*
        #(#also)*
        #(#cfgs)*
        #(#deprecated)*
        #vis fn #ident(&self, #(#parameters),*) -> #call #body
    }
}

/// The type of the call: `Call<u64, Overdrawn>`; for an alias, what its trait says.
pub(super) fn call_type(model: &Model<'_>, answer: &Answer) -> TokenStream {
    let krate = &model.options.crate_path;
    match answer {
        Answer::Step { reply } => never(model, reply),
        Answer::Refusable { reply, refusal } => quote!(#krate::Call<#reply, #refusal>),
        Answer::Named(ty) => {
            // That it is a step at all only the compiler can tell, so all of it is blamed on what is written there.
            let span = ty.span();
            let [call, returned] = [quote!(#krate::Call), quote!(#krate::HandlerReturn)].map(|path| at(path, span));
            quote_spanned!(span=> #call<<#ty as #returned>::Reply, <#ty as #returned>::Refusal>)
        }
        Answer::Wrong(reply) => never(model, reply),
        Answer::Missing => quote!(#krate::Call<(), #krate::__rt::Never>),
    }
}

/// The type of a call that is never refused.
pub(super) fn never(model: &Model<'_>, reply: &Type) -> TokenStream {
    let krate = &model.options.crate_path;
    quote!(#krate::Call<#reply, #krate::__rt::Never>)
}
