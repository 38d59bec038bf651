//! The impls of `Aggregate` and of what goes with it.

use proc_macro2::TokenStream;
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::spanned::Spanned;

use crate::duration::Duration;
use crate::expand::{call_at, length, quiet_calls};
use crate::model::Model;
use crate::retention::{Retained, Snapshots};
use crate::words::at;

/// ```text
/// impl Aggregate for Account {
///     const NAME: &'static str = "Account";
///     const CODEC: Codec = Codec::MessagePack;
///     // where its attribute says so:
///     const SNAPSHOTS: Option<Snapshots<Self>> = Some(Snapshots::new(Some(1000), 2));
///     const RETENTION: Retention = Retention::SinceSnapshot;
///     const FORGETTABLE: bool = true;
///     type Event = AccountEvent;
///     type Command = AccountCommand;
///     type Ref = AccountRef;
///     type State = ();
///     type Services = ();
///     fn apply(&mut self, event: AccountEvent) { .. }
/// }
///
/// impl EventsOf<Account> for AccountEvent { .. }
///
/// impl Snapshotted for Account {}
/// impl Forgettable for Account {}
/// ```
pub(super) fn expand(model: &Model<'_>) -> TokenStream {
    with_apply(model, &apply(model))
}

/// The impls with this body for `apply`.
pub(super) fn with_apply(model: &Model<'_>, apply: &TokenStream) -> TokenStream {
    let (options, ty) = (model.options, &model.ty);
    let (krate, codec, services) = (&options.crate_path, &options.codec, &options.services);
    let name = model.stored_name();
    let (event_type, command_type, ref_type) = (model.event_type(), model.command_type(), model.ref_type());
    let state = match &model.graph {
        Some(_) => model.state_enum().into_token_stream(),
        None => quote!(()),
    };
    let quiet = quiet_calls();
    let kept = kept(model);
    let constants_and_types = quote! {
        const NAME: &'static #krate::__rt::str = #name;
        const CODEC: #krate::Codec = #krate::Codec::#codec;
        #kept
        type Event = #event_type;
        type Command = #command_type;
        type Ref = #ref_type;
        type State = #state;
        type Services = #services;

        fn apply(&mut self, event: #event_type) {
            #apply
        }
    };
    let push_to = quote! {
        fn push_to(self, events: &mut #krate::EventList<#event_type>) {
            events.push(self);
        }
    };
    let kinds = kinds(model);
    // What the type lacks is reported at these impls, and so at the type's name.
    let span = model.ident.span();
    let aggregate = at(quote!(#krate::Aggregate), span);
    let events_of = at(quote!(#krate::EventsOf<#ty>), span);
    quote_spanned! {span=>
        #[automatically_derived]
        #quiet
        impl #aggregate for #ty {
            #constants_and_types
        }

        #[automatically_derived]
        impl #events_of for #event_type {
            #push_to
        }

        #kinds
    }
}

/// The constants that say what is kept of an entity, where they aren't as usual.
fn kept(model: &Model<'_>) -> TokenStream {
    let krate = &model.options.crate_path;
    let snapshots = model.options.snapshots.as_ref().map(|Snapshots { every, keep }| {
        let every = match every {
            Some(every) => quote!(#krate::__rt::Some(#every)),
            None => quote!(#krate::__rt::None),
        };
        // That it has no snapshots is the type's matter.
        let new = quote!(#krate::snapshot::Snapshots::new);
        let snapshots = call_at(model.ident.span(), new, quote!(#every, #keep));
        quote! {
            const SNAPSHOTS: #krate::__rt::Option<#krate::snapshot::Snapshots<Self>> = #krate::__rt::Some(#snapshots);
        }
    });
    let retention = model.options.retention.as_ref().map(|retention| {
        let variant = |word: &str| {
            let word = format_ident!("{word}");
            quote!(#krate::snapshot::Retention::#word)
        };
        let retention = match &retention.what {
            Retained::All => variant("All"),
            Retained::SinceSnapshot => variant("SinceSnapshot"),
            Retained::For(Duration::Literal { literal, length: found }) => {
                let (kept, length) = (variant("For"), length(krate, literal, *found));
                quote!(#kept(#length))
            }
            Retained::For(Duration::Constant(path)) => call_at(path.span(), variant("For"), path.to_token_stream()),
        };
        quote!(const RETENTION: #krate::snapshot::Retention = #retention;)
    });
    let forgettable = model.options.forgettable.then(|| quote!(const FORGETTABLE: #krate::__rt::bool = true;));
    quote!(#snapshots #retention #forgettable)
}

/// ```text
/// impl Snapshotted for Account {}
/// impl Forgettable for Account {}
/// ```
fn kinds(model: &Model<'_>) -> TokenStream {
    let (krate, ty) = (&model.options.crate_path, &model.ty);
    let snapshotted = model.options.snapshots.as_ref().map(|_| quote!(Snapshotted));
    let forgettable = model.options.forgettable.then(|| quote!(Forgettable));
    let kinds = snapshotted.into_iter().chain(forgettable);
    kinds
        .map(|kind| {
            quote! {
                #[automatically_derived]
                impl #krate::snapshot::#kind for #ty {}
            }
        })
        .collect()
}

/// ```text
/// match event {
///     AccountEvent::Deposited { amount } => Account::deposited(self, amount),
/// }
/// ```
///
/// For an enum of the user's: `Account::apply(self, event)`, which finds the method of the block before the trait's.
fn apply(model: &Model<'_>) -> TokenStream {
    let (ty, event_type) = (&model.ty, model.event_type());
    if model.options.event.is_some() {
        return quote!(#ty::apply(self, event));
    }
    let arms = model.events.iter().map(|event| {
        let (variant, method, cfgs) = (&event.variant, event.member.ident(), event.member.cfgs());
        let fields = super::field_names(&event.member);
        let arguments = event.member.fields.iter().map(|field| field.ident);
        quote!(#(#cfgs)* #event_type::#variant #fields => #ty::#method(self, #(#arguments),*),)
    });
    quote!(match event { #(#arms)* })
}
