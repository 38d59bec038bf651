//! The impl of `Event`.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote, quote_spanned};
use syn::spanned::Spanned;

use crate::crate_path::CratePath;
use crate::event::EventEnum;
use crate::stored::Upcast;

/// ```text
/// impl Event for AccountEvent {
///     const VARIANTS: &'static [EventVariant] = &[EventVariant { name: "deposited", was: &["paid_in"], version: 2 }];
///     fn upcast(variant: usize, version: u32, payload: Payload<'_>) -> Result<Self, DecodeError> { .. }
/// }
/// ```
pub(crate) fn event_enum(events: &EventEnum<'_>) -> TokenStream {
    let krate = &events.crate_path;
    let variants = events.variants.iter().map(|stored| {
        let (name, was, version) = (stored.name(), stored.was(), stored.version());
        quote!(#krate::EventVariant { name: #name, was: &[#(#was),*], version: #version, ignored_since: #krate::__rt::None, fields: &[] })
    });
    let upcast = upcast(events);
    let implementation = implementation(events, &quote!(&[#(#variants),*]), &upcast);
    let stored = stored_fields(events);
    quote!(#implementation #stored)
}

/// Says of a type that serde doesn't know why it must.
///
/// ```text
/// const _: () = {
///     stored_in::<AccountEvent, Coins>();
/// };
/// ```
fn stored_fields(events: &EventEnum<'_>) -> Option<TokenStream> {
    let EventEnum { ident, crate_path: krate, field_types, .. } = events;
    let fields = field_types.iter().map(|ty| quote_spanned!(ty.span()=> #krate::__rt::stored_in::<#ident, #ty>();));
    (!field_types.is_empty()).then(|| quote!(const _: () = { #(#fields)* };))
}

/// ```text
/// match (variant, version) {
///     (0usize, 1u32) => Ok(upcast::<DepositedV2, Self>(upcast::<DepositedV1, DepositedV2>(payload.decode()?))),
///     (0usize, 2u32) => Ok(upcast::<DepositedV2, Self>(payload.decode()?)),
///     _ => Err(no_upcast::<Self>(variant, version)),
/// }
/// ```
fn upcast(events: &EventEnum<'_>) -> TokenStream {
    let krate = &events.crate_path;
    let arms: Vec<TokenStream> = events
        .variants
        .iter()
        .enumerate()
        .flat_map(|(index, stored)| {
            let chain = stored.upcasts();
            (0..chain.len()).filter_map(move |start| arm(krate, index, &chain[start..])).collect::<Vec<_>>()
        })
        .collect();
    if arms.is_empty() {
        return quote!(#krate::__rt::Err(#krate::__rt::no_upcast::<Self>(variant, version)));
    }
    quote! {
        match (variant, version) {
            #(#arms)*
            _ => #krate::__rt::Err(#krate::__rt::no_upcast::<Self>(variant, version)),
        }
    }
}

/// From the oldest shape of `chain`, through the newer ones, to the enum.
fn arm(krate: &CratePath, index: usize, chain: &[&Upcast]) -> Option<TokenStream> {
    let Upcast { from: version, ty: oldest, .. } = chain.first()?;
    let newer = chain[1..].iter().map(|upcast| upcast.ty.to_token_stream());
    let mut event = quote!(payload.decode::<#oldest>()?);
    for (Upcast { ty, .. }, next) in chain.iter().zip(newer.chain([quote!(Self)])) {
        // The shape that must be convertible is the one to blame.
        event = quote_spanned!(ty.span()=> #krate::__rt::upcast::<#ty, #next>(#event));
    }
    Some(quote!((#index, #version) => #krate::__rt::Ok(#event),))
}

/// The impl of an enum with mistakes.
pub(crate) fn event_enum_stub(events: &EventEnum<'_>) -> TokenStream {
    implementation(events, &quote!(&[]), &quote!(loop {}))
}

fn implementation(events: &EventEnum<'_>, variants: &TokenStream, upcast: &TokenStream) -> TokenStream {
    let EventEnum { ident, crate_path: krate, .. } = events;
    quote! {
        #[automatically_derived]
        impl #krate::Event for #ident {
            const VARIANTS: &'static [#krate::EventVariant] = #variants;

            #[allow(unused_variables)]
            fn upcast(
                variant: #krate::__rt::usize,
                version: #krate::__rt::u32,
                payload: #krate::Payload<'_>,
            ) -> #krate::__rt::Result<Self, #krate::DecodeError> {
                #upcast
            }
        }
    }
}
