//! The impl of `Command`.

use proc_macro2::TokenStream;
use quote::quote;

use crate::expand::{call, field_names, quiet_item};
use crate::model::Model;

/// ```ignore
/// impl Command<Account> for AccountCommand {
///     fn name(&self) -> &'static str {
///         match *self { Self::Deposit { .. } => "deposit" }
///     }
///
///     fn handle(self, __data: &Account, __cx: &Context<Account>) -> Result<Step<(), Account>, Refused> {
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
        quote!(#(#cfgs)* Self::#variant #fields => #krate::__rt::unnamed(#call),)
    });
    with_bodies(model, &quote!(match *self { #(#names)* }), &quote!(match self { #(#handlers)* }))
}

/// The impl with these bodies for `name` and `handle`.
pub(super) fn with_bodies(model: &Model<'_>, name: &TokenStream, handle: &TokenStream) -> TokenStream {
    let (krate, ty, enum_type) = (&model.options.crate_path, &model.ty, model.command_type());
    let quiet = quiet_item();
    quote! {
        #[automatically_derived]
        #quiet
        impl #krate::Command<#ty> for #enum_type {
            fn name(&self) -> &'static #krate::__rt::str {
                #name
            }

            fn handle(
                self,
                __data: &#ty,
                __cx: &#krate::Context<#ty>,
            ) -> #krate::__rt::Result<#krate::Step<(), #ty>, #krate::Refused> {
                #handle
            }
        }
    }
}
