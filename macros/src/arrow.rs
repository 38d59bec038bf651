//! What stands in `#[on(..)]`, `#[after(..)]` and in the lists of states of other markers, as it is written.

use proc_macro2::{Ident, Span, TokenStream, TokenTree};
use quote::quote;
use syn::ext::IdentExt;
use syn::parse::{ParseStream, Parser};
use syn::{Attribute, Error, Token};

use crate::attr::{Keys, keys_of, word, word_of};
use crate::ctxt::Ctxt;
use crate::duration::Duration;
use crate::symbol::ON_KEYS;

/// `A | B => C | stay`
#[derive(Default)]
pub(crate) struct Arrow {
    pub(crate) from: Vec<Ident>,
    pub(crate) to: Vec<Ident>,
}

/// Reads `#[on(A | B => C | stay, command = buy)]`. The command is read also after a mistake in the arrow.
pub(crate) fn on(ctxt: &Ctxt, attr: &Attribute) -> (Option<Arrow>, Option<Ident>) {
    let example = "`#[on(A => B)]`, or `#[on(A | B => C | stay)]`";
    let Some(tokens) = ctxt.ok(keys_of(attr)) else { return (None, None) };
    let (arrow, keys) = split_at_comma(tokens);
    if let Some(TokenTree::Ident(word)) = keys.clone().into_iter().next()
        && word.to_string().starts_with(char::is_uppercase)
    {
        ctxt.error(word, format!("states are separated by `|`: {example}"));
        return (None, None);
    }
    let arrow = ctxt.ok(whole(arrow, attr, example, |input| Arrow::parse(input, example)));
    let mut command = None;
    Keys::new(ctxt, ON_KEYS).read(keys, |_, input| {
        command = Some(word(input)?);
        Ok(())
    });
    (arrow, command)
}

/// Reads `#[after(30s, A => B)]`. The arrow is read also after a mistake in the duration.
pub(crate) fn after(ctxt: &Ctxt, attr: &Attribute) -> (Option<Duration>, Option<Arrow>) {
    let example = "`#[after(30s, A => B)]`";
    let Some(tokens) = ctxt.ok(keys_of(attr)) else { return (None, None) };
    let (duration, arrow) = split_at_comma(tokens);
    let duration = ctxt.ok(whole(duration, attr, example, |input| {
        Duration::parse(input, "a state must last some time: expected a duration such as `30s`")
    }));
    // Of an attribute without anything in it one mistake is enough.
    let arrow = (duration.is_some() || !arrow.is_empty())
        .then(|| ctxt.ok(whole(arrow, attr, example, |input| Arrow::parse(input, example))));
    (duration, arrow.flatten())
}

impl Arrow {
    fn parse(input: ParseStream<'_>, example: &str) -> syn::Result<Self> {
        let from = states(input, example)?;
        let last = from.last().map_or_else(Span::call_site, Ident::span);
        if input.peek(Token![,]) {
            return Err(input.error(format!("states are separated by `|`: {example}")));
        }
        if !input.peek(Token![=>]) {
            let found = if input.is_empty() { last } else { input.span() };
            return Err(Error::new(found, format!("expected `=>` and where it leads: {example}")));
        }
        let arrow: Token![=>] = input.parse()?;
        if input.is_empty() {
            return Err(Error::new_spanned(arrow, format!("expected a state, or `stay`, after this: {example}")));
        }
        Ok(Self { from, to: states(input, example)? })
    }
}

/// The states of `#[enter(A | B)]` and the like.
pub(crate) fn list(ctxt: &Ctxt, attr: &Attribute) -> Option<Vec<Ident>> {
    let example = format!("`#[{}(A | B)]`", word_of(attr));
    let tokens = ctxt.ok(keys_of(attr))?;
    ctxt.ok(whole(tokens, attr, &example, |input| states(input, &example)))
}

/// `A | B`
fn states(input: ParseStream<'_>, example: &str) -> syn::Result<Vec<Ident>> {
    let mut states = Vec::new();
    loop {
        let found = input.span();
        let state = if input.peek(Token![_]) {
            input.parse::<Token![_]>()?;
            Ident::new("_", found)
        } else if input.peek(Ident::peek_any) {
            input.call(Ident::parse_any)?
        } else {
            return Err(Error::new(found, format!("expected a state: {example}")));
        };
        states.push(state);
        if !input.peek(Token![|]) {
            return Ok(states);
        }
        let bar: Token![|] = input.parse()?;
        if input.is_empty() {
            return Err(Error::new_spanned(bar, format!("expected a state after this: {example}")));
        }
    }
}

/// Reads all of the tokens. If there are none, that is a mistake of the attribute.
fn whole<T>(
    tokens: TokenStream,
    attr: &Attribute,
    example: &str,
    parse: impl FnOnce(ParseStream<'_>) -> syn::Result<T>,
) -> syn::Result<T> {
    if tokens.is_empty() {
        return Err(Error::new_spanned(&attr.meta, format!("this is written like so: {example}")));
    }
    let parser = |input: ParseStream<'_>| {
        let read = parse(input)?;
        if input.is_empty() { Ok(read) } else { Err(input.error(format!("unexpected here: write {example}"))) }
    };
    parser.parse2(tokens)
}

fn split_at_comma(tokens: TokenStream) -> (TokenStream, TokenStream) {
    let is_comma = |token: &TokenTree| matches!(token, TokenTree::Punct(punct) if punct.as_char() == ',');
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let comma = tokens.iter().position(is_comma).unwrap_or(tokens.len());
    let (before, after) = (&tokens[..comma], tokens.get(comma + 1..).unwrap_or_default());
    (quote!(#(#before)*), quote!(#(#after)*))
}
