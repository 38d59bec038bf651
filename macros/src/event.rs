//! `#[derive(Event)]`, from the tokens to the tokens.

use proc_macro2::TokenStream;
use quote::quote;
use syn::ext::IdentExt;
use syn::parse::ParseStream;
use syn::spanned::Spanned;
use syn::{Attribute, Data, DataEnum, DeriveInput, Ident};

use crate::attr::{self, Keys, keys_of};
use crate::case;
use crate::crate_path::{self, CratePath};
use crate::ctxt::Ctxt;
use crate::stored::{self, Stored};
use crate::symbol::{CRATE, EVENT, EVENT_ENUM_KEYS, SERDE_ENUM_KEYS, SERDE_VARIANT_KEYS};

pub(crate) fn event(item: TokenStream) -> TokenStream {
    let input: DeriveInput = match syn::parse2(item) {
        Ok(input) => input,
        Err(error) => return error.into_compile_error(),
    };
    let ctxt = Ctxt::new();
    let events = EventEnum::read(&ctxt, &input);
    let stored: Vec<&Stored> = events.variants.iter().collect();
    stored::check(&ctxt, &stored);
    match ctxt.finish() {
        Ok(()) => expand(&events),
        Err(mistakes) => {
            let mistakes = mistakes.into_compile_error();
            // Parameters are a mistake that would be repeated by each impl.
            let stub = input.generics.params.is_empty().then(|| stub(&events));
            quote!(#mistakes #stub)
        }
    }
}

/// An enum of events.
struct EventEnum<'a> {
    ident: &'a Ident,
    crate_path: CratePath,
    variants: Vec<Stored>,
}

impl<'a> EventEnum<'a> {
    fn read(ctxt: &Ctxt, input: &'a DeriveInput) -> Self {
        let mut crate_path = CratePath::default();
        let mut keys = Keys::new(ctxt, EVENT_ENUM_KEYS);
        for attr in events_of(&input.attrs) {
            if let Some(tokens) = ctxt.ok(keys_of(attr)) {
                keys.read(tokens, |key, value| {
                    debug_assert_eq!(key, CRATE, "`Keys` knows this key only");
                    crate_path = crate_path::parse(value)?;
                    Ok(())
                });
            }
        }
        check_no_parameters(ctxt, input);
        check_serde_keeps_the_name(ctxt, &input.attrs, SERDE_ENUM_KEYS);
        let variants = match &input.data {
            Data::Enum(data) => variants(ctxt, data),
            Data::Struct(data) => no_enum(ctxt, &data.struct_token),
            Data::Union(data) => no_enum(ctxt, &data.union_token),
        };
        Self { ident: &input.ident, crate_path, variants }
    }
}

fn variants(ctxt: &Ctxt, data: &DataEnum) -> Vec<Stored> {
    let variants = data.variants.iter().map(|variant| {
        check_serde_keeps_the_name(ctxt, &variant.attrs, SERDE_VARIANT_KEYS);
        for field in &variant.fields {
            check_no_event_attribute(ctxt, &field.attrs);
        }
        let name = case::snake(&variant.ident.unraw().to_string());
        let attrs: Vec<&Attribute> = events_of(&variant.attrs).collect();
        Stored::read(ctxt, &variant.ident, name, &attrs, false)
    });
    variants.collect()
}

fn events_of(attrs: &[Attribute]) -> impl Iterator<Item = &Attribute> {
    attrs.iter().filter(|attr| attr.path().is_ident(EVENT))
}

/// Events are an enum: one variant for each.
fn no_enum(ctxt: &Ctxt, keyword: &dyn quote::ToTokens) -> Vec<Stored> {
    ctxt.error(keyword, "events are an enum with one variant for each: write `enum`");
    Vec::new()
}

/// Stored types own their data and are the same for all time, so the enum has no parameters.
fn check_no_parameters(ctxt: &Ctxt, input: &DeriveInput) {
    if !input.generics.params.is_empty() {
        ctxt.error(&input.generics, "an event enum has no parameters: name the types in the fields");
    }
}

/// `#[event(..)]` says how a variant is stored, not a field.
fn check_no_event_attribute(ctxt: &Ctxt, attrs: &[Attribute]) {
    for attr in events_of(attrs) {
        ctxt.error(attr, "`#[event]` belongs on a variant, or on the enum");
    }
}

/// annals stores the variant's name beside the payload, so serde's own way to write a variant must be its usual one.
fn check_serde_keeps_the_name(ctxt: &Ctxt, attrs: &[Attribute], refused: &[&str]) {
    for attr in attrs.iter().filter(|attr| attr.path().is_ident("serde")) {
        // What can't be read is serde's to report.
        let _serde_reports_it = attr.parse_args_with(|input: ParseStream<'_>| {
            while !input.is_empty() {
                check_serde_key(ctxt, input, refused)?;
            }
            Ok(())
        });
    }
}

fn check_serde_key(ctxt: &Ctxt, input: ParseStream<'_>, refused: &[&str]) -> syn::Result<()> {
    let key = input.call(Ident::parse_any)?;
    if refused.iter().any(|word| key == word) {
        ctxt.push(syn::Error::new(
            key.span(),
            format!(
                "annals keeps the variant's name itself, beside the payload, and serde's `{key}` would change how that is \
                 written: remove it"
            ),
        ));
    }
    attr::skip_to_comma(input)
}

/// ```text
/// impl Event for AccountEvent {
///     const VARIANTS: &'static [EventVariant] = &[EventVariant { name: "deposited", was: &["paid_in"], version: 2 }];
///     fn upcast(variant: usize, version: u32, payload: Payload<'_>) -> Result<Self, DecodeError> { .. }
/// }
/// ```
fn expand(events: &EventEnum<'_>) -> TokenStream {
    let krate = &events.crate_path;
    let variants = events.variants.iter().map(|stored| {
        let (name, was, version) = (stored.name(), stored.was(), stored.version());
        quote!(#krate::EventVariant { name: #name, was: &[#(#was),*], version: #version })
    });
    let upcast = upcast(events);
    implementation(events, &quote!(&[#(#variants),*]), &upcast)
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
            (0..chain.len()).map(move |start| arm(krate, index, &chain[start..])).collect::<Vec<_>>()
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
fn arm(krate: &CratePath, index: usize, chain: &[&stored::Upcast]) -> TokenStream {
    let Some(oldest) = chain.first() else { return TokenStream::new() };
    let (version, oldest) = (oldest.from, &oldest.ty);
    let newer = chain[1..].iter().map(|upcast| {
        let ty = &upcast.ty;
        quote!(#ty)
    });
    let mut from = oldest;
    let mut event = quote!(payload.decode::<#oldest>()?);
    for (step, to) in newer.chain([quote!(Self)]).enumerate() {
        // The shape that must be convertible is the one to blame.
        let span = from.span();
        event = quote::quote_spanned!(span=> #krate::__rt::upcast::<#from, #to>(#event));
        if let Some(next) = chain.get(step + 1) {
            from = &next.ty;
        }
    }
    quote!((#index, #version) => #krate::__rt::Ok(#event),)
}

/// The impl of an enum with mistakes.
fn stub(events: &EventEnum<'_>) -> TokenStream {
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
