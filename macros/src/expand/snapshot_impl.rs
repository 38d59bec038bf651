//! The impl of `Snapshot`.

use proc_macro2::TokenStream;
use quote::quote;

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
/// }
/// ```
pub(crate) fn snapshot_data(data: &SnapshotData<'_>) -> TokenStream {
    let krate = &data.crate_path;
    let refused = quote!(#krate::__rt::Err(#krate::__rt::no_snapshot_upcast::<Self>(version)));
    let arms = upcast::arms(krate, &data.versions, |version| quote!(#version));
    let body = if arms.is_empty() { refused } else { quote!(match version { #(#arms)* _ => #refused, }) };
    implementation(data, &described_fields(krate, &data.fields), &body)
}

/// The impl for a type with mistakes.
pub(crate) fn snapshot_data_stub(data: &SnapshotData<'_>) -> TokenStream {
    implementation(data, &quote!(&[]), &quote!(loop {}))
}

fn implementation(data: &SnapshotData<'_>, fields: &TokenStream, upcast: &TokenStream) -> TokenStream {
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
        }
    }
}
