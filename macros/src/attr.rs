//! Reads the keys of an attribute: typed values, each key once, no unknown ones.

use proc_macro2::{Ident, TokenStream, TokenTree};
use syn::ext::IdentExt;
use syn::parse::{ParseStream, Parser};
use syn::spanned::Spanned;
use syn::token::Paren;
use syn::{Attribute, Error, LitStr, Meta, Path, Token, parenthesized};

use crate::ctxt::Ctxt;
use crate::near;
use crate::symbol::{FLAG_KEYS, LIST_KEYS, OPTIONAL_LIST_KEYS};

/// The keys that one item has been given so far.
pub(crate) struct Keys<'a> {
    ctxt: &'a Ctxt,
    known: &'static [&'static str],
    given: Vec<Ident>,
}

impl<'a> Keys<'a> {
    pub(crate) fn new(ctxt: &'a Ctxt, known: &'static [&'static str]) -> Self {
        Self { ctxt, known, given: Vec::new() }
    }

    /// Reads `key ..` after `key ..`, separated by commas. `read` takes what follows a key.
    ///
    /// A mistake in one key is reported, and the next key is read all the same. Tells whether there was none.
    pub(crate) fn read(
        &mut self,
        tokens: TokenStream,
        mut read: impl FnMut(&str, ParseStream<'_>) -> syn::Result<()>,
    ) -> bool {
        let ctxt = self.ctxt;
        let mut clean = true;
        let keys = |input: ParseStream<'_>| {
            while !input.is_empty() {
                if let Err(error) = self.read_one(input, &mut read) {
                    ctxt.push(error);
                    clean = false;
                }
                skip_to_comma(input)?;
            }
            Ok(())
        };
        // After a mistake the parser also complains of what was skipped.
        match keys.parse2(tokens) {
            Err(error) if clean => {
                ctxt.push(error);
                false
            }
            _ => clean,
        }
    }

    fn read_one(
        &mut self,
        input: ParseStream<'_>,
        read: &mut impl FnMut(&str, ParseStream<'_>) -> syn::Result<()>,
    ) -> syn::Result<()> {
        if !input.peek(Ident::peek_any) {
            return Err(input.error(format!("expected a key, one of: {}", self.known.join(", "))));
        }
        let key = input.call(Ident::parse_any)?;
        let word = key.to_string();
        if !self.known.contains(&word.as_str()) {
            return Err(Error::new(key.span(), near::unknown("key", &word, self.known)));
        }
        if let Some(first) = self.given.iter().find(|given| **given == key) {
            let mut error = Error::new(key.span(), format!("`{key}` is given twice; remove one"));
            error.combine(Error::new(first.span(), format!("`{key}` is first given here")));
            return Err(error);
        }
        self.given.push(key.clone());
        if FLAG_KEYS.contains(&word.as_str()) {
            if !input.is_empty() && !input.peek(Token![,]) {
                return Err(Error::new(key.span(), format!("`{key}` has no value: write `{key}` alone")));
            }
            return read(&word, input);
        }
        let is_optional = OPTIONAL_LIST_KEYS.contains(&word.as_str());
        if is_optional && (input.is_empty() || input.peek(Token![,])) {
            return read(&word, input);
        }
        // The end of an attribute has no span of its own worth showing, so a value that is missing is shown at its key.
        if input.is_empty() || input.peek(Token![,]) {
            return Err(Error::new(key.span(), format!("`{key}` needs a value: {}", example(&word))));
        }
        let is_list = is_optional || LIST_KEYS.contains(&word.as_str());
        if is_list != input.peek(Paren) || is_list == input.peek(Token![=]) {
            return Err(Error::new(key.span(), format!("`{key}` is written like this: {}", example(&word))));
        }
        read(&word, input)?;
        if !input.is_empty() && !input.peek(Token![,]) {
            return Err(input.error(format!("expected `,` after the value of `{key}`")));
        }
        Ok(())
    }
}

/// How a key is written.
fn example(key: &str) -> &'static str {
    use crate::symbol::{
        CODEC, COMMAND, CRATE, DERIVE, EVENT, EVERY, IGNORED_SINCE, KEEP, MOD, NAME, RETAIN, SERVICES, SNAPSHOT,
        STATES, UPCAST, VERSION, VIS, WAS,
    };
    match key {
        COMMAND => "`command = buy`",
        MOD => "`mod = order_machine`",
        STATES => "`states(initial Open, terminal Closed)`",
        CODEC => "`codec = json`",
        CRATE => "`crate = path::to::annals`",
        DERIVE => "`derive(Eq, Hash)`",
        EVENT => "`event = BankEvent`",
        EVERY => "`every = 1000`",
        IGNORED_SINCE => "`ignored_since = \"2.0\"`",
        KEEP => "`keep = 2`",
        NAME => "`name = \"stored_name\"`",
        RETAIN => "`retain = since_snapshot`",
        SERVICES => "`services = Mailer`",
        SNAPSHOT => "`snapshot`, or `snapshot(every = 1000)`",
        UPCAST => "`upcast(1 => OldShape)`",
        VERSION => "`version = 2`",
        VIS => "`vis = pub(crate)`",
        WAS => "`was(\"older_name\")`",
        _ => "see the documentation",
    }
}

/// Leaves out what is left of a value, and the comma after it.
pub(crate) fn skip_to_comma(input: ParseStream<'_>) -> syn::Result<()> {
    while !input.is_empty() && !input.peek(Token![,]) {
        input.parse::<TokenTree>()?;
    }
    input.parse::<Option<Token![,]>>()?;
    Ok(())
}

/// Reads `= word`.
pub(crate) fn word(input: ParseStream<'_>) -> syn::Result<Ident> {
    input.parse::<Token![=]>()?;
    let found = input.span();
    if input.peek(LitStr) {
        let text: LitStr = input.parse()?;
        let name = text.value();
        return Err(Error::new(found, format!("a name stands here without quotes: `{name}`")));
    }
    input.parse()
}

/// Reads `= "text"`.
pub(crate) fn text(input: ParseStream<'_>) -> syn::Result<LitStr> {
    input.parse::<Token![=]>()?;
    literal_text(input)
}

fn literal_text(input: ParseStream<'_>) -> syn::Result<LitStr> {
    let found = input.span();
    input.parse().map_err(|_| Error::new(found, "expected a name in quotes, such as `\"deposited\"`"))
}

/// Reads `("text", ..)`.
pub(crate) fn texts(input: ParseStream<'_>) -> syn::Result<Vec<LitStr>> {
    let list;
    parenthesized!(list in input);
    let texts = list.parse_terminated(literal_text, Token![,]);
    // Or the parser would complain of what is left, too.
    list.parse::<TokenStream>()?;
    Ok(texts?.into_iter().collect())
}

/// Reads `(Path, ..)`.
pub(crate) fn paths(input: ParseStream<'_>) -> syn::Result<Vec<Path>> {
    let list;
    parenthesized!(list in input);
    Ok(list.parse_terminated(Path::parse_mod_style, Token![,])?.into_iter().collect())
}

/// The keys between the parentheses of an attribute; none for a bare `#[event]`.
pub(crate) fn keys_of(attr: &Attribute) -> syn::Result<TokenStream> {
    match &attr.meta {
        Meta::Path(_) => Ok(TokenStream::new()),
        Meta::List(list) => Ok(list.tokens.clone()),
        Meta::NameValue(pair) => {
            let word = word_of(attr);
            Err(Error::new(pair.eq_token.span(), format!("expected `#[{word}]` or `#[{word}(..)]`")))
        }
    }
}

/// The last word of an attribute's path.
pub(crate) fn word_of(attr: &Attribute) -> String {
    attr.path().segments.last().map(|segment| segment.ident.to_string()).unwrap_or_default()
}
