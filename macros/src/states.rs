//! The states of a machine: `states(initial A, B, transient C, terminal D)`.

use proc_macro2::{Ident, Span};
use syn::ext::IdentExt;
use syn::parse::ParseStream;
use syn::{Attribute, Error, Token, parenthesized};

use crate::attr::skip_to_comma;
use crate::ctxt::Ctxt;
use crate::near;
use crate::symbol::{INITIAL, STATE_WORDS, TERMINAL, TRANSIENT};

/// What `states(..)` says.
pub(crate) struct States {
    /// The list in its parentheses.
    pub(crate) span: Span,
    pub(crate) list: Vec<State>,
    /// Whether all of it could be read. Otherwise a state may be missing without being forgotten.
    pub(crate) clean: bool,
}

/// `terminal Closed`
#[derive(Clone)]
pub(crate) struct State {
    pub(crate) docs: Vec<Attribute>,
    /// What stands before the name.
    pub(crate) words: Vec<Ident>,
    pub(crate) ident: Ident,
}

impl States {
    /// Reads `(state, ..)`. A mistake in one state is reported, and the next one is read all the same.
    pub(crate) fn read(ctxt: &Ctxt, input: ParseStream<'_>) -> syn::Result<Self> {
        let list;
        let parentheses = parenthesized!(list in input);
        let mut states = Self { span: parentheses.span.join(), list: Vec::new(), clean: true };
        while !list.is_empty() {
            match State::read(ctxt, &list, states.span) {
                Ok(state) => states.list.push(state),
                Err(error) => {
                    ctxt.push(error);
                    states.clean = false;
                }
            }
            skip_to_comma(&list)?;
        }
        Ok(states)
    }
}

impl State {
    fn read(ctxt: &Ctxt, input: ParseStream<'_>, list: Span) -> syn::Result<Self> {
        let (docs, others): (Vec<Attribute>, Vec<Attribute>) =
            input.call(Attribute::parse_outer)?.into_iter().partition(|attr| attr.path().is_ident("doc"));
        for attr in others {
            ctxt.error(attr, "a state has docs and no other attributes; remove this");
        }
        let mut words = Vec::new();
        while input.peek(Ident::peek_any) && input.peek2(Ident::peek_any) {
            words.push(input.call(Ident::parse_any)?);
        }
        if let Some(unknown) = words.iter().find(|word| !STATE_WORDS.iter().any(|known| *word == known)) {
            return Err(Error::new(unknown.span(), near::unknown("word", &unknown.to_string(), STATE_WORDS)));
        }
        let expected = "expected the name of a state, such as `Open` or `terminal Closed`";
        if input.is_empty() {
            return Err(Error::new(words.last().map_or(list, Ident::span), expected));
        }
        let found = input.span();
        let ident: Ident = input.parse().map_err(|_| Error::new(found, expected))?;
        if STATE_WORDS.iter().any(|word| ident == word) {
            return Err(Error::new(ident.span(), format!("expected the name of a state after `{ident}`")));
        }
        if !input.is_empty() && !input.peek(Token![,]) {
            return Err(input.error("expected `,` between states"));
        }
        Ok(Self { docs, words, ident })
    }

    /// The name as it is told and stored.
    pub(crate) fn name(&self) -> String {
        self.ident.unraw().to_string()
    }

    fn is(&self, word: &str) -> bool {
        self.words.iter().any(|given| given == word)
    }

    pub(crate) fn is_initial(&self) -> bool {
        self.is(INITIAL)
    }

    pub(crate) fn is_terminal(&self) -> bool {
        self.is(TERMINAL)
    }

    pub(crate) fn is_transient(&self) -> bool {
        self.is(TRANSIENT)
    }
}
