//! Rules for an enum that derives `Event`.

use quote::ToTokens;
use syn::{Attribute, Data, DeriveInput};

use super::serde;
use crate::ctxt::Ctxt;
use crate::event::events_of;
use crate::symbol::{SERDE_ENUM_KEYS, SERDE_VARIANT_KEYS};

/// All rules for the enum but those for the names and versions of its variants.
pub(crate) fn event_enum(ctxt: &Ctxt, input: &DeriveInput) {
    check_no_parameters(ctxt, input);
    check_serde_keeps_the_name(ctxt, &input.attrs, SERDE_ENUM_KEYS);
    match &input.data {
        Data::Struct(data) => check_enum(ctxt, &data.struct_token),
        Data::Union(data) => check_enum(ctxt, &data.union_token),
        Data::Enum(data) => {
            for variant in &data.variants {
                check_serde_keeps_the_name(ctxt, &variant.attrs, SERDE_VARIANT_KEYS);
                for field in &variant.fields {
                    check_no_event_attribute(ctxt, &field.attrs);
                }
            }
        }
    }
}

/// Events are an enum: one variant for each.
fn check_enum(ctxt: &Ctxt, keyword: &dyn ToTokens) {
    ctxt.error(keyword, "events are an enum with one variant for each: write `enum`");
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
    for key in serde::keys(attrs) {
        if refused.iter().any(|word| key == word) {
            ctxt.error(
                &key,
                format!(
                    "annals keeps the variant's name itself, beside the payload, and serde's `{key}` would change how that \
                     is written: remove it"
                ),
            );
        }
    }
}
