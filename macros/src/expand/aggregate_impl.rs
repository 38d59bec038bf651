//! The impls of `Aggregate` and of what goes with it.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote, quote_spanned};

use crate::expand::quiet_calls;
use crate::model::Model;
use crate::words::at;

/// ```text
/// impl Aggregate for Account {
///     const NAME: &'static str = "Account";
///     const CODEC: Codec = Codec::MessagePack;
///     type Event = AccountEvent;
///     type Command = AccountCommand;
///     type Ref = AccountRef;
///     type State = ();
///     type Services = ();
///     fn apply(&mut self, event: AccountEvent) { .. }
/// }
///
/// impl EventsOf<Account> for AccountEvent { .. }
/// ```
pub(super) fn expand(model: &Model<'_>) -> TokenStream {
    with_apply(model, &apply(model))
}

/// The impls with this body for `apply`.
pub(super) fn with_apply(model: &Model<'_>, apply: &TokenStream) -> TokenStream {
    let (options, ty) = (model.options, &model.ty);
    let (krate, codec, services) = (&options.crate_path, &options.codec, &options.services);
    let name = model.stored_name();
    let (event_type, command_type, ref_type) = (model.event_type(), model.command_type(), model.ref_type());
    let state = match &model.graph {
        Some(_) => model.state_enum().into_token_stream(),
        None => quote!(()),
    };
    let quiet = quiet_calls();
    let constants_and_types = quote! {
        const NAME: &'static #krate::__rt::str = #name;
        const CODEC: #krate::Codec = #krate::Codec::#codec;
        type Event = #event_type;
        type Command = #command_type;
        type Ref = #ref_type;
        type State = #state;
        type Services = #services;

        fn apply(&mut self, event: #event_type) {
            #apply
        }
    };
    let push_to = quote! {
        fn push_to(self, events: &mut #krate::EventList<#event_type>) {
            events.push(self);
        }
    };
    // What the type lacks is reported at these impls, and so at the type's name.
    let span = model.ident.span();
    let aggregate = at(quote!(#krate::Aggregate), span);
    let events_of = at(quote!(#krate::EventsOf<#ty>), span);
    quote_spanned! {span=>
        #[automatically_derived]
        #quiet
        impl #aggregate for #ty {
            #constants_and_types
        }

        #[automatically_derived]
        impl #events_of for #event_type {
            #push_to
        }
    }
}

/// ```text
/// match event {
///     AccountEvent::Deposited { amount } => Account::deposited(self, amount),
/// }
/// ```
///
/// For an enum of the user's: `Account::apply(self, event)`, which finds the method of the block before the trait's.
fn apply(model: &Model<'_>) -> TokenStream {
    let (ty, event_type) = (&model.ty, model.event_type());
    if model.options.event.is_some() {
        return quote!(#ty::apply(self, event));
    }
    let arms = model.events.iter().map(|event| {
        let (variant, method, cfgs) = (&event.variant, event.member.ident(), event.member.cfgs());
        let fields = super::field_names(&event.member);
        let arguments = event.member.fields.iter().map(|field| field.ident);
        quote!(#(#cfgs)* #event_type::#variant #fields => #ty::#method(self, #(#arguments),*),)
    });
    quote!(match event { #(#arms)* })
}
