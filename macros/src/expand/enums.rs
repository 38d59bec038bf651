//! The enums: what happened, and what is asked for.

use proc_macro2::TokenStream;
use quote::quote;
use syn::ext::IdentExt;
use syn::{Attribute, Ident};

use crate::case;
use crate::expand::quiet_item;
use crate::model::{Member, Model};

/// ```text
/// /// What happens to `Account`.
/// #[derive(Debug, Clone, PartialEq, Serialize, Deserialize, annals::Event)]
/// #[serde(crate = "::annals::__rt::serde")]
/// pub enum AccountEvent {
///     #[event(version = 2, upcast(1 => DepositedV1))]
///     Deposited { amount: u64 },
/// }
/// ```
pub(super) fn event(model: &Model<'_>) -> TokenStream {
    let options = model.options;
    let (krate, vis, enum_type) = (&options.crate_path, &options.vis, model.event_type());
    let (serde, key) = (krate.serde(), krate.key());
    // Serde's derives are there in any case; asked for, they are meant for the commands.
    let derives = options.derives.iter().filter(|path| {
        path.segments.last().is_none_or(|last| last.ident != "Serialize" && last.ident != "Deserialize")
    });
    let variants = model.events.iter().map(|event| {
        let stored = event.stored.attribute(&case::snake(&event.variant.unraw().to_string()));
        let variant = variant(&event.member, event.member.docs(), &event.variant);
        // Who still applies it is told so.
        let deprecated = event.stored.ignored_since().map(
            |since| quote!(#[deprecated(since = #since, note = "this event is ignored: a step that applies it fails")]),
        );
        quote!(#stored #deprecated #variant)
    });
    let doc = format!(" What happens to `{}`: its stored events.", model.ident);
    let quiet = quiet_item();
    quote! {
        #[doc = #doc]
        #[derive(
            ::core::fmt::Debug,
            ::core::clone::Clone,
            ::core::cmp::PartialEq,
            #krate::__rt::serde::Serialize,
            #krate::__rt::serde::Deserialize,
            #krate::Event,
            #(#derives),*
        )]
        #[serde(crate = #serde)]
        #key
        #quiet
        #vis enum #enum_type {
            #(#variants),*
        }
    }
}

/// ```text
/// /// What can be asked of `Account`.
/// #[derive(Debug, Clone, PartialEq)]
/// pub enum AccountCommand {
///     /// Pays `amount` in; replies with the new balance.
///     Deposit { amount: u64 },
/// }
/// ```
pub(super) fn command(model: &Model<'_>) -> TokenStream {
    let (vis, enum_type, derives) = (&model.options.vis, model.command_type(), &model.options.derives);
    let variants =
        model.commands.iter().map(|command| variant(&command.first().member, command.docs(), &command.variant));
    let doc = format!(" What can be asked of `{}`: its commands.", model.ident);
    let quiet = quiet_item();
    quote! {
        #[doc = #doc]
        #[derive(::core::fmt::Debug, ::core::clone::Clone, ::core::cmp::PartialEq, #(#derives),*)]
        #quiet
        #vis enum #enum_type {
            #(#variants),*
        }
    }
}

/// ```text
/// /// The docs of the method.
/// #[cfg(..)]
/// Deposited { #[serde(default)] amount: u64 }
/// ```
fn variant<'a>(member: &'a Member<'_>, docs: impl Iterator<Item = &'a Attribute>, variant: &Ident) -> TokenStream {
    let cfgs = member.cfgs();
    let fields = member.fields.iter().map(|field| {
        let (attrs, ident, ty) = (&field.attrs, field.ident, &field.ty);
        quote!(#(#attrs)* #ident: #ty)
    });
    let fields = (!member.fields.is_empty()).then(|| quote!({ #(#fields),* }));
    quote!(#(#docs)* #(#cfgs)* #variant #fields)
}
