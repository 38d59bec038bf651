//! The impl of `Snapshot`.

use proc_macro2::TokenStream;
use quote::quote;

use crate::crate_path::CratePath;
use crate::expand::{described_fields, upcast};
use crate::snapshot::SnapshotData;

/// ```text
/// impl Snapshot for Account {
///     const VERSION: u32 = 2;
///     const FIELDS: &'static [Field] = &[Field { name: "balance", ty: "u64" }];
///     fn upcast(version: u32, payload: Payload<'_>) -> Result<Self, DecodeError> {
///         match version {
///             1 => Ok(upcast::<AccountV1, Self>(payload.decode()?)),
///             _ => Err(no_snapshot_upcast::<Self>(version)),
///         }
///     }
///     fn same(one: &Self, other: &Self) -> Option<bool> {
///         use Incomparable as _;
///         Equality::<Self>::same(one, other)
///     }
/// }
/// ```
pub(crate) fn snapshot_data(data: &SnapshotData<'_>) -> TokenStream {
    let krate = &data.crate_path;
    let refused = quote!(#krate::__rt::Err(#krate::__rt::no_snapshot_upcast::<Self>(version)));
    let arms = upcast::arms(krate, &data.versions, |version| quote!(#version));
    let body = if arms.is_empty() { refused } else { quote!(match version { #(#arms)* _ => #refused, }) };
    let same = (!data.may_lose).then(|| same(krate));
    implementation(data, &described_fields(krate, &data.fields), &body, same.as_ref())
}

/// The impl for a type with mistakes.
pub(crate) fn snapshot_data_stub(data: &SnapshotData<'_>) -> TokenStream {
    implementation(data, &quote!(&[]), &quote!(loop {}), None)
}

/// Compares where the type can be compared: the inherent function is there only then, and comes before the trait's.
fn same(krate: &CratePath) -> TokenStream {
    quote! {
        #[allow(unused_imports)]
        fn same(one: &Self, other: &Self) -> #krate::__rt::Option<#krate::__rt::bool> {
            use #krate::__rt::Incomparable as _;
            #krate::__rt::Equality::<Self>::same(one, other)
        }
    }
}

fn implementation(
    data: &SnapshotData<'_>,
    fields: &TokenStream,
    upcast: &TokenStream,
    same: Option<&TokenStream>,
) -> TokenStream {
    let SnapshotData { ident, crate_path: krate, versions, .. } = data;
    let version = versions.current();
    quote! {
        #[automatically_derived]
        impl #krate::Snapshot for #ident {
            const VERSION: #krate::__rt::u32 = #version;
            const FIELDS: &'static [#krate::Field] = #fields;

            #[allow(unused_variables)]
            fn upcast(
                version: #krate::__rt::u32,
                payload: #krate::Payload<'_>,
            ) -> #krate::__rt::Result<Self, #krate::DecodeError> {
                #upcast
            }

            #same
        }
    }
}
