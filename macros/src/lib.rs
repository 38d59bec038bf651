//! The macros of annals, which re-exports them: `#[aggregate]` and `#[derive(Event)]`.

mod aggregate;
mod attr;
mod block;
mod case;
mod check;
mod crate_path;
mod ctxt;
mod event;
mod expand;
#[cfg(test)]
mod expansions;
mod marker;
mod model;
mod near;
mod options;
mod spell;
mod stored;
mod symbol;
mod words;

use proc_macro::TokenStream;

/// Makes an aggregate of an impl block.
#[proc_macro_attribute]
pub fn aggregate(keys: TokenStream, block: TokenStream) -> TokenStream {
    aggregate::aggregate(keys.into(), block.into()).into()
}

/// Marks an event in an [`aggregate`](macro@aggregate) block.
#[proc_macro_attribute]
pub fn event(_: TokenStream, item: TokenStream) -> TokenStream {
    marker::misplaced(symbol::EVENT, &item.into()).into()
}

/// Marks a command in an [`aggregate`](macro@aggregate) block.
#[proc_macro_attribute]
pub fn command(_: TokenStream, item: TokenStream) -> TokenStream {
    marker::misplaced(symbol::COMMAND, &item.into()).into()
}

/// Marks a query in an [`aggregate`](macro@aggregate) block.
#[proc_macro_attribute]
pub fn query(_: TokenStream, item: TokenStream) -> TokenStream {
    marker::misplaced(symbol::QUERY, &item.into()).into()
}

/// Implements `annals::Event` for an enum.
#[proc_macro_derive(Event, attributes(event))]
pub fn derive_event(item: TokenStream) -> TokenStream {
    event::event(item.into()).into()
}
