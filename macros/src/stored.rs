//! How an event is stored: `#[event(..)]` on a method or a variant, and the rules for it.

use proc_macro2::{Ident, TokenStream};
use quote::{ToTokens, quote};
use syn::ext::IdentExt;
use syn::parse::ParseStream;
use syn::{Attribute, Error, LitInt, LitStr, Token, Type, parenthesized};

use crate::attr::{self, Keys};
use crate::ctxt::Ctxt;
use crate::symbol::{EVENT_KEYS, NAME, UPCAST, VERSION, WAS};

/// The longest stored name, in bytes of UTF-8.
const NAME_BYTES_MAX: usize = 255;

/// The stored side of one event.
pub(crate) struct Stored {
    /// The method or variant, for messages.
    pub(crate) ident: Ident,
    /// What it is called if nobody says otherwise.
    default_name: String,
    name: Option<LitStr>,
    was: Vec<LitStr>,
    version: Option<Version>,
    upcasts: Vec<Upcast>,
    /// Whether a `#[cfg]` may remove it.
    conditional: bool,
    /// Whether all keys could be read. Otherwise a version or an upcast may be missing without being forgotten.
    clean: bool,
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

impl Stored {
    /// Reads the keys of all `#[event(..)]` of one method or variant.
    pub(crate) fn read(
        ctxt: &Ctxt,
        ident: &Ident,
        default_name: String,
        attrs: &[&Attribute],
        conditional: bool,
    ) -> Self {
        let mut stored = Self {
            ident: ident.clone(),
            default_name,
            name: None,
            was: Vec::new(),
            version: None,
            upcasts: Vec::new(),
            conditional,
            clean: true,
        };
        let mut keys = Keys::new(ctxt, EVENT_KEYS);
        for attr in attrs {
            let tokens = ctxt.ok(attr::keys_of(attr));
            let clean = tokens.is_some_and(|tokens| keys.read(tokens, |key, input| stored.read_value(key, input)));
            stored.clean &= clean;
        }
        stored
    }

    fn read_value(&mut self, key: &str, input: ParseStream<'_>) -> syn::Result<()> {
        match key {
            NAME => self.name = Some(checked_name(attr::text(input)?)?),
            WAS => self.was = attr::texts(input)?.into_iter().map(checked_name).collect::<syn::Result<_>>()?,
            VERSION => {
                input.parse::<Token![=]>()?;
                let (number, literal) = version(input)?;
                self.version = Some(Version { number, literal });
            }
            UPCAST => {
                let list;
                parenthesized!(list in input);
                self.upcasts = list.parse_terminated(Upcast::parse, Token![,])?.into_iter().collect();
            }
            _ => unreachable!("`Keys` knows these keys only"),
        }
        Ok(())
    }

    pub(crate) fn name(&self) -> String {
        self.name.as_ref().map_or_else(|| self.default_name.clone(), LitStr::value)
    }

    pub(crate) fn was(&self) -> &[LitStr] {
        &self.was
    }

    pub(crate) fn version(&self) -> u32 {
        self.version.as_ref().map_or(1, |version| version.number)
    }

    /// In the order of their versions.
    pub(crate) fn upcasts(&self) -> Vec<&Upcast> {
        let mut upcasts: Vec<&Upcast> = self.upcasts.iter().collect();
        upcasts.sort_by_key(|upcast| upcast.from);
        upcasts
    }

