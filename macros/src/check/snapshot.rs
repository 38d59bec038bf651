//! Rules for a type that derives `Snapshot`.

use syn::{Attribute, Data, DeriveInput};

use crate::ctxt::Ctxt;
use crate::snapshot::snapshots_of;

/// All rules for the type but those for its versions.
pub(crate) fn snapshot_data(ctxt: &Ctxt, input: &DeriveInput) {
    check_no_parameters(ctxt, input);
    match &input.data {
        Data::Union(data) => {
            ctxt.error(data.union_token, "the data of an aggregate is a `struct` or an `enum`: serde writes no unions");
        }
        Data::Struct(data) => data.fields.iter().for_each(|field| check_no_snapshot_attribute(ctxt, &field.attrs)),
        Data::Enum(data) => {
            for variant in &data.variants {
                check_no_snapshot_attribute(ctxt, &variant.attrs);
                variant.fields.iter().for_each(|field| check_no_snapshot_attribute(ctxt, &field.attrs));
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
