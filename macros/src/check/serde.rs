//! What serde is told in its own attributes.

use syn::ext::IdentExt;
use syn::parse::ParseStream;
use syn::{Attribute, Ident};

use crate::attr::skip_to_comma;
use crate::symbol::SERDE;

/// The keys of all `#[serde(..)]` among these, without their values.
pub(super) fn keys(attrs: &[Attribute]) -> Vec<Ident> {
    let mut keys = Vec::new();
    for attr in attrs.iter().filter(|attr| attr.path().is_ident(SERDE)) {
        // What can't be read is serde's to report.
        let _serde_reports_it = attr.parse_args_with(|input: ParseStream<'_>| {
            while !input.is_empty() {
                keys.push(input.call(Ident::parse_any)?);
                skip_to_comma(input)?;
            }
            Ok(())
        });
    }
    keys
}
