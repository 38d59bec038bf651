//! `#[derive(Event)]`, from the tokens to the tokens.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::ext::IdentExt;
use syn::{Attribute, Data, DeriveInput, Field, Fields, Ident, Type};

use crate::attr::{Keys, keys_of};
use crate::crate_path::{self, CratePath};
use crate::ctxt::Ctxt;
use crate::stored::{self, Stored};
use crate::symbol::{CRATE, EVENT, EVENT_ENUM_KEYS, SERDE, SERDE_KNOWS};
use crate::{case, check, expand};

pub(crate) fn event(item: TokenStream) -> TokenStream {
    let input: DeriveInput = match syn::parse2(item) {
        Ok(input) => input,
        Err(error) => return error.into_compile_error(),
    };
    let ctxt = Ctxt::new();
    let events = EventEnum::read(&ctxt, &input);
    check::event_enum(&ctxt, &input);
    stored::check(&ctxt, &events.variants.iter().map(|variant| &variant.stored).collect::<Vec<_>>());
    match ctxt.finish() {
        Ok(()) => expand::event_enum(&events),
        Err(mistakes) => {
            let mistakes = mistakes.into_compile_error();
            // Parameters are a mistake that would be repeated by each impl.
            let stub = input.generics.params.is_empty().then(|| expand::event_enum_stub(&events));
            quote!(#mistakes #stub)
        }
    }
}

/// An enum of events.
pub(crate) struct EventEnum<'a> {
    pub(crate) ident: &'a Ident,
    pub(crate) crate_path: CratePath,
    pub(crate) variants: Vec<Variant<'a>>,
    /// The types of fields that serde must know, each once; those that it knows in any case are left out.
    pub(crate) field_types: Vec<&'a Type>,
}

/// A variant: how it is stored, and its fields.
pub(crate) struct Variant<'a> {
    pub(crate) stored: Stored,
    pub(crate) fields: &'a Fields,
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
        let variants = match &input.data {
            Data::Enum(data) => data.variants.iter().map(|variant| Variant::read(ctxt, variant)).collect(),
            Data::Struct(_) | Data::Union(_) => Vec::new(),
        };
        let fields = match &input.data {
            Data::Enum(data) => data.variants.iter().flat_map(|variant| &variant.fields).collect(),
            Data::Struct(_) | Data::Union(_) => Vec::new(),
        };
        Self { ident: &input.ident, crate_path, variants, field_types: field_types(&fields) }
    }
}

/// Serde must know a field's type, unless an attribute says how else the field is written and read.
fn field_types<'a>(fields: &[&'a Field]) -> Vec<&'a Type> {
    let mut types: Vec<(String, &Type)> = Vec::new();
    let plain = fields.iter().filter(|field| field.attrs.iter().all(|attr| !attr.path().is_ident(SERDE)));
    for Field { ty, .. } in plain {
        let name = ty.to_token_stream().to_string();
        if !SERDE_KNOWS.contains(&name.as_str()) && types.iter().all(|(seen, _)| *seen != name) {
            types.push((name, ty));
        }
    }
    types.into_iter().map(|(_, ty)| ty).collect()
}

impl<'a> Variant<'a> {
    fn read(ctxt: &Ctxt, variant: &'a syn::Variant) -> Self {
        let name = case::snake(&variant.ident.unraw().to_string());
        let attrs: Vec<&Attribute> = events_of(&variant.attrs).collect();
        let stored = Stored::read(ctxt, &variant.ident, name, &attrs, false);
        Self { stored, fields: &variant.fields }
    }
}

/// All `#[event(..)]` among these.
pub(crate) fn events_of(attrs: &[Attribute]) -> impl Iterator<Item = &Attribute> {
    attrs.iter().filter(|attr| attr.path().is_ident(EVENT))
}
