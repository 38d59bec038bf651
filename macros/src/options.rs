//! What `#[aggregate(..)]` and `#[fsm(..)]` are given.

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::parse::ParseStream;
use syn::{Error, Ident, LitStr, Path, Token, Type, Visibility, parse_quote};

use crate::attr::{self, Keys};
use crate::crate_path::{self, CratePath};
use crate::ctxt::Ctxt;
use crate::retention::{Retention, Snapshots};
use crate::states::States;
use crate::symbol::{
    CODEC, CODECS, CRATE, DERIVE, EVENT, EXHAUSTIVE, FORGETTABLE, JSON, MOD, NAME, RETAIN, SERVICES, SNAPSHOT, STATES,
    VIS,
};
use crate::{near, stored};

pub(crate) struct Options {
    pub(crate) name: Option<LitStr>,
    /// The user's own event enum.
    pub(crate) event: Option<Path>,
    pub(crate) codec: Codec,
    pub(crate) services: Type,
    /// Whether and when snapshots are taken.
    pub(crate) snapshots: Option<Snapshots>,
    /// Which events are kept.
    pub(crate) retention: Option<Retention>,
    /// Whether streams are encrypted, so that they can be forgotten.
    pub(crate) forgettable: bool,
    /// How far the generated items can be seen.
    pub(crate) vis: Visibility,
    /// Derived by the generated enums beside what they derive in any case.
    pub(crate) derives: Vec<Path>,
    pub(crate) crate_path: CratePath,
    /// The states of a machine.
    pub(crate) states: Option<States>,
    /// Whether each state says what to do with each command.
    pub(crate) exhaustive: bool,
    /// What the module of a machine's markers is called.
    pub(crate) module: Option<Ident>,
    /// Whether all keys could be read. Otherwise one may be missing without being forgotten.
    pub(crate) clean: bool,
}

#[derive(Clone, Copy)]
pub(crate) enum Codec {
    MessagePack,
    Json,
}

impl Options {
    pub(crate) fn read(ctxt: &Ctxt, tokens: TokenStream, known: &'static [&'static str]) -> Self {
        let mut options = Self {
            name: None,
            event: None,
            codec: Codec::MessagePack,
            services: parse_quote!(()),
            snapshots: None,
            retention: None,
            forgettable: false,
            vis: parse_quote!(pub),
            derives: Vec::new(),
            crate_path: CratePath::default(),
            states: None,
            exhaustive: false,
            module: None,
            clean: true,
        };
        options.clean = Keys::new(ctxt, known).read(tokens, |key, input| options.read_value(ctxt, key, input));
        options
    }

    fn read_value(&mut self, ctxt: &Ctxt, key: &str, input: ParseStream<'_>) -> syn::Result<()> {
        match key {
            NAME => self.name = Some(stored::checked_name(attr::text(input)?)?),
            DERIVE => self.derives = attr::paths(input)?,
            CRATE => self.crate_path = crate_path::parse(input)?,
            EVENT => {
                input.parse::<Token![=]>()?;
                self.event = Some(input.call(Path::parse_mod_style)?);
            }
            CODEC => {
                input.parse::<Token![=]>()?;
                self.codec = codec(input)?;
            }
            SERVICES => {
                input.parse::<Token![=]>()?;
                self.services = input.parse()?;
            }
            SNAPSHOT => self.snapshots = Some(Snapshots::read(ctxt, input)?),
            RETAIN => self.retention = Some(Retention::read(input)?),
            FORGETTABLE => self.forgettable = true,
            VIS => {
                input.parse::<Token![=]>()?;
                self.vis = visibility(input)?;
            }
            STATES => self.states = Some(States::read(ctxt, input)?),
            EXHAUSTIVE => self.exhaustive = true,
            MOD => self.module = Some(attr::word(input)?),
            _ => unreachable!("`Keys` knows these keys only"),
        }
        Ok(())
    }
}

fn codec(input: ParseStream<'_>) -> syn::Result<Codec> {
    let found = input.span();
    let word: Ident = input.parse().map_err(|_| {
        Error::new(found, format!("expected the name of a codec, without quotes: {}", CODECS.join(", ")))
    })?;
    match word.to_string().as_str() {
        JSON => Ok(Codec::Json),
        crate::symbol::MESSAGE_PACK => Ok(Codec::MessagePack),
        other => Err(Error::new(word.span(), near::unknown("codec", other, CODECS))),
    }
}

fn visibility(input: ParseStream<'_>) -> syn::Result<Visibility> {
    match input.parse()? {
        Visibility::Inherited => Err(input.error("expected a visibility, such as `pub(crate)` or `pub(self)`")),
        vis => Ok(vis),
    }
}

impl ToTokens for Codec {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        tokens.extend(match self {
            Codec::MessagePack => quote!(MessagePack),
            Codec::Json => quote!(Json),
        });
    }
}
