//! Types, as they are written: what can be told from that, and what is made of it.

use proc_macro2::{Group, TokenStream, TokenTree};
use quote::ToTokens;
use syn::{GenericArgument, Path, PathArguments, Type};

use crate::symbol::{CONTEXT, EFFECTS, RESULT};
use crate::words::at;

/// Whether a type can't be an alias of a step: a primitive, a tuple, or a `Result` of one.
pub(crate) fn is_no_step(ty: &Type) -> bool {
    const PRIMITIVES: &[&str] = &[
        "bool", "char", "f32", "f64", "i8", "i16", "i32", "i64", "i128", "isize", "str", "String", "u8", "u16", "u32",
        "u64", "u128", "usize",
    ];
    match ty {
        Type::Path(path) => match arguments_of(ty, RESULT).as_deref() {
            Some([step, _]) => is_no_step(step),
            _ => PRIMITIVES.iter().any(|primitive| path.path.is_ident(primitive)),
        },
        Type::Array(_) | Type::Never(_) | Type::Reference(_) | Type::Slice(_) | Type::Tuple(_) => true,
        _ => false,
    }
}

pub(crate) fn unit() -> Type {
    syn::parse_quote!(())
}

pub(crate) fn is_unit(ty: &Type) -> bool {
    matches!(ty, Type::Tuple(tuple) if tuple.elems.is_empty())
}

/// Whether a type is a reference to a `Context<..>`.
pub(crate) fn is_context(ty: &Type) -> bool {
    matches!(ty, Type::Reference(reference) if is_owned_context(&reference.elem))
}

/// Whether a type is a `Context<..>`.
pub(crate) fn is_owned_context(ty: &Type) -> bool {
    arguments_of(ty, CONTEXT).is_some_and(|arguments| arguments.len() == 1)
}

/// Whether a type is meant as a context, be it right or not.
pub(crate) fn mentions_context(ty: &Type) -> bool {
    is_context(ty) || is_owned_context(ty)
}

/// Whether a type is an `Effects<..>`, or a reference to it.
pub(crate) fn mentions_effects(ty: &Type) -> bool {
    match ty {
        Type::Reference(reference) => is_owned_effects(&reference.elem),
        _ => is_owned_effects(ty),
    }
}

/// Whether a type is an `Effects<..>` without a `&`.
pub(crate) fn is_owned_effects(ty: &Type) -> bool {
    arguments_of(ty, EFFECTS).is_some_and(|arguments| arguments.len() == 1)
}

/// The type arguments of a path that ends in `word`.
pub(crate) fn arguments_of<'t>(ty: &'t Type, word: &str) -> Option<Vec<&'t Type>> {
    match ty {
        Type::Path(path) if path.path.segments.last()?.ident == word => arguments(&path.path),
        _ => None,
    }
}

/// The type arguments of a path; nothing if it has arguments of another kind.
pub(crate) fn arguments(path: &Path) -> Option<Vec<&Type>> {
    match &path.segments.last()?.arguments {
        PathArguments::None => Some(Vec::new()),
        PathArguments::AngleBracketed(list) => list
            .args
            .iter()
            .map(|argument| match argument {
                GenericArgument::Type(ty) => Some(ty),
                _ => None,
            })
            .collect(),
        PathArguments::Parenthesized(_) => None,
    }
}

/// A type as it is called outside of the block: with `ty` for `Self`.
pub(crate) fn without_self(given: &Type, ty: &Path) -> Type {
    syn::parse2(name_self(given.to_token_stream(), ty)).unwrap_or_else(|_| given.clone())
}

/// Tokens as they are written outside of the block: with `ty` for `Self`.
pub(crate) fn name_self(tokens: TokenStream, ty: &Path) -> TokenStream {
    let mut named = TokenStream::new();
    for token in tokens {
        match token {
            TokenTree::Ident(word) if word == "Self" => named.extend(at(ty, word.span())),
            TokenTree::Group(group) => {
                let mut inner = Group::new(group.delimiter(), name_self(group.stream(), ty));
                inner.set_span(group.span());
                named.extend([TokenTree::Group(inner)]);
            }
            other => named.extend([other]),
        }
    }
    named
}
