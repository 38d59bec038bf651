//! Where the generated code finds annals.

use proc_macro2::{Ident, TokenStream};
use quote::{ToTokens, quote};
use syn::{LitStr, Path, Token, parse_quote};

/// The path of the crate `annals`: `::annals`, or what `crate = ..` says.
#[derive(Clone)]
pub(crate) struct CratePath {
    path: Path,
    given: bool,
}

impl CratePath {
    pub(crate) fn given(path: Path) -> Self {
        Self { path, given: true }
    }

    /// The key to hand on to a derive; nothing if it wasn't given.
    pub(crate) fn key(&self) -> Option<TokenStream> {
        let path = &self.path;
        self.given.then(|| quote!(#[event(crate = #path)]))
    }

    /// The path of serde, as text: serde's derive reads it so.
    pub(crate) fn serde(&self) -> LitStr {
        let Self { path, .. } = self;
        let text: String = quote!(#path::__rt::serde).to_string();
        LitStr::new(&text.replace(' ', ""), proc_macro2::Span::call_site())
    }

    /// Whether `path` names something of annals: it is one word, or it leads there from `annals` or the given path.
    pub(crate) fn leads_to(&self, path: &Path) -> bool {
        let words: Vec<&Ident> = path.segments.iter().map(|segment| &segment.ident).collect();
        words.split_last().is_some_and(|(_, way)| way.is_empty() || self.is_here(way))
    }

    /// Whether these words, with `::` between, name the crate: `annals`, or how the given path ends.
    pub(crate) fn is_here(&self, way: &[&Ident]) -> bool {
        let path: Vec<&Ident> = self.path.segments.iter().map(|segment| &segment.ident).collect();
        matches!(way, [word] if *word == "annals") || (!way.is_empty() && path.ends_with(way))
    }
}

impl Default for CratePath {
    fn default() -> Self {
        Self { path: parse_quote!(::annals), given: false }
    }
}

impl ToTokens for CratePath {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        self.path.to_tokens(tokens);
    }
}

/// Reads `= path`.
pub(crate) fn parse(input: syn::parse::ParseStream<'_>) -> syn::Result<CratePath> {
    input.parse::<Token![=]>()?;
    input.call(Path::parse_mod_style).map(CratePath::given)
}
