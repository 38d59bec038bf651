//! The types that stand for states and handlers, and what they may do.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};

use crate::expand::quiet_item;
use crate::graph::{Graph, Way};
use crate::model::Model;
use crate::states::State;
use crate::words::at;

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
/// They can be seen where the block stands and no further, or a private machine would have public markers.
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
    // The compiler shows them where it speaks of a state or of a handler.
    let states = states.iter().map(|State { ident, .. }| quote_spanned!(ident.span()=> pub(super) struct #ident;));
    let handlers = ways.iter().map(|way| {
        let (cfgs, marker) = (way.cfgs(), &way.marker);
        let marker = quote_spanned!(marker.span()=> pub(in super::super) enum #marker {});
        quote!(#(#cfgs)* #marker)
    });
    let quiet = quiet_item();
    quote! {
        #[doc(hidden)]
        #quiet
        #[allow(missing_debug_implementations, non_camel_case_types)]
        mod #module {
            #(#states)*
            pub(super) mod on {
                #(#handlers)*
            }
        }
    }
}

/// What one handler may do. The compiler shows these impls at the name of the handler.
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
    let span = way.marker.span();
    let implement = |what: TokenStream, of: TokenStream, body: TokenStream| {
        let (what, cfgs) = (at(what, span), way.cfgs());
        let of = at(of, span);
        quote_spanned! {span=>
            #(#cfgs)*
            #[automatically_derived]
            impl #what for #of { #body }
        }
    };
    let handler = implement(quote!(#krate::Handler), quote!(#maker), quote!(type Aggregate = #ty;));
    let targets = targets.iter().map(|state| {
        let state = &state.ident;
        let body = quote!(const STATE: #state_enum = #state_enum::#state;);
        implement(quote!(#krate::TargetOf<#maker>), quote!(#module::#state), body)
    });
    let may = |what: TokenStream| implement(what, quote!(#maker), TokenStream::new());
    let stays = stays.then(|| may(quote!(#krate::Stays)));
    let limits = limits.then(|| may(quote!(#krate::Limits)));
    quote!(#handler #(#targets)* #stays #limits)
}
