//! How an event is stored: `#[event(..)]` on a method or a variant, and the rules for it.

use proc_macro2::{Ident, TokenStream};
use quote::{ToTokens, quote};
use syn::ext::IdentExt;
use syn::parse::ParseStream;
use syn::{Attribute, Error, LitStr, Token};

use crate::attr::{self, Keys};
use crate::ctxt::Ctxt;
use crate::symbol::{EVENT_KEYS, IGNORED_SINCE, NAME, UPCAST, VERSION, WAS};
use crate::versions::{self, Versions};

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
    pub(crate) versions: Versions,
    ignored_since: Option<LitStr>,
    /// Whether a `#[cfg]` may remove it.
    conditional: bool,
    /// Whether all keys could be read. Otherwise a version or an upcast may be missing without being forgotten.
    clean: bool,
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
            versions: Versions::default(),
            ignored_since: None,
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
            VERSION => self.versions.read_version(input)?,
            IGNORED_SINCE => self.ignored_since = Some(since(input)?),
            UPCAST => self.versions.read_upcasts(input)?,
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

    /// Since when it is read and changes nothing.
    pub(crate) fn ignored_since(&self) -> Option<&LitStr> {
        self.ignored_since.as_ref()
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
        keys.extend(self.versions.keys());
        if let Some(since) = &self.ignored_since {
            keys.push(quote!(ignored_since = #since));
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

/// Reads `= "2.0"`.
fn since(input: ParseStream<'_>) -> syn::Result<LitStr> {
    let expected = "expected since when it is ignored, in quotes, such as `\"2.0\"`";
    input.parse::<Token![=]>()?;
    let found = input.span();
    let since: LitStr = input.parse().map_err(|_| Error::new(found, expected))?;
    if since.value().is_empty() { Err(Error::new(found, expected)) } else { Ok(since) }
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
        match stored.ignored_since {
            None => versions::check(ctxt, &stored.versions),
            Some(_) => versions::check_of_ignored(ctxt, &stored.versions),
        }
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
