//! The types that stand for states and handlers, and what they may do.

use proc_macro2::TokenStream;
use quote::quote;

use crate::expand::quiet_item;
use crate::graph::{Graph, Way};
use crate::model::Model;
use crate::states::State;

/// ```text
/// mod lock_fsm {
///     pub(super) struct Unlocked;
///     pub(super) struct Locked;
///     pub(super) mod on {
///         pub(in super::super) enum Lock {}
///         pub(in super::super) enum TryUnlock {}
///     }
/// }
///
/// impl Handler for lock_fsm::on::TryUnlock { type Aggregate = Lock; }
/// impl TargetOf<lock_fsm::on::TryUnlock> for lock_fsm::Unlocked { const STATE: LockState = LockState::Unlocked; }
/// impl Stays for lock_fsm::on::TryUnlock {}
/// ```
///
/// The markers are seen no further than the block: what is seen further than the type may not name it in its impls.
pub(super) fn expand(model: &Model<'_>, graph: &Graph<'_>) -> TokenStream {
    let ways: Vec<&Way<'_>> = graph.ways.iter().collect();
    let module = module(graph, &graph.states.iter().collect::<Vec<_>>(), &ways);
    let impls = ways.iter().map(|way| {
        let targets: Vec<&State> = way.targets().map(|place| &graph.states[place.state]).collect();
        let limits = way.targets().any(|place| graph.deadlines_of(place.state).next().is_some());
        impls(model, graph, way, &targets, way.stays(), limits)
    });
    quote! {
        #module
        #(#impls)*
    }
}

/// The same where there are mistakes: each handler may do everything.
pub(super) fn stub(model: &Model<'_>, graph: &Graph<'_>, states: &[&State], ways: &[&Way<'_>]) -> TokenStream {
    let module = module(graph, states, ways);
    let impls = ways.iter().map(|way| impls(model, graph, way, states, true, true));
    quote! {
        #module
        #(#impls)*
    }
}

fn module(graph: &Graph<'_>, states: &[&State], ways: &[&Way<'_>]) -> TokenStream {
    let module = &graph.module;
    let states = states.iter().map(|state| &state.ident);
    let handlers = ways.iter().map(|way| {
        let (cfgs, marker) = (way.cfgs(), &way.marker);
        quote!(#(#cfgs)* pub(in super::super) enum #marker {})
    });
    let quiet = quiet_item();
    quote! {
        #[doc(hidden)]
        #quiet
        #[allow(missing_debug_implementations, non_camel_case_types)]
        mod #module {
            #(pub(super) struct #states;)*
            pub(super) mod on {
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
    targets: &[&State],
    stays: bool,
    limits: bool,
) -> TokenStream {
    let (krate, ty, state_enum) = (&model.options.crate_path, &model.ty, model.state_enum());
    let (module, maker) = (&graph.module, &way.maker);
    let cfgs: Vec<_> = way.cfgs().collect();
    let targets = targets.iter().map(|state| {
        let state = &state.ident;
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