    /// The attribute for a variant that is called like `ident` in code: nothing if all of it is as usual there.
    pub(crate) fn attribute(&self, usual_name: &str) -> Option<TokenStream> {
        let mut keys = Vec::new();
        if let Some(name) = &self.name {
            keys.push(quote!(name = #name));
        } else if self.default_name != usual_name {
            let name = LitStr::new(&self.default_name, self.ident.span());
            keys.push(quote!(name = #name));
        }
        if !self.was.is_empty() {
            let was = &self.was;
            keys.push(quote!(was(#(#was),*)));
        }
        if let Some(Version { literal, .. }) = &self.version {
            keys.push(quote!(version = #literal));
        }
        if !self.upcasts.is_empty() {
            let upcasts = self.upcasts.iter().map(|Upcast { literal, ty, .. }| quote!(#literal => #ty));
            keys.push(quote!(upcast(#(#upcasts),*)));
        }
        (!keys.is_empty()).then(|| quote!(#[event(#(#keys),*)]))
    }

    /// The names under which it may be found, with the tokens to blame.
    fn names(&self) -> impl Iterator<Item = (String, &dyn ToTokens)> {
        let name: &dyn ToTokens = match &self.name {
            Some(literal) => literal,
            None => &self.ident,
        };
        std::iter::once((self.name(), name))
            .chain(self.was.iter().map(|was| -> (_, &dyn ToTokens) { (was.value(), was) }))
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

/// A stored name has 1 to 255 bytes.
pub(crate) fn checked_name(name: LitStr) -> syn::Result<LitStr> {
    match name.value().len() {
        0 => Err(Error::new(name.span(), format!("a stored name has 1 to {NAME_BYTES_MAX} bytes; this one is empty"))),
        bytes if bytes > NAME_BYTES_MAX => {
            Err(Error::new(name.span(), format!("a stored name has 1 to {NAME_BYTES_MAX} bytes; this one has {bytes}")))
        }
        _ => Ok(name),
    }
}

/// All rules for the stored side of the events of one enum.
pub(crate) fn check(ctxt: &Ctxt, events: &[&Stored]) {
    check_names_differ(ctxt, events);
    for stored in events.iter().filter(|stored| stored.clean) {
        check_upcasts_start_below_the_version(ctxt, stored);
        check_upcasts_differ(ctxt, stored);
        check_chain_has_no_gap(ctxt, stored);
    }
}

/// A stored name leads to one event: no two events share a name, be it today's or an older one.
fn check_names_differ(ctxt: &Ctxt, events: &[&Stored]) {
    let mut seen: Vec<(String, &Stored, &dyn ToTokens)> = Vec::new();
    for &stored in events {
        for (name, tokens) in stored.names() {
            let first = seen.iter().find(|(other, event, _)| {
                *other == name && (std::ptr::eq(*event, stored) || !(event.conditional || stored.conditional))
            });
            match first {
                Some((_, event, first)) if std::ptr::eq(*event, stored) => {
                    ctxt.collision(
                        tokens,
                        format!("event `{}` has the stored name `{name}` twice; remove one", stored.ident.unraw()),
                        first,
                        format!("`{name}` is first given here"),
                    );
                }
                // Declared twice, which is reported as such.
                Some((_, event, _)) if event.ident == stored.ident => {}
                Some((_, event, first)) => {
                    let [second, event] = [stored.ident.unraw(), event.ident.unraw()];
                    ctxt.collision(
                        tokens,
                        format!("events `{event}` and `{second}` are both stored as `{name}`; give one another `name`"),
                        first,
                        format!("`{event}` is stored as `{name}` because of this"),
                    );
                }
                None => seen.push((name, stored, tokens)),
            }
        }
    }
}

/// An upcast leads from an older version to the current one.
fn check_upcasts_start_below_the_version(ctxt: &Ctxt, stored: &Stored) {
    let current = stored.version();
    for Upcast { from, literal, .. } in &stored.upcasts {
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
fn check_upcasts_differ(ctxt: &Ctxt, stored: &Stored) {
    for (at, upcast) in stored.upcasts.iter().enumerate() {
        if let Some(first) = stored.upcasts[..at].iter().find(|first| first.from == upcast.from) {
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
fn check_chain_has_no_gap(ctxt: &Ctxt, stored: &Stored) {
    let Some(Version { number, literal }) = &stored.version else { return };
    let missing = (1..*number).find(|version| stored.upcasts.iter().all(|upcast| upcast.from != *version));
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
