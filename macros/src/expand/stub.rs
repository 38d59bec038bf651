//! What is emitted beside mistakes: the block, and items with the right names and types that do nothing, so that no
//! "not found" follows in other code.

use proc_macro2::{Ident, TokenStream};
use quote::quote;
use syn::visit_mut::{self, VisitMut};
use syn::{Lifetime, Type, TypeReference, parse_quote};

use crate::block::Method;
use crate::expand::{aggregate_impl, command_impl, entity_ref, method, quiet_item};
use crate::model::{Answer, Member, Model, is_conditional};

/// The block and the stubs, without mistakes of their own.
pub(crate) fn stub(mut model: Model<'_>) -> TokenStream {
    leave_twins_out(&mut model);
    own_all_types(&mut model);
    let model = &model;
    let nothing = quote!(loop {});
    let block = block(model);
    let event = model.options.event.is_none().then(|| event(model));
    let commands = model.commands.iter().map(|command| (&command.variant, &command.member));
    let command = stub_enum(model, &model.command_type(), commands);
    let aggregate = aggregate_impl::with_apply(model, &nothing);
    let command_impl = command_impl::with_bodies(model, &nothing, &nothing);
    let entity_ref = entity_ref(model, &nothing);
    quote! {
        #block
        #event
        #command
        #aggregate
        #command_impl
        #entity_ref
    }
}

/// Leaves the second of two items with one name out: rustc would say again that they collide.
fn leave_twins_out(model: &mut Model<'_>) {
    let mut variants: Vec<Ident> = Vec::new();
    model.events.retain(|event| is_first(&mut variants, &event.variant));
    variants.clear();
    model.commands.retain(|command| is_first(&mut variants, &command.variant));
    let mut methods: Vec<Ident> = Vec::new();
    model.commands.retain(|command| is_first(&mut methods, command.member.ident()));
    model.queries.retain(|query| is_first(&mut methods, query.member.ident()));
}

fn is_first(seen: &mut Vec<Ident>, ident: &Ident) -> bool {
    let first = !seen.contains(ident);
    seen.push(ident.clone());
    first
}

/// The user's block, without the second of two marked methods with one name.
fn block(model: &Model<'_>) -> TokenStream {
    let mut seen: Vec<Ident> = Vec::new();
    model.block.rewritten(|found: &Method| {
        let conditional = found.attrs.iter().any(is_conditional);
        let twin = !found.markers.is_empty() && !is_first(&mut seen, &found.sig.ident) && !conditional;
        if twin { TokenStream::new() } else { method(model, found) }
    })
}

/// ```ignore
/// pub enum AccountEvent { Deposited { amount: u64 } }
/// impl Serialize for AccountEvent { .. }
/// impl<'de> Deserialize<'de> for AccountEvent { .. }
/// impl Event for AccountEvent { .. }
/// ```
fn event(model: &Model<'_>) -> TokenStream {
    let krate = &model.options.crate_path;
    let enum_type = model.event_enum();
    let variants = model.events.iter().map(|event| (&event.variant, &event.member));
    let stub = stub_enum(model, &enum_type, variants);
    quote! {
        #stub

        #[automatically_derived]
        impl #krate::__rt::serde::Serialize for #enum_type {
            fn serialize<S: #krate::__rt::serde::Serializer>(
                &self,
                _: S,
            ) -> #krate::__rt::Result<S::Ok, S::Error> {
                loop {}
            }
        }

        #[automatically_derived]
        impl<'de> #krate::__rt::serde::Deserialize<'de> for #enum_type {
            fn deserialize<D: #krate::__rt::serde::Deserializer<'de>>(
                _: D,
            ) -> #krate::__rt::Result<Self, D::Error> {
                loop {}
            }
        }

        #[automatically_derived]
        impl #krate::Event for #enum_type {
            const VARIANTS: &'static [#krate::EventVariant] = &[];

            fn upcast(
                _: #krate::__rt::usize,
                _: #krate::__rt::u32,
                _: #krate::Payload<'_>,
            ) -> #krate::__rt::Result<Self, #krate::DecodeError> {
                loop {}
            }
        }
    }
}

fn stub_enum<'a>(
    model: &Model<'_>,
    enum_type: &Ident,
    variants: impl Iterator<Item = (&'a Ident, &'a Member<'a>)>,
) -> TokenStream {
    let (vis, derives) = (&model.options.vis, &model.options.derives);
    let derives = derives.iter().filter(|path| {
        path.segments.last().is_none_or(|last| last.ident != "Serialize" && last.ident != "Deserialize")
    });
    let variants = variants.map(|(variant, member)| {
        let (cfgs, fields) = (member.cfgs(), super::field_types(member));
        let fields = (!member.fields.is_empty()).then(|| quote!({ #(#fields),* }));
        quote!(#(#cfgs)* #variant #fields)
    });
    let quiet = quiet_item();
    quote! {
        #[derive(::core::fmt::Debug, ::core::clone::Clone, ::core::cmp::PartialEq, #(#derives),*)]
        #quiet
        #vis enum #enum_type {
            #(#variants),*
        }
    }
}

fn entity_ref(model: &Model<'_>, nothing: &TokenStream) -> TokenStream {
    let commands = model.commands.iter().map(|command| {
        let call = entity_ref::call_type(model, &command.answer);
        entity_ref::method(model, &command.member, &call, nothing)
    });
    let queries = model.queries.iter().map(|query| {
        let call = entity_ref::infallible(model, &query.reply);
        entity_ref::method(model, &query.member, &call, nothing)
    });
    entity_ref::with_methods(model, &commands.chain(queries).collect())
}

/// Makes types of those that no field can have: `&str` becomes `&'static str`, `impl Trait` becomes `()`.
fn own_all_types(model: &mut Model<'_>) {
    let events = model.events.iter_mut().map(|event| &mut event.member);
    let commands = model.commands.iter_mut().map(|command| {
        match &mut command.answer {
            Answer::Step { reply } | Answer::Wrong(reply) => Own.visit_type_mut(reply),
            Answer::Refusable { reply, refusal } => {
                Own.visit_type_mut(reply);
                Own.visit_type_mut(refusal);
            }
            Answer::Named(_) | Answer::Missing => {}
        }
        &mut command.member
    });
    let queries = model.queries.iter_mut().map(|query| {
        Own.visit_type_mut(&mut query.reply);
        &mut query.member
    });
    for field in events.chain(commands).chain(queries).flat_map(|member| &mut member.fields) {
        Own.visit_type_mut(&mut field.ty);
    }
}

struct Own;

impl VisitMut for Own {
    fn visit_type_mut(&mut self, ty: &mut Type) {
        visit_mut::visit_type_mut(self, ty);
        if matches!(ty, Type::ImplTrait(_)) {
            *ty = parse_quote!(());
        }
    }

    fn visit_type_reference_mut(&mut self, reference: &mut TypeReference) {
        visit_mut::visit_type_reference_mut(self, reference);
        reference.lifetime = Some(parse_quote!('static));
    }

    fn visit_lifetime_mut(&mut self, lifetime: &mut Lifetime) {
        *lifetime = parse_quote!('static);
    }
}
