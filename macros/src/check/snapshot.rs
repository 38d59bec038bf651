//! Rules for a type that derives `Snapshot`.

use syn::visit::{self, Visit};
use syn::{Attribute, Data, DeriveInput, Field, Ident, Type};

use super::serde;
use crate::ctxt::Ctxt;
use crate::snapshot::{is_skip, may_be_lost, snapshots_of};
use crate::spell::spell;
use crate::symbol::{DEFAULT, OPTION, SERDE_LOSING_KEYS, SERDE_WAYS, SKIP_SERIALIZING_IF};
use crate::types::{arguments_of, is_unit};

/// All rules for the type but those for its versions.
pub(crate) fn snapshot_data(ctxt: &Ctxt, input: &DeriveInput) {
    check_no_parameters(ctxt, input);
    let has_default = serde::keys(&input.attrs).iter().any(|key| key == DEFAULT);
    let check_field = |field: &Field| {
        check_snapshot_says_skip(ctxt, field);
        check_nothing_is_lost(ctxt, field);
        check_it_can_be_left_out(ctxt, field, has_default);
    };
    match &input.data {
        Data::Union(data) => {
            ctxt.error(data.union_token, "the data of an aggregate is a `struct` or an `enum`: serde writes no unions");
        }
        Data::Struct(data) => data.fields.iter().for_each(check_field),
        Data::Enum(data) => {
            for variant in &data.variants {
                check_no_snapshot_attribute(ctxt, &variant.attrs);
                variant.fields.iter().for_each(check_field);
            }
        }
    }
}

/// A snapshot owns its data and has one list of fields, so its type has no parameters.
fn check_no_parameters(ctxt: &Ctxt, input: &DeriveInput) {
    if !input.generics.params.is_empty() {
        ctxt.error(
            &input.generics,
            "an aggregate has no parameters, so the data of its snapshots has none: name the types in the fields",
        );
    }
}

/// `#[snapshot(..)]` says which version all of the data has.
fn check_no_snapshot_attribute(ctxt: &Ctxt, attrs: &[Attribute]) {
    for attr in snapshots_of(attrs) {
        ctxt.error(attr, "`#[snapshot]` belongs on the type");
    }
}

/// A field may only say of itself that it may be lost.
fn check_snapshot_says_skip(ctxt: &Ctxt, field: &Field) {
    for attr in snapshots_of(&field.attrs).filter(|attr| !is_skip(attr)) {
        ctxt.error(attr, "`#[snapshot]` belongs on the type; a field that may be lost has `#[snapshot(skip)]`");
    }
}

/// What a snapshot stands for is all that there is once events are deleted, so the data is all in it.
fn check_nothing_is_lost(ctxt: &Ctxt, field: &Field) {
    let keys = serde::keys(&field.attrs);
    let losing = keys.iter().find(|key| SERDE_LOSING_KEYS.iter().any(|word| *key == word));
    match losing {
        Some(key) if !may_be_lost(field) => ctxt.error(
            key,
            format!(
                "`{key}` loses this field in snapshots, and an entity that is loaded from one has its default instead: \
                 remove it, or say that it may be lost with `#[snapshot(skip)]`"
            ),
        ),
        Some(_) => {}
        None => {
            for attr in snapshots_of(&field.attrs).filter(|attr| is_skip(attr)) {
                ctxt.error(attr, "serde doesn't leave this field out: add `#[serde(skip)]`, or remove this");
            }
            check_options(ctxt, field, &keys);
        }
    }
}

/// serde has one word for nothing, so a `Some` of it isn't told from `None`.
fn check_options(ctxt: &Ctxt, field: &Field, keys: &[Ident]) {
    if !keys.iter().any(|key| SERDE_WAYS.iter().any(|word| key == word)) {
        ReportOptions(ctxt).visit_type(&field.ty);
    }
}

struct ReportOptions<'a>(&'a Ctxt);

impl<'a> Visit<'a> for ReportOptions<'_> {
    fn visit_type(&mut self, ty: &'a Type) {
        if let Some([inner]) = arguments_of(ty, OPTION).as_deref()
            && let Some(lost) = read_as_none(inner)
        {
            self.0.error(
                ty,
                format!(
                    "serde reads `{lost}` of `{}` as `None`, so it would be lost: use an enum of your own",
                    spell(ty)
                ),
            );
            return;
        }
        visit::visit_type(self, ty);
    }
}

/// What of an option of this type is read as `None`, if anything is.
fn read_as_none(inner: &Type) -> Option<&'static str> {
    match arguments_of(inner, OPTION).as_deref() {
        Some([_]) => Some("Some(None)"),
        _ => is_unit(inner).then_some("Some(())"),
    }
}

/// What is left out at times can be read without.
fn check_it_can_be_left_out(ctxt: &Ctxt, field: &Field, has_default: bool) {
    let keys = serde::keys(&field.attrs);
    let left_out = keys.iter().find(|key| *key == SKIP_SERIALIZING_IF);
    let has_default = has_default || keys.iter().any(|key| key == DEFAULT);
    if let Some(key) = left_out
        && !has_default
        && arguments_of(&field.ty, OPTION).is_none()
    {
        ctxt.error(key, "a snapshot that leaves this field out can't be read: add `#[serde(default)]`");
    }
}
