//! The markers by themselves. `#[aggregate]` and `#[fsm]` take them away, so one that is expanded is in the wrong place.

use proc_macro2::{Span, TokenStream, TokenTree};
use quote::quote;
use syn::Error;

use crate::symbol::{COMMAND, EVENT, FSM_MARKERS};

/// The item as it is, and the mistake.
pub(crate) fn misplaced(word: &str, item: &TokenStream) -> TokenStream {
    let on_enums = if word == EVENT { ", or below `#[derive(Event)]`" } else { "" };
    let blocks = match word {
        COMMAND => "`#[aggregate]`",
        _ if FSM_MARKERS.contains(&word) => "`#[fsm]`",
        _ => "`#[aggregate]` or `#[fsm]`",
    };
    let message = format!("`#[{word}]` belongs on a method of an {blocks} impl{on_enums}");
    let mistake = Error::new(name_of(item), message).into_compile_error();
    quote!(#mistake #item)
}

/// The span of the item's name. That of the marker itself would be shown as a mistake in this macro.
fn name_of(item: &TokenStream) -> Span {
    let mut words = item.clone().into_iter().filter_map(|token| match token {
        TokenTree::Ident(word) => Some(word),
        _ => None,
    });
    let keyword = words.find(|word| ["fn", "enum", "struct", "impl", "const", "type"].iter().any(|item| word == item));
    match (keyword, words.next()) {
        (Some(_), Some(name)) => name.span(),
        _ => item.clone().into_iter().next().map_or_else(Span::call_site, |token| token.span()),
    }
}
