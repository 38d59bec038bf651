//! What is worth a word and no error. A macro can't warn on stable Rust; a deprecated constant can.

use proc_macro2::TokenStream;
use quote::quote_spanned;

use crate::model::Model;
use crate::symbol::{COMMAND, EVENT};

/// Nothing can happen to an aggregate without events, or without commands that decide on them.
///
/// ```text
/// const _: () = {
///     #[deprecated(note = "nothing can ever happen to `Account`: it has no `#[event]`")]
///     const AGGREGATE_AT_REST: () = ();
///     AGGREGATE_AT_REST
/// };
/// ```
pub(super) fn expand(model: &Model<'_>) -> Option<TokenStream> {
    let missing = if model.commands.is_empty() {
        COMMAND
    } else if model.events.is_empty() && model.options.event.is_none() {
        EVENT
    } else {
        return None;
    };
    let note = format!("nothing can ever happen to `{}`: it has no `#[{missing}]`", model.ident);
    Some(quote_spanned! {model.ident.span()=>
        const _: () = {
            #[deprecated(note = #note)]
            const AGGREGATE_AT_REST: () = ();
            AGGREGATE_AT_REST
        };
    })
}
