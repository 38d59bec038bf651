//! The impl of `Command`.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};

use crate::expand::{decision, field_names, handled, quiet_calls};
use crate::model::Model;
use crate::words::at;

/// ```text
/// impl Command<Account> for AccountCommand {
///     fn name(&self) -> &'static str {
///         match *self { Self::Deposit { .. } => "deposit" }
///     }
///
///     fn handle(self, __data: &Account, __cx: &Context<Account>) -> Decision<(), Refused, Account> {
///         match self { Self::Deposit { amount } => unnamed(Account::deposit(__data, amount)) }
///     }
/// }
/// ```
///
/// In a machine, the state decides who handles the command.
pub(super) fn expand(model: &Model<'_>) -> TokenStream {
    let names = model.commands.iter().map(|command| {
        let member = &command.first().member;
        let (variant, name, cfgs) = (&command.variant, command.name(), member.cfgs());
        let fields = (!member.fields.is_empty()).then(|| quote!({ .. }));
        quote!(#(#cfgs)* Self::#variant #fields => #name,)
    });
    let handlers = model.commands.iter().map(|command| {
        let handler = command.first();
        let (variant, cfgs, fields) = (&command.variant, handler.member.cfgs(), field_names(&handler.member));
        let decision = match &model.graph {
            Some(graph) => decision(model, graph, command, "unnamed"),
            None => handled(model, handler, "unnamed"),
        };
        quote!(#(#cfgs)* Self::#variant #fields => #decision,)
    });
    with_bodies(model, &quote!(match *self { #(#names)* }), &quote!(match self { #(#handlers)* }))
}

/// The impl with these bodies for `name` and `handle`.
pub(super) fn with_bodies(model: &Model<'_>, name: &TokenStream, handle: &TokenStream) -> TokenStream {
    let (krate, ty, enum_type) = (&model.options.crate_path, &model.ty, model.command_type());
    let quiet = quiet_calls();
    let methods = quote! {
        fn name(&self) -> &'static #krate::__rt::str {
            #name
        }

        fn handle(
            self,
            __data: &#ty,
            __cx: &#krate::Context<#ty>,
        ) -> #krate::Decision<(), #krate::Refused, #ty> {
            #handle
        }
    };
    // As with the impl of `Aggregate`: what is wrong is the type's.
    let command = at(quote!(#krate::Command<#ty>), model.ident.span());
    quote_spanned! {model.ident.span()=>
        #[automatically_derived]
        #quiet
        impl #command for #enum_type {
            #methods
        }
    }
}
