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

/// Implements `annals::Event` for an enum.
#[proc_macro_derive(Event, attributes(event))]
pub fn event(item: TokenStream) -> TokenStream {
    event::event(item.into()).into()
}
