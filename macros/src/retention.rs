//! When snapshots are taken, and how long the events before them are kept: `snapshot(every = 1000, keep = 2)` and
//! `retain = since_snapshot`.

use proc_macro2::{Ident, Span, TokenStream, TokenTree};
use syn::parse::{ParseStream, Parser};
use syn::token::Paren;
use syn::{Error, LitInt, Token, parenthesized};

use crate::attr::Keys;
use crate::ctxt::Ctxt;
use crate::duration::Duration;
use crate::near;
use crate::symbol::{ALL, EVERY, KEEP, RETENTIONS, SINCE_SNAPSHOT, SNAPSHOT_KEYS};

/// How many are kept, if nobody says.
const KEEP_USUALLY: &str = "2";

/// What `snapshot` or `snapshot(..)` says.
pub(crate) struct Snapshots {
    /// After how many records one is taken; nothing if only on request.
    pub(crate) every: Option<LitInt>,
    pub(crate) keep: LitInt,
}

/// What `retain = ..` says.
pub(crate) struct Retention {
    /// What is written there.
    pub(crate) tokens: TokenStream,
    pub(crate) what: Retained,
}

/// Which events are kept.
pub(crate) enum Retained {
    All,
    SinceSnapshot,
    For(Duration),
}

impl Snapshots {
    /// Reads what stands behind `snapshot`: nothing, or `(every = 1000, keep = 2)`.
    pub(crate) fn read(ctxt: &Ctxt, input: ParseStream<'_>) -> syn::Result<Self> {
        let mut snapshots = Self { every: None, keep: LitInt::new(KEEP_USUALLY, Span::call_site()) };
        if !input.peek(Paren) {
            return Ok(snapshots);
        }
        let list;
        parenthesized!(list in input);
        Keys::new(ctxt, SNAPSHOT_KEYS).read(list.parse()?, |key, value| {
            match key {
                EVERY => snapshots.every = Some(number(value, "a snapshot is taken after a number of records")?),
                KEEP => snapshots.keep = number(value, "at least one snapshot is kept")?,
                _ => unreachable!("`Keys` knows these keys only"),
            }
            Ok(())
        });
        Ok(snapshots)
    }
}

/// Reads `= 1000`: a number from 1.
fn number(input: ParseStream<'_>, why: &str) -> syn::Result<LitInt> {
    input.parse::<Token![=]>()?;
    let found = input.span();
    let literal: LitInt = input.parse().map_err(|_| Error::new(found, format!("{why}: expected a number from 1")))?;
    match literal.base10_parse::<u32>() {
        Ok(1..) if literal.suffix().is_empty() => Ok(literal),
        _ => Err(Error::new(found, format!("{why}: expected a number from 1 to {}, found `{literal}`", u32::MAX))),
    }
}

impl Retention {
    /// Reads `= since_snapshot`, `= 90d` or `= PATH`.
    pub(crate) fn read(input: ParseStream<'_>) -> syn::Result<Self> {
        let equals: Token![=] = input.parse()?;
        let mut tokens = TokenStream::new();
        while !input.is_empty() && !input.peek(Token![,]) {
            tokens.extend([input.parse::<TokenTree>()?]);
        }
        if tokens.is_empty() {
            return Err(Error::new_spanned(equals, format!("expected one of: {}", RETENTIONS.join(", "))));
        }
        let word = |input: ParseStream<'_>| input.parse::<Ident>();
        let what = match word.parse2(tokens.clone()) {
            Ok(word) if word == ALL => Retained::All,
            Ok(word) if word == SINCE_SNAPSHOT => Retained::SinceSnapshot,
            // Constants are written in capitals.
            Ok(word) if word.to_string().contains(char::is_lowercase) => {
                return Err(Error::new(word.span(), near::unknown("retention", &word.to_string(), RETENTIONS)));
            }
            _ => {
                let zero = "events that are kept for no time are those of `retain = since_snapshot`: write that, or a \
                            duration such as `90d`";
                Retained::For((|input: ParseStream<'_>| Duration::parse(input, zero)).parse2(tokens.clone())?)
            }
        };
        Ok(Self { tokens, what })
    }
}

#[cfg(test)]
mod tests {
    use quote::quote;

    use super::*;

    fn retention(tokens: TokenStream) -> syn::Result<Retained> {
        Retention::read.parse2(tokens).map(|retention| retention.what)
    }

    #[test]
    fn a_retention_is_a_word_a_duration_or_a_constant() {
        assert!(matches!(retention(quote!(= all)), Ok(Retained::All)));
        assert!(matches!(retention(quote!(= since_snapshot)), Ok(Retained::SinceSnapshot)));
        assert!(matches!(retention(quote!(= 90d)), Ok(Retained::For(Duration::Literal { .. }))));
        for constant in [quote!(= KEPT), quote!(= Self::KEPT), quote!(= kept::for_long)] {
            assert!(matches!(retention(constant), Ok(Retained::For(Duration::Constant(_)))));
        }
    }

    #[test]
    fn other_words_and_no_time_are_refused() {
        for tokens in [
            quote!(= since_snapshots),
            quote!(= All),
            quote!(= 0d),
            quote!(= 90),
            quote!(= 90d d),
            quote!(= "90d"),
            quote!(=),
        ] {
            let text = tokens.to_string();
            assert!(retention(tokens).is_err(), "{text}");
        }
    }
}
