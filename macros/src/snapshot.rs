//! `#[derive(Snapshot)]`, from the tokens to the tokens.

use proc_macro2::TokenStream;
use quote::quote;
use syn::ext::IdentExt;
use syn::{Attribute, Data, DeriveInput, Field, Ident};

use crate::attr::{Keys, keys_of};
use crate::crate_path::{self, CratePath};
use crate::ctxt::Ctxt;
use crate::fields::{Described, described};
use crate::symbol::{CRATE, SKIP, SNAPSHOT, SNAPSHOT_DERIVE_KEYS, UPCAST, VERSION};
use crate::versions::{self, Versions};
use crate::{check, expand};

pub(crate) fn snapshot(item: TokenStream) -> TokenStream {
    let input: DeriveInput = match syn::parse2(item) {
        Ok(input) => input,
        Err(error) => return error.into_compile_error(),
    };
    let ctxt = Ctxt::new();
    let (data, clean) = SnapshotData::read(&ctxt, &input);
    check::snapshot_data(&ctxt, &input);
    if clean {
        versions::check(&ctxt, &data.versions);
    }
    match ctxt.finish() {
        Ok(()) => expand::snapshot_data(&data),
        Err(mistakes) => {
            let mistakes = mistakes.into_compile_error();
            // These are mistakes that would be repeated by the impl.
            let can_be = input.generics.params.is_empty() && !matches!(input.data, Data::Union(_));
            let stub = can_be.then(|| expand::snapshot_data_stub(&data));
            quote!(#mistakes #stub)
        }
    }
}

/// Data of which snapshots are taken.
pub(crate) struct SnapshotData<'a> {
    pub(crate) ident: &'a Ident,
    pub(crate) crate_path: CratePath,
    pub(crate) versions: Versions,
    pub(crate) fields: Vec<Described>,
    /// Whether a field may be lost, so that data needn't be equal to what was written of it.
    pub(crate) may_lose: bool,
}

impl<'a> SnapshotData<'a> {
    /// Reads it; tells whether all keys could be read. Otherwise an upcast may be missing without being forgotten.
    fn read(ctxt: &Ctxt, input: &'a DeriveInput) -> (Self, bool) {
        let fields = fields(&input.data);
        let mut data = Self {
            ident: &input.ident,
            crate_path: CratePath::default(),
            versions: Versions::default(),
            fields,
            may_lose: fields_of(&input.data).any(may_be_lost),
        };
        let mut clean = true;
        let mut keys = Keys::new(ctxt, SNAPSHOT_DERIVE_KEYS);
        for attr in snapshots_of(&input.attrs) {
            let tokens = ctxt.ok(keys_of(attr));
            clean &= tokens.is_some_and(|tokens| {
                keys.read(tokens, |key, value| {
                    match key {
                        VERSION => data.versions.read_version(value)?,
                        UPCAST => data.versions.read_upcasts(value)?,
                        CRATE => data.crate_path = crate_path::parse(value)?,
                        _ => unreachable!("`Keys` knows these keys only"),
                    }
                    Ok(())
                })
            });
        }
        (data, clean)
    }
}

/// All fields, of whatever variant.
fn fields_of(data: &Data) -> Box<dyn Iterator<Item = &Field> + '_> {
    match data {
        Data::Struct(data) => Box::new(data.fields.iter()),
        Data::Enum(data) => Box::new(data.variants.iter().flat_map(|variant| &variant.fields)),
        Data::Union(_) => Box::new(std::iter::empty()),
    }
}

/// Those of an enum with the names of their variants before: `Open.since`. A variant without fields is one by itself.
fn fields(data: &Data) -> Vec<Described> {
    match data {
        Data::Struct(data) => described(&data.fields),
        Data::Enum(data) => data
            .variants
            .iter()
            .flat_map(|variant| {
                let name = variant.ident.unraw().to_string();
                let mut fields = described(&variant.fields);
                for field in &mut fields {
                    field.name = format!("{name}.{}", field.name);
                }
                if fields.is_empty() {
                    fields.push(Described { name, ty: String::new() });
                }
                fields
            })
            .collect(),
        Data::Union(_) => Vec::new(),
    }
}

/// All `#[snapshot(..)]` among these.
pub(crate) fn snapshots_of(attrs: &[Attribute]) -> impl Iterator<Item = &Attribute> {
    attrs.iter().filter(|attr| attr.path().is_ident(SNAPSHOT))
}

/// Whether this is `#[snapshot(skip)]`.
pub(crate) fn is_skip(attr: &Attribute) -> bool {
    attr.parse_args::<Ident>().is_ok_and(|word| word == SKIP)
}

/// Whether a field says that it may be lost.
pub(crate) fn may_be_lost(field: &Field) -> bool {
    snapshots_of(&field.attrs).any(is_skip)
}
