//! The enum of a machine's states, with its graph for readers.

use proc_macro2::TokenStream;
use quote::quote;
use syn::Path;

use crate::diagram;
use crate::expand::quiet_item;
use crate::graph::Graph;
use crate::model::Model;
use crate::symbol::STATE_ENUM_DERIVES;

/// ```text
/// /// The states of `Lock`, and the ways between them.
/// ///
/// /// | from | by | to |
/// /// ..
/// #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
/// pub enum LockState {
///     Unlocked,
///     Locked,
/// }
/// ```
pub(super) fn expand(model: &Model<'_>, graph: &Graph<'_>) -> TokenStream {
    let lines = docs(model, graph);
    let lines = lines.lines().map(|line| format!(" {line}"));
    with_variants(
        model,
        &quote!(#(#[doc = #lines])*),
        graph.states.iter().map(|state| {
            let (docs, ident) = (&state.docs, &state.ident);
            quote!(#(#docs)* #ident)
        }),
    )
}

/// The enum with these docs and variants.
pub(super) fn with_variants(
    model: &Model<'_>,
    docs: &TokenStream,
    variants: impl Iterator<Item = TokenStream>,
) -> TokenStream {
    let (vis, state_enum, derives) = (&model.options.vis, model.state_enum(), derives(&model.options.derives));
    let quiet = quiet_item();
    quote! {
        #docs
        #[derive(
            ::core::fmt::Debug,
            ::core::clone::Clone,
            ::core::marker::Copy,
            ::core::cmp::PartialEq,
            ::core::cmp::Eq,
            ::core::hash::Hash,
            ::core::cmp::PartialOrd,
            ::core::cmp::Ord,
            #(#derives),*
        )]
        #quiet
        #vis enum #state_enum {
            #(#variants),*
        }
    }
}

/// What `derive(..)` adds to the derives of a state.
fn derives(derives: &[Path]) -> impl Iterator<Item = &Path> {
    derives.iter().filter(|path| {
        path.segments.last().is_none_or(|last| STATE_ENUM_DERIVES.iter().all(|derived| last.ident != derived))
    })
}

/// A sentence, a table of the transitions, and a diagram.
fn docs(model: &Model<'_>, graph: &Graph<'_>) -> String {
    let (table, diagram) = (diagram::table(graph), diagram::mermaid(graph));
    format!("The states of `{}`, and the ways between them.\n\n{table}\n```mermaid\n{diagram}```", model.ident)
}
