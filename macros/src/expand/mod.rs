//! The generated code. Nothing here can fail: the model has been checked.

mod aggregate_impl;
mod command_impl;
mod entity_ref;
mod enums;
mod event_impl;
mod markers;
mod snapshot_impl;
mod state_enum;
mod state_impl;
mod stub;
mod upcast;
mod warning;

use proc_macro2::{Delimiter, Group, Span, TokenStream};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{FnArg, LitInt, ReturnType, Signature};

use crate::block::Method;
use crate::crate_path::CratePath;
use crate::duration::Length;
use crate::fields::Described;
use crate::graph::Graph;
use crate::model::{Command, Event, Handler, Member, Model, leaves_for_field};
use crate::words::at;

pub(crate) use event_impl::{event_enum, event_enum_stub};
pub(crate) use snapshot_impl::{snapshot_data, snapshot_data_stub};
pub(crate) use stub::{block_alone, stub};

/// All that `#[aggregate]` emits: the block, and what it makes beside it.
pub(crate) fn aggregate(model: &Model<'_>) -> TokenStream {
    let block = block(model);
    let event_enum = model.options.event.is_none().then(|| enums::event(model));
    let command_enum = enums::command(model);
    let aggregate = aggregate_impl::expand(model);
    let command = command_impl::expand(model);
    let entity_ref = entity_ref::expand(model);
    let machine = model.graph.as_ref().map(|graph| machine(model, graph));
    let warning = warning::expand(model);
    quote! {
        #block
        #event_enum
        #command_enum
        #aggregate
        #command
        #entity_ref
        #machine
        #warning
    }
}

/// What `#[fsm]` emits beside.
fn machine(model: &Model<'_>, graph: &Graph<'_>) -> TokenStream {
    let state_enum = state_enum::expand(model, graph);
    let state = state_impl::expand(model, graph);
    let markers = markers::expand(model, graph);
    quote! {
        #state_enum
        #state
        #markers
    }
}

/// The user's block, without the markers and with the words of handlers completed:
///
/// ```text
/// impl Account {
///     #[allow(..)]
///     fn deposit(&self, amount: u64) -> Step<u64, Account> {
///         applying::<Account>(AccountEvent::Deposited { amount }).replying_with(Self::balance)
///     }
/// }
/// ```
fn block(model: &Model<'_>) -> TokenStream {
    model.block.rewritten(|found| method(model, found))
}

fn method(model: &Model<'_>, method: &Method) -> TokenStream {
    if method.markers.is_empty() { unmarked(method) } else { marked(model, method) }
}

