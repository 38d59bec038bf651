//! The states of a machine: `states(initial A, B was("OlderB"), transient C, terminal D)`.

use proc_macro2::{Ident, Span};
use syn::ext::IdentExt;
use syn::parse::ParseStream;
use syn::token::Paren;
use syn::{Attribute, Error, LitStr, Token, parenthesized};

use crate::attr::{skip_to_comma, texts};
use crate::ctxt::Ctxt;
use crate::near;
use crate::stored::checked_name;
use crate::symbol::{INITIAL, STATE_WORDS, TERMINAL, TRANSIENT, WAS};

/// What `states(..)` says.
pub(crate) struct States {
    /// The list in its parentheses.
    pub(crate) span: Span,
    pub(crate) list: Vec<State>,
    /// Whether all of it could be read. Otherwise a state may be missing without being forgotten.
    pub(crate) clean: bool,
}

/// `terminal Closed was("Shut")`
#[derive(Clone)]
pub(crate) struct State {
    pub(crate) docs: Vec<Attribute>,
    /// What stands before the name.
    pub(crate) words: Vec<Ident>,
    pub(crate) ident: Ident,
    /// Older names under which it may be stored.
    pub(crate) was: Vec<LitStr>,
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
        while input.peek(Ident::peek_any) && input.peek2(Ident::peek_any) && !is_before_was(input) {
            words.push(input.call(Ident::parse_any)?);
        }
        if begins_was(input) {
            let message = "`was(..)` stands behind the name of its state: `Shut was(\"Closed\")`";
            return Err(Error::new(input.span(), message));
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
        let was = if begins_was(input) { was(input)? } else { Vec::new() };
        if begins_was(input) {
            return Err(input.error("`was` is given twice; write one list: `was(\"Closed\", \"Ajar\")`"));
        }
        if !input.is_empty() && !input.peek(Token![,]) {
            return Err(input.error("expected `,` between states"));
        }
        Ok(Self { docs, words, ident, was })
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

/// Whether `was(..)` is next. A state may also be called `was`.
fn begins_was(input: ParseStream<'_>) -> bool {
    let word = input.fork();
    word.parse::<Ident>().is_ok_and(|word| word == WAS) && word.peek(Paren)
}

/// Whether the next word is followed by `was(..)`, and so the name of a state.
fn is_before_was(input: ParseStream<'_>) -> bool {
    let ahead = input.fork();
    ahead.call(Ident::parse_any).is_ok() && begins_was(&ahead)
}

/// Reads `was("Closed", "Ajar")`.
fn was(input: ParseStream<'_>) -> syn::Result<Vec<LitStr>> {
    let word: Ident = input.parse()?;
    let was: Vec<LitStr> = texts(input)?.into_iter().map(checked_name).collect::<syn::Result<_>>()?;
    if was.is_empty() {
        return Err(Error::new(word.span(), "`was` has the older names of the state: `was(\"Closed\")`"));
    }
    Ok(was)
}
