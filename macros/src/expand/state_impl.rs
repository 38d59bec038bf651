//! The impls of `State` and of what goes with it.

use proc_macro2::{Ident, TokenStream};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::ext::IdentExt;
use syn::spanned::Spanned;

use crate::check;
use crate::duration::Duration;
use crate::expand::{call_at, handled, length, quiet_calls};
use crate::graph::{Cause, Graph, Hook, Target, Way};
use crate::model::{Model, parameters};
use crate::states::State;
use crate::types::name_self;
use crate::words::at;

/// ```text
/// impl Lock { pub const GRAPH: Graph = <LockState as State<Lock>>::GRAPH; }
///
/// impl State<Lock> for LockState {
///     const GRAPH: Graph = Graph { .. };
///     const ALL: &'static [Self] = &[Self::Unlocked, Self::Locked];
///     const INITIAL: Self = Self::Unlocked;
///     fn index(self) -> usize { match self { Self::Unlocked => 0, Self::Locked => 1 } }
///     fn elapsed(..) fn exited(..) fn entered(..)    // where there is something to do
/// }
///
/// impl Machine for Lock {}
/// ```
pub(super) fn expand(model: &Model<'_>, graph: &Graph<'_>) -> TokenStream {
    let states = graph.states.iter().map(|state| &state.ident);
    let graph_of = graph_of(model, graph);
    let elapsed = elapsed(model, graph);
    let [exited, entered] = [false, true].map(|on_enter| hooks(model, graph, on_enter));
    let initial = graph.states.iter().find(|state| state.is_initial()).map(|state| &state.ident);
    let indexes = graph.states.iter().enumerate().map(|(index, state)| {
        let state = &state.ident;
        quote!(Self::#state => #index,)
    });
    let index = quote!(match self { #(#indexes)* });
    let [states, initial] = [quote!(&[#(Self::#states),*]), quote!(Self::#initial)];
    with_bodies(model, [&graph_of, &states, &initial, &index], &quote!(#elapsed #exited #entered))
}

/// The impls with these bodies, and methods beside.
pub(super) fn with_bodies(
    model: &Model<'_>,
    [graph_of, all, initial, index]: [&TokenStream; 4],
    methods: &TokenStream,
) -> TokenStream {
    let (krate, vis, ty, state_enum) = (&model.options.crate_path, &model.options.vis, &model.ty, model.state_enum());
    let quiet = quiet_calls();
    // One of the user's is a mistake that is reported.
    let graph_of_type = check::own_graph(model).is_none().then(|| {
        quote! {
            #[automatically_derived]
            #[allow(dead_code)]
            impl #ty {
                /// The states, and the ways between them.
                #vis const GRAPH: #krate::Graph = <#state_enum as #krate::State<#ty>>::GRAPH;
            }
        }
    });
    quote! {
        #graph_of_type

        #[automatically_derived]
        #quiet
        impl #krate::State<#ty> for #state_enum {
            const GRAPH: #krate::Graph = #graph_of;
            const ALL: &'static [Self] = #all;
            const INITIAL: Self = #initial;

            fn index(self) -> #krate::__rt::usize {
                #index
            }

            #methods
        }

        #[automatically_derived]
        impl #krate::Machine for #ty {}
    }
}

/// ```text
/// Graph {
///     machine: "Lock",
///     states: &[StateInfo { name: "Locked", kind: StateKind::Ordinary, deadline: None }],
///     edges: &[Edge { from: "Locked", to: Some("Unlocked"), by: By::Command("try_unlock") }],
/// }
/// ```
fn graph_of(model: &Model<'_>, graph: &Graph<'_>) -> TokenStream {
    let (krate, machine) = (&model.options.crate_path, model.stored_name());
    let states = graph.states.iter().enumerate().map(|(index, state)| {
        let (name, was, kind, deadline) = (state.name(), &state.was, kind(state), deadline(model, graph, index));
        quote!(#krate::StateInfo { name: #name, was: &[#(#was),*], kind: #krate::StateKind::#kind, deadline: #deadline })
    });
    let edges = graph.ways.iter().map(|way| edges(model, graph, way));
    let value = quote! {
        #krate::Graph {
            machine: #machine,
            states: &[#(#states),*],
            edges: &[#(#edges)*],
        }
    };
    let constants: Vec<TokenStream> = graph.ways.iter().filter_map(|way| constant(model, way)).collect();
    if constants.is_empty() { value } else { quote!({ #(#constants)* #value }) }
}

/// A deadline that is a constant of the user's is named once, so that what is wrong with it is said once:
///
/// ```text
/// const __REMIND: Duration = Order::PATIENCE;
/// ```
fn constant(model: &Model<'_>, way: &Way<'_>) -> Option<TokenStream> {
    let Cause::Deadline(Some(Duration::Constant(path))) = &way.cause else { return None };
    let (krate, span) = (&model.options.crate_path, path.span());
    let (name, path) = (constant_name(way), name_self(path.to_token_stream(), &model.ty));
    let ty = at(quote!(#krate::__rt::Duration), span);
    let cfgs = way.cfgs();
    Some(quote_spanned!(span=> #(#cfgs)* const #name: #ty = #path;))
}

fn constant_name(way: &Way<'_>) -> Ident {
    format_ident!("__{}", way.method.sig.ident.unraw().to_string().to_uppercase())
}

/// `Duration::from_secs(30)`, or the name of the constant.
fn duration(model: &Model<'_>, way: &Way<'_>) -> Option<TokenStream> {
    let krate = &model.options.crate_path;
    match &way.cause {
        Cause::Deadline(Some(Duration::Constant(_))) => Some(constant_name(way).to_token_stream()),
        Cause::Deadline(Some(Duration::Literal { literal, length: found })) => Some(length(krate, literal, *found)),
        Cause::Deadline(None) | Cause::Command(_) => None,
    }
}

fn kind(state: &State) -> TokenStream {
    if state.is_initial() {
        quote!(Initial)
    } else if state.is_transient() {
        quote!(Transient)
    } else if state.is_terminal() {
        quote!(Terminal)
    } else {
        quote!(Ordinary)
    }
}

/// `Some(Duration::from_secs(30))`; if a `#[cfg]` may leave it out, with a `let` that it leaves out, too.
fn deadline(model: &Model<'_>, graph: &Graph<'_>, state: usize) -> TokenStream {
    let krate = &model.options.crate_path;
    let none = quote!(#krate::__rt::None);
    let mut conditional = Vec::new();
    for way in graph.deadlines_of(state) {
        let Some(duration) = duration(model, way) else { continue };
        if !way.is_conditional() {
            return quote!(#krate::__rt::Some(#duration));
        }
        let cfgs = way.cfgs();
        conditional.push(quote!(#(#cfgs)* let deadline = #krate::__rt::Some(#duration);));
    }
    if conditional.is_empty() {
        none
    } else {
        quote!({ let deadline: #krate::__rt::Option<#krate::__rt::Duration> = #none; #(#conditional)* deadline })
    }
}

fn edges(model: &Model<'_>, graph: &Graph<'_>, way: &Way<'_>) -> TokenStream {
    let krate = &model.options.crate_path;
    let by = match &way.cause {
        Cause::Command(command) => {
            let command = command.unraw().to_string();
            quote!(Command(#command))
        }
        Cause::Deadline(_) => {
            let duration = duration(model, way);
            quote!(Deadline(#duration))
        }
    };
    let cfgs: Vec<_> = way.cfgs().collect();
    let edge = |from: usize, to: Option<usize>| {
        let from = graph.states[from].name();
        let to = match to.map(|to| graph.states[to].name()) {
            Some(to) => quote!(#krate::__rt::Some(#to)),
            None => quote!(#krate::__rt::None),
        };
        quote!(#(#cfgs)* #krate::Edge { from: #from, to: #to, by: #krate::By::#by },)
    };
    let mut edges = TokenStream::new();
    for place in &way.from {
        edges.extend(way.to.iter().map(|target| match target {
            Target::State(to) => edge(place.state, Some(to.state)),
            Target::Stay(_) => edge(place.state, None),
        }));
    }
    edges.extend(way.ignored.iter().map(|place| edge(place.state, None)));
    edges
}

/// ```text
/// fn elapsed(self, __data: &Lock, __cx: &Context<Lock>) -> Option<Step<(), Lock>> {
///     match self {
///         Self::Unlocked => Some(elapsed(Lock::relock(__data))),
///         Self::Locked => None,
///     }
/// }
/// ```
fn elapsed(model: &Model<'_>, graph: &Graph<'_>) -> Option<TokenStream> {
    let (krate, ty) = (&model.options.crate_path, &model.ty);
    let mut lasting: Vec<usize> = (0..graph.states.len()).collect();
    let mut conditional = false;
    let arms: Vec<TokenStream> = model
        .deadlines
        .iter()
        .filter_map(|handler| {
            let way = graph.way_of(handler.member.method)?;
            if way.is_conditional() {
                conditional = true;
            } else {
                lasting.retain(|state| !way.begins_in(*state));
            }
            let (cfgs, states) = (way.cfgs(), way.from.iter().map(|place| &graph.states[place.state].ident));
            let step = handled(model, handler, "elapsed");
            Some(quote!(#(#cfgs)* #(Self::#states)|* => #krate::__rt::Some(#step),))
        })
        .collect();
    let lasting = lasting.iter().map(|state| &graph.states[*state].ident);
    let others = (lasting.len() > 0).then(|| quote!(#(Self::#lasting)|* => #krate::__rt::None,));
    let unreachable = conditional.then(|| quote!(#[allow(unreachable_patterns)]));
    (!arms.is_empty()).then(|| {
        quote! {
            #unreachable
            fn elapsed(
                self,
                __data: &#ty,
                __cx: &#krate::Context<#ty>,
            ) -> #krate::__rt::Option<#krate::Step<(), #ty>> {
                match self { #(#arms)* #others }
            }
        }
    })
}

/// ```text
/// fn entered(self, __data: &Lock, __hooks: &mut Hooks<Lock>) {
///     match self {
///         Self::Locked => { __hooks.push(|__fx| Lock::announce(__fx)); }
///         Self::Unlocked => {}
///     }
/// }
/// ```
fn hooks(model: &Model<'_>, graph: &Graph<'_>, on_enter: bool) -> Option<TokenStream> {
    let (krate, ty) = (&model.options.crate_path, &model.ty);
    let hooks: Vec<&Hook<'_>> = graph.hooks.iter().filter(|hook| hook.on_enter == on_enter).collect();
    if hooks.is_empty() {
        return None;
    }
    let name = if on_enter { quote!(entered) } else { quote!(exited) };
    let mut quiet = Vec::new();
    let mut arms = Vec::new();
    for (index, State { ident, .. }) in graph.states.iter().enumerate() {
        let of_state = |hook: &&&Hook<'_>| hook.states.iter().any(|place| place.state == index);
        let pushes: Vec<TokenStream> = hooks.iter().filter(of_state).map(|hook| push(model, hook)).collect();
        if pushes.is_empty() {
            quiet.push(ident);
        } else {
            arms.push(quote!(Self::#ident => { #(#pushes)* }));
        }
    }
    let others = (!quiet.is_empty()).then(|| quote!(#(Self::#quiet)|* => {}));
    Some(quote! {
        fn #name(self, __data: &#ty, __hooks: &mut #krate::Hooks<#ty>) {
            match self { #(#arms)* #others }
        }
    })
}

/// `__hooks.push(|__fx| Lock::announce(__fx));`, or for one that looks at the data:
///
/// ```text
/// {
///     let __data = Clone::clone(__data);
///     __hooks.push(move |__fx| Lock::tell(&__data, __fx));
/// }
/// ```
fn push(model: &Model<'_>, hook: &Hook<'_>) -> TokenStream {
    let (ty, sig) = (&model.ty, &hook.method.sig);
    let method = &sig.ident;
    // What can be wrong with the call is the type of the effects.
    let span = parameters(hook.method).next().map_or(method.span(), |effects| effects.ty.span());
    let effects = Ident::new("__fx", span);
    let cfgs = hook.cfgs();
    let push = match sig.receiver() {
        // What the data lacks is reported at the receiver.
        Some(receiver) => {
            let at_receiver = receiver.self_token.span();
            let data = Ident::new("__data", at_receiver);
            let clone = call_at(at_receiver, quote!(::core::clone::Clone::clone), quote!(#data));
            let call = call_at(span, quote!(#ty::#method), quote!(&__data, #effects));
            quote!({ let __data = #clone; __hooks.push(move |#effects| #call); })
        }
        None => {
            let call = call_at(span, quote!(#ty::#method), quote!(#effects));
            quote!(__hooks.push(|#effects| #call);)
        }
    };
    quote!(#(#cfgs)* #push)
}
