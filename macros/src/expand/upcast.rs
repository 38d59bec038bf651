//! How what was stored in an older version is read.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote, quote_spanned};
use syn::spanned::Spanned;

use crate::crate_path::CratePath;
use crate::versions::{Upcast, Versions};

/// An arm for each older version. `pattern` makes the pattern of one.
///
/// ```text
/// 1u32 => Ok(upcast::<DepositedV2, Self>(upcast::<DepositedV1, DepositedV2>(payload.decode()?))),
/// 2u32 => Ok(upcast::<DepositedV2, Self>(payload.decode()?)),
/// ```
pub(super) fn arms(krate: &CratePath, versions: &Versions, pattern: impl Fn(u32) -> TokenStream) -> Vec<TokenStream> {
    let chain = versions.upcasts();
    let arm = |start: usize| {
        let (pattern, upcasted) = (pattern(chain[start].from), upcasted(krate, &chain[start..])?);
        Some(quote!(#pattern => #krate::__rt::Ok(#upcasted),))
    };
    (0..chain.len()).filter_map(arm).collect()
}

/// From the oldest shape of `chain`, through the newer ones, to today's.
fn upcasted(krate: &CratePath, chain: &[&Upcast]) -> Option<TokenStream> {
    let oldest = &chain.first()?.ty;
    let newer = chain[1..].iter().map(|upcast| upcast.ty.to_token_stream());
    let mut upcasted = quote!(payload.decode::<#oldest>()?);
    for (Upcast { ty, .. }, next) in chain.iter().zip(newer.chain([quote!(Self)])) {
        // The shape that must be convertible is the one to blame.
        upcasted = quote_spanned!(ty.span()=> #krate::__rt::upcast::<#ty, #next>(#upcasted));
    }
    Some(upcasted)
}