/// A method as it is, but for markers.
fn unmarked(Method { attrs, vis, sig, body, .. }: &Method) -> TokenStream {
    quote!(#(#attrs)* #vis #sig #body)
}

fn marked(model: &Model<'_>, method: &Method) -> TokenStream {
    let Method { attrs, vis, body, .. } = method;
    let sig = signature(model, method);
    let completed = model.is_handler(method).then(|| model.words(method).complete_body(body));
    let body = completed.as_ref().unwrap_or(body);
    let quiet = quiet_method();
    let is_of_machine = model.graph.is_some() && model.is_handler(method);
    let quiet_too = is_of_machine.then(quiet_handler);
    let is_ignored =
        |event: &Event<'_>| std::ptr::eq(event.member.method, method) && event.stored.ignored_since().is_some();
    let unused = model.events.iter().any(is_ignored).then(|| quote!(#[allow(unused_variables)]));
    quote!(#(#attrs)* #quiet #quiet_too #unused #vis #sig #body)
}

/// The signature without the attributes that went to fields, and with each `Step` of a handler complete.
fn signature(model: &Model<'_>, method: &Method) -> Signature {
    let mut sig = method.sig.clone();
    for input in &mut sig.inputs {
        if let FnArg::Typed(parameter) = input {
            parameter.attrs.retain(|attr| !leaves_for_field(attr));
        }
    }
    if let (true, ReturnType::Type(_, ty)) = (model.is_handler(method), &mut sig.output) {
        model.words(method).complete_type(ty);
    }
    sig
}

/// Lints about the shape of a marked method, and about the type that completes a step: neither is the user's to choose.
fn quiet_method() -> TokenStream {
    quote! {
        #[allow(
            clippy::needless_pass_by_ref_mut,
            clippy::needless_pass_by_value,
            clippy::trivially_copy_pass_by_ref,
            clippy::unnecessary_wraps,
            clippy::unused_self,
            clippy::use_self
        )]
    }
}

/// The same for the handler of a machine, whose step also names a marker that only the block sees.
fn quiet_handler() -> TokenStream {
    quote!(#[allow(private_interfaces)])
}

/// Lints that a generated item may raise in a crate that is strict with itself.
fn quiet_item() -> TokenStream {
    quote!(#[allow(dead_code, missing_docs, private_interfaces, unreachable_pub, clippy::all, clippy::pedantic, clippy::nursery)])
}

/// Generated code goes on calling a method that users should leave alone; it has the user's spans in places, so that
/// clippy takes it for theirs.
fn quiet_calls() -> TokenStream {
    quote!(#[allow(deprecated, clippy::all, clippy::pedantic, clippy::nursery)])
}

/// The fields by name, to take a variant apart or to build it: `{ amount, currency }`, or nothing.
fn field_names(member: &Member<'_>) -> Option<TokenStream> {
    let names = member.fields.iter().map(|field| field.ident);
    (!member.fields.is_empty()).then(|| quote!({ #(#names),* }))
}

/// `Account::deposit(__data, __cx, amount)`
fn call(model: &Model<'_>, member: &Member<'_>, context: bool) -> TokenStream {
    let (ty, method) = (&model.ty, member.ident());
    let context = context.then(|| quote!(__cx,));
    let fields = member.fields.iter().map(|field| field.ident);
    call_at(span_of_answer(member), quote!(#ty::#method), quote!(__data, #context #(#fields),*))
}

/// `decided(Account::deposit(__data, amount))`, where `to` is the function of `__rt` that makes a decision of the answer.
fn handled(model: &Model<'_>, handler: &Handler<'_>, to: &str) -> TokenStream {
    let krate = &model.options.crate_path;
    let call = call(model, &handler.member, handler.context.is_some());
    let to = format_ident!("{to}");
    call_at(span_of_answer(&handler.member), quote!(#krate::__rt::#to), call)
}

/// What becomes of a command of a machine:
///
/// ```text
/// match __cx.state() {
///     LockState::Locked => decided(Lock::try_unlock(__data)),
///     LockState::Unlocked => not_accepted(),
/// }
/// ```
fn decision(model: &Model<'_>, graph: &Graph<'_>, command: &Command<'_>, to: &str) -> TokenStream {
    let (krate, state_enum) = (&model.options.crate_path, model.state_enum());
    let arm = |states: &[usize], decision: TokenStream| {
        let states = states.iter().map(|state| &graph.states[*state].ident);
        (states.len() > 0).then(|| quote!(#(#state_enum::#states)|* => #decision,))
    };
    let (mut handled_in, mut ignored_in, mut arms) = (Vec::new(), Vec::new(), Vec::new());
    for handler in &command.handlers {
        let Some(way) = graph.way_of(handler.member.method) else { continue };
        let states: Vec<usize> = way.from.iter().map(|place| place.state).collect();
        arms.push(arm(&states, handled(model, handler, to)));
        handled_in.extend(states);
        ignored_in.extend(way.ignored.iter().map(|place| place.state));
    }
    arms.push(arm(&ignored_in, quote!(#krate::__rt::ignored())));
    let others = (0..graph.states.len()).filter(|state| !handled_in.contains(state) && !ignored_in.contains(state));
    arms.push(arm(&others.collect::<Vec<_>>(), quote!(#krate::__rt::not_accepted())));
    quote!(match __cx.state() { #(#arms)* })
}

/// A call that is blamed on `span` as a whole. What can be wrong with the call of a handler is what it returns.
fn call_at(span: Span, function: TokenStream, arguments: TokenStream) -> TokenStream {
    let function = at(function, span);
    let mut arguments = Group::new(Delimiter::Parenthesis, arguments);
    arguments.set_span(span);
    quote!(#function #arguments)
}

/// `Duration::from_secs(30)`
fn length(krate: &CratePath, literal: &LitInt, length: Length) -> TokenStream {
    let duration = quote_spanned!(literal.span()=> #krate::__rt::Duration);
    match length {
        Length::Millis(millis) => quote!(#duration::from_millis(#millis)),
        Length::Secs(secs) => quote!(#duration::from_secs(#secs)),
    }
}

/// The span of the return type.
fn span_of_answer(member: &Member<'_>) -> Span {
    match &member.method.sig.output {
        ReturnType::Type(_, ty) => ty.span(),
        ReturnType::Default => member.ident().span(),
    }
}

/// `&[Field { name: "amount", ty: "u64" }]`
fn described_fields(krate: &CratePath, fields: &[Described]) -> TokenStream {
    let fields = fields.iter().map(|Described { name, ty }| quote!(#krate::Field { name: #name, ty: #ty }));
    quote!(&[#(#fields),*])
}

/// `amount: u64, currency: Currency`
fn field_types(member: &Member<'_>) -> impl Iterator<Item = TokenStream> {
    member.fields.iter().map(|field| {
        let (ident, ty) = (field.ident, field.ty.to_token_stream());
        quote!(#ident: #ty)
    })
}
