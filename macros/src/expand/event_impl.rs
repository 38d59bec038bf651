//! The impl of `Event`.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;

use crate::event::{EventEnum, Variant};
use crate::expand::{described_fields, upcast};
use crate::fields::described;

/// ```text
/// impl Event for AccountEvent {
///     const VARIANTS: &'static [EventVariant] = &[EventVariant { name: "deposited", was: &["paid_in"], .. }];
///     fn upcast(variant: usize, version: u32, payload: Payload<'_>) -> Result<Self, DecodeError> { .. }
/// }
/// ```
pub(crate) fn event_enum(events: &EventEnum<'_>) -> TokenStream {
    let krate = &events.crate_path;
    let variants = events.variants.iter().map(|Variant { stored, fields }| {
        let (name, was, version) = (stored.name(), stored.was(), stored.versions.current());
        let ignored_since = match stored.ignored_since() {
            Some(version) => quote!(#krate::__rt::Some(#version)),
            None => quote!(#krate::__rt::None),
        };
        let fields = described_fields(krate, &described(fields));
        quote! {
            #krate::EventVariant {
                name: #name,
                was: &[#(#was),*],
                version: #version,
                ignored_since: #ignored_since,
                fields: #fields,
            }
        }
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
///     (0usize, 1u32) => Ok(upcast::<DepositedV1, Self>(payload.decode()?)),
///     _ => Err(no_upcast::<Self>(variant, version)),
/// }
/// ```
fn upcast(events: &EventEnum<'_>) -> TokenStream {
    let krate = &events.crate_path;
    let of_variant = |(index, variant): (usize, &Variant<'_>)| {
        upcast::arms(krate, &variant.stored.versions, |version| quote!((#index, #version)))
    };
    let arms: Vec<TokenStream> = events.variants.iter().enumerate().flat_map(of_variant).collect();
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
