//! The versions of what is stored, and the shapes that older ones had: `version = 2, upcast(1 => OldShape)`.

use proc_macro2::TokenStream;
use quote::quote;
use syn::parse::ParseStream;
use syn::{Error, LitInt, Token, Type, parenthesized};

use crate::ctxt::Ctxt;

/// The version that is written, and how older ones are read.
#[derive(Default)]
pub(crate) struct Versions {
    current: Option<Version>,
    upcasts: Vec<Upcast>,
}

struct Version {
    number: u32,
    literal: LitInt,
}

/// `1 => OldShape`
pub(crate) struct Upcast {
    pub(crate) from: u32,
    literal: LitInt,
    pub(crate) ty: Type,
}

impl Versions {
    /// Reads `= 2`.
    pub(crate) fn read_version(&mut self, input: ParseStream<'_>) -> syn::Result<()> {
        input.parse::<Token![=]>()?;
        let (number, literal) = version(input)?;
        self.current = Some(Version { number, literal });
        Ok(())
    }

    /// Reads `(1 => OldShape, ..)`.
    pub(crate) fn read_upcasts(&mut self, input: ParseStream<'_>) -> syn::Result<()> {
        let list;
        parenthesized!(list in input);
        self.upcasts = list.parse_terminated(Upcast::parse, Token![,])?.into_iter().collect();
        Ok(())
    }

    pub(crate) fn current(&self) -> u32 {
        self.current.as_ref().map_or(1, |version| version.number)
    }

    /// In the order of their versions.
    pub(crate) fn upcasts(&self) -> Vec<&Upcast> {
        let mut upcasts: Vec<&Upcast> = self.upcasts.iter().collect();
        upcasts.sort_by_key(|upcast| upcast.from);
        upcasts
    }

    /// The keys again, as they were given.
    pub(crate) fn keys(&self) -> Vec<TokenStream> {
        let mut keys = Vec::new();
        if let Some(Version { literal, .. }) = &self.current {
            keys.push(quote!(version = #literal));
        }
        if !self.upcasts.is_empty() {
            let upcasts = self.upcasts.iter().map(|Upcast { literal, ty, .. }| quote!(#literal => #ty));
            keys.push(quote!(upcast(#(#upcasts),*)));
        }
        keys
    }
}

impl Upcast {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let (from, literal) = version(input)?;
        input.parse::<Token![=>]>()?;
        Ok(Self { from, literal, ty: input.parse()? })
    }
}

fn version(input: ParseStream<'_>) -> syn::Result<(u32, LitInt)> {
    let found = input.span();
    let literal: LitInt = input.parse().map_err(|_| Error::new(found, "expected a version: a number from 1"))?;
    match literal.base10_parse() {
        Ok(number @ 1..) if literal.suffix().is_empty() => Ok((number, literal)),
        _ => Err(Error::new(found, format!("`{literal}` is not a version; expected a number from 1 to {}", u32::MAX))),
    }
}

/// All rules for versions that could be read.
pub(crate) fn check(ctxt: &Ctxt, versions: &Versions) {
    check_of_ignored(ctxt, versions);
    check_chain_has_no_gap(ctxt, versions);
}

/// Those for what isn't read any more.
pub(crate) fn check_of_ignored(ctxt: &Ctxt, versions: &Versions) {
    check_upcasts_start_below_the_version(ctxt, versions);
    check_upcasts_differ(ctxt, versions);
}

/// An upcast leads from an older version to the current one.
fn check_upcasts_start_below_the_version(ctxt: &Ctxt, versions: &Versions) {
    let current = versions.current();
    for Upcast { from, literal, .. } in &versions.upcasts {
        if *from >= current {
            ctxt.error(
                literal,
                format!(
                    "version {from} is not older than the current version {current}: upcasts lead from older versions; \
                     raise `version`, or remove this"
                ),
            );
        }
    }
}

/// There is one upcast from each version.
fn check_upcasts_differ(ctxt: &Ctxt, versions: &Versions) {
    for (at, upcast) in versions.upcasts.iter().enumerate() {
        if let Some(first) = versions.upcasts[..at].iter().find(|first| first.from == upcast.from) {
            let from = upcast.from;
            ctxt.collision(
                &upcast.literal,
                format!("the upcast from version {from} is given twice; remove one"),
                &first.literal,
                format!("the upcast from version {from} is first given here"),
            );
        }
    }
}

/// What was stored in an older version can still be read: each older version has its upcast.
fn check_chain_has_no_gap(ctxt: &Ctxt, versions: &Versions) {
    let Some(Version { number, literal }) = &versions.current else { return };
    let missing = (1..*number).find(|version| versions.upcasts.iter().all(|upcast| upcast.from != *version));
    if let Some(from) = missing {
        let to = from + 1;
        ctxt.error(
            literal,
            format!(
                "no upcast from version {from} to {to}: add `upcast({from} => ..)` with the shape that version {from} \
                 had"
            ),
        );
    }
}
