//! The enum of a machine's states, with its graph for readers.

use std::fmt::Write;

use proc_macro2::TokenStream;
use quote::quote;
use syn::Path;
use syn::ext::IdentExt;

use crate::expand::quiet_item;
use crate::graph::{Cause, Graph, Target, Way};
use crate::model::Model;
use crate::symbol::STATE_ENUM_DERIVES;

/// ```text
/// /// Where a `Lock` can stand.
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
    let mut table = String::new();
    let mut diagram = String::new();
    for edge in edges(graph) {
        let to = edge.to.as_ref().map_or_else(|| "stay".to_owned(), |to| format!("`{to}`"));
        let by = if edge.is_command { format!("`{}`", edge.by) } else { edge.by.clone() };
        table.extend(["| `", &edge.from, "` | ", &by, " | ", &to, " |\n"]);
        let (to, stays) = edge.to.as_ref().map_or((&edge.from, " (stay)"), |to| (to, ""));
        diagram.extend(["    ", &edge.from, " --> ", to, ": ", &edge.by, stays, "\n"]);
    }
    let mut docs = format!("Where a `{}` can stand.\n\n", model.ident);
    let _infallible = write!(docs, "| from | by | to |\n|---|---|---|\n{table}\n```mermaid\nstateDiagram-v2\n");
    for state in graph.states.iter().filter(|state| state.is_initial()) {
        docs.extend(["    [*] --> ", &state.name(), "\n"]);
    }
    docs.push_str(&diagram);
    for state in graph.states.iter().filter(|state| state.is_terminal()) {
        docs.extend(["    ", &state.name(), " --> [*]\n"]);
    }
    docs.push_str("```");
    docs
}

/// One arrow of the diagram.
struct Arrow {
    from: String,
    by: String,
    is_command: bool,
    to: Option<String>,
}

fn edges(graph: &Graph<'_>) -> Vec<Arrow> {
    let name = |state: usize| graph.states[state].name();
    let arrows = |way: &Way<'_>| {
        let (by, is_command) = match &way.cause {
            Cause::Command(command) => (command.unraw().to_string(), true),
            Cause::Deadline(duration) => {
                let duration = duration.as_ref().map(|duration| duration.text()).unwrap_or_default();
                (format!("after {duration}"), false)
            }
        };
        let arrow = |from: usize, to: Option<String>| Arrow { from: name(from), by: by.clone(), is_command, to };
        let mut arrows = Vec::new();
        for place in &way.from {
            arrows.extend(way.to.iter().map(|target| match target {
                Target::State(to) => arrow(place.state, Some(name(to.state))),
                Target::Stay(_) => arrow(place.state, None),
            }));
        }
        arrows.extend(way.ignored.iter().map(|place| arrow(place.state, None)));
        arrows
    };
    graph.ways.iter().flat_map(arrows).collect()
}
