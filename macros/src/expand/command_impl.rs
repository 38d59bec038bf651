//! The impl of `Command`.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};

use crate::expand::{call, call_at, field_names, quiet_calls, span_of_answer};
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
pub(super) fn expand(model: &Model<'_>) -> TokenStream {
    let krate = &model.options.crate_path;
    let names = model.commands.iter().map(|command| {
        let (variant, name, cfgs) = (&command.variant, command.member.name(), command.member.cfgs());
        let fields = (!command.member.fields.is_empty()).then(|| quote!({ .. }));
        quote!(#(#cfgs)* Self::#variant #fields => #name,)
    });
    let handlers = model.commands.iter().map(|command| {
        let (variant, cfgs) = (&command.variant, command.member.cfgs());
        let fields = field_names(&command.member);
        let call = call(model, &command.member, command.context.is_some());
        let unnamed = call_at(span_of_answer(&command.member), quote!(#krate::__rt::unnamed), call);
        quote!(#(#cfgs)* Self::#variant #fields => #unnamed,)
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
