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
        while input.peek(Ident::peek_any) && input.peek2(Ident::peek_any) && !names_before_list(input) {
            words.push(input.call(Ident::parse_any)?);
        }
        if begins_list(input, WAS) {
            let message = "`was(..)` stands behind the name of its state: `Shut was(\"Closed\")`";
            let misplaced = Error::new(input.span(), message);
            input.parse::<Ident>()?;
            texts(input)?;
            if ends(input) {
                return Err(misplaced);
            }
            ctxt.push(misplaced);
        }
        if let Some(unknown) = words.iter().find(|word| !is_state_word(word)) {
            return Err(Error::new(unknown.span(), near::unknown("word", &unknown.to_string(), STATE_WORDS)));
        }
        let expected = "expected the name of a state, such as `Open` or `terminal Closed`";
        if input.is_empty() {
            return Err(Error::new(words.last().map_or(list, Ident::span), expected));
        }
        let found = input.span();
        let ident: Ident = input.parse().map_err(|_| Error::new(found, expected))?;
        if is_state_word(&ident) {
            return Err(Error::new(ident.span(), format!("expected the name of a state after `{ident}`")));
        }
        // What is wrong behind its name doesn't make it another state.
        let was = ctxt.ok(older_names(input)).unwrap_or_default();
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

fn is_state_word(ident: &Ident) -> bool {
    STATE_WORDS.iter().any(|word| ident == word)
}

/// Whether the next word is the name of a state, and not a word before it: behind it stands `was`, or something in
/// parentheses that is meant so. A state may be called `was`, too.
fn names_before_list(input: ParseStream<'_>) -> bool {
    let ahead = input.fork();
    let Ok(name) = ahead.call(Ident::parse_any) else { return false };
    !is_state_word(&name) && ahead.parse::<Ident>().is_ok_and(|word| word == WAS || ahead.peek(Paren))
}

fn begins_list(input: ParseStream<'_>, word: &str) -> bool {
    let ahead = input.fork();
    ahead.parse::<Ident>().is_ok_and(|ident| ident == word) && ahead.peek(Paren)
}

fn ends(input: ParseStream<'_>) -> bool {
    input.is_empty() || input.peek(Token![,])
}

/// Reads what stands behind the name of a state: nothing, or `was("Closed", "Ajar")`.
fn older_names(input: ParseStream<'_>) -> syn::Result<Vec<LitStr>> {
    if ends(input) {
        return Ok(Vec::new());
    }
    let found = input.span();
    let between = "expected `,` between states";
    let word: Ident = input.parse().map_err(|_| Error::new(found, between))?;
    if word != WAS {
        let is_list = input.peek(Paren);
        let unknown = near::unknown("word", &word.to_string(), &[WAS]);
        return Err(Error::new(found, if is_list { unknown } else { between.to_owned() }));
    }
    let example = "older names are written like this: `Shut was(\"Closed\", \"Ajar\")`";
    if !input.peek(Paren) {
        return Err(Error::new(found, example));
    }
    let was: Vec<LitStr> = texts(input)?.into_iter().map(checked_name).collect::<syn::Result<_>>()?;
    if was.is_empty() || begins_list(input, WAS) {
        return Err(Error::new(found, example));
    }
    if ends(input) { Ok(was) } else { Err(input.error(between)) }
}
