//! The types that stand for states and handlers, and what they may do.

use proc_macro2::TokenStream;
use quote::quote;

use crate::expand::quiet_item;
use crate::graph::{Graph, Way};
use crate::model::Model;

/// ```text
/// mod lock_fsm {
///     pub struct Unlocked;
///     pub struct Locked;
///     pub mod on {
///         pub enum Lock {}
///         pub enum TryUnlock {}
///     }
/// }
///
/// impl Handler for lock_fsm::on::TryUnlock { type Aggregate = Lock; }
/// impl TargetOf<lock_fsm::on::TryUnlock> for lock_fsm::Unlocked { const STATE: LockState = LockState::Unlocked; }
/// impl Stays for lock_fsm::on::TryUnlock {}
/// ```
pub(super) fn expand(model: &Model<'_>, graph: &Graph<'_>) -> TokenStream {
    let module = module(graph);
    let impls = graph.ways.iter().map(|way| {
        let targets: Vec<usize> = way.targets().map(|place| place.state).collect();
        let limits = targets.iter().any(|state| graph.deadlines_of(*state).next().is_some());
        impls(model, graph, way, &targets, way.stays(), limits)
    });
    quote! {
        #module
        #(#impls)*
    }
}

fn module(graph: &Graph<'_>) -> TokenStream {
    let module = &graph.module;
    let states = graph.states.iter().map(|state| &state.ident);
    let handlers = graph.ways.iter().map(|way| {
        let (cfgs, marker) = (way.cfgs(), &way.marker);
        quote!(#(#cfgs)* pub enum #marker {})
    });
    let quiet = quiet_item();
    quote! {
        #[doc(hidden)]
        #quiet
        #[allow(missing_debug_implementations, non_camel_case_types)]
        mod #module {
            #(pub struct #states;)*
            pub mod on {
                #(#handlers)*
            }
        }
    }
}

/// What one handler may do.
fn impls(
    model: &Model<'_>,
    graph: &Graph<'_>,
    way: &Way<'_>,
    targets: &[usize],
    stays: bool,
    limits: bool,
) -> TokenStream {
    let (krate, ty, state_enum) = (&model.options.crate_path, &model.ty, model.state_enum());
    let (module, maker) = (&graph.module, &way.maker);
    let cfgs: Vec<_> = way.cfgs().collect();
    let targets = targets.iter().map(|state| {
        let state = &graph.states[*state].ident;
        quote! {
            #(#cfgs)*
            #[automatically_derived]
            impl #krate::TargetOf<#maker> for #module::#state {
                const STATE: #state_enum = #state_enum::#state;
            }
        }
    });
    let stays = stays.then(|| quote!(#(#cfgs)* #[automatically_derived] impl #krate::Stays for #maker {}));
    let limits = limits.then(|| quote!(#(#cfgs)* #[automatically_derived] impl #krate::Limits for #maker {}));
    quote! {
        #(#cfgs)*
        #[automatically_derived]
        impl #krate::Handler for #maker {
            type Aggregate = #ty;
        }

        #(#targets)*
        #stays
        #limits
    }
}
