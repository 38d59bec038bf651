//! The words of a handler, `Step`, `applying`, `stay` and `goto`, completed with who handles.
//!
//! `Step<R>` becomes `Step<R, H>` in a return type; in a body `stay()` becomes `stay::<H>()`, token by token, so also
//! inside of `vec![..]` and in bodies that can't be parsed. Everything else stays as it is.

use proc_macro2::{Delimiter, Group, Ident, Punct, Spacing, Span, TokenStream, TokenTree};
use quote::{ToTokens, quote_spanned};
use syn::parse::{ParseStream, Parser};
use syn::visit::{self, Visit};
use syn::visit_mut::{self, VisitMut};
use syn::{GenericArgument, Path, PathArguments, Token, Type, parse_quote, parse_quote_spanned};

use crate::crate_path::CratePath;
use crate::graph::Graph;
use crate::symbol::{FOR_MAX, GOTO, STEP, STEP_WORDS};
use crate::types::arguments;

pub(crate) struct Words<'a> {
    /// The `H` of a step: the aggregate, or the handler's own type.
    pub(crate) handler: &'a Path,
    pub(crate) crate_path: &'a CratePath,
    /// What `goto` may be given.
    pub(crate) graph: Option<&'a Graph<'a>>,
}

impl Words<'_> {
    /// Completes each `Step` in a type.
    pub(crate) fn complete_type(&self, ty: &mut Type) {
        CompleteSteps(self).visit_type_mut(ty);
    }

    fn complete_step(&self, path: &mut Path) {
        if !is_step(path, self.crate_path) {
            return;
        }
        let Some(step) = path.segments.last_mut() else { return };
        let span = step.ident.span();
        let handler = at(self.handler, span);
        match &mut step.arguments {
            PathArguments::None => {
                step.arguments = PathArguments::AngleBracketed(parse_quote_spanned!(span=> <(), #handler>));
            }
            PathArguments::AngleBracketed(given) if given.args.is_empty() => {
                given.args = parse_quote!((), #handler);
            }
            PathArguments::AngleBracketed(given) if matches!(given.args.first(), Some(GenericArgument::Type(_))) => {
                if given.args.len() == 1 {
                    given.args.push(parse_quote!(#handler));
                }
            }
            PathArguments::AngleBracketed(_) | PathArguments::Parenthesized(_) => {}
        }
    }

    /// Completes each call of a word in a body.
    pub(crate) fn complete_body(&self, body: &Group) -> Group {
        let mut completed = Group::new(body.delimiter(), self.complete_calls(body.stream()));
        completed.set_span(body.span());
        completed
    }

    fn complete_calls(&self, tokens: TokenStream) -> TokenStream {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let mut completed = TokenStream::new();
        for (index, token) in tokens.iter().enumerate() {
            match token {
                TokenTree::Group(group) if self.is_call_of_goto(&tokens[..index]) => {
                    completed.extend([TokenTree::Group(self.complete_target(group))]);
                }
                TokenTree::Group(group) => completed.extend([TokenTree::Group(self.complete_body(group))]),
                TokenTree::Ident(word) if self.is_call(word, &tokens[..index], tokens.get(index + 1)) => {
                    let handler = at(self.handler, word.span());
                    completed.extend(quote_spanned!(word.span()=> #word::<#handler>));
                }
                other => completed.extend([other.clone()]),
            }
        }
        completed
    }

    /// The calls of words in a body, from its first to its last.
    pub(crate) fn calls(&self, body: &Group) -> Vec<Call> {
        let mut calls = Vec::new();
        self.find_calls(body.stream(), &mut calls);
        calls
    }

    fn find_calls(&self, tokens: TokenStream, calls: &mut Vec<Call>) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        for (index, token) in tokens.iter().enumerate() {
            match (token, tokens.get(index + 1)) {
                (TokenTree::Ident(word), Some(TokenTree::Group(arguments)))
                    if self.is_call(word, &tokens[..index], Some(&tokens[index + 1])) =>
                {
                    let after = &tokens[index + 2..];
                    let is_limited = methods_after(after).any(|(method, _)| method == FOR_MAX);
                    let goes_after = goes_after(after);
                    calls.push(Call { word: word.clone(), arguments: arguments.clone(), is_limited, goes_after });
                }
                (TokenTree::Group(group), _) => self.find_calls(group.stream(), calls),
                _ => {}
            }
        }
    }

    fn is_call_of_goto(&self, before: &[TokenTree]) -> bool {
        matches!(before, [before @ .., TokenTree::Ident(word)] if word == GOTO && self.is_word(word, before))
    }

    /// The name of a state becomes the path of its marker: `goto(Open)` becomes `goto::<..>(door_fsm::Open)`.
    fn complete_target(&self, arguments: &Group) -> Group {
        let state = only_word(arguments.stream());
        let (Some(graph), Some(state)) = (self.graph, state) else { return self.complete_body(arguments) };
        if graph.index_of(&state).is_none() {
            return arguments.clone();
        }
        let module = at(&graph.module, state.span());
        let mut completed = Group::new(arguments.delimiter(), quote_spanned!(state.span()=> #module::#state));
        completed.set_span(arguments.span());
        completed
    }

    /// Whether `word` is one of ours, called by itself or through the crate: not a method, not a function's head, not
    /// another module's function, not yet completed.
    fn is_call(&self, word: &Ident, before: &[TokenTree], after: Option<&TokenTree>) -> bool {
        let called = matches!(after, Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Parenthesis);
        called && self.is_word(word, before)
    }

    fn is_word(&self, word: &Ident, before: &[TokenTree]) -> bool {
        if !STEP_WORDS.iter().any(|step_word| word == step_word) {
            return false;
        }
        match before {
            [.., TokenTree::Punct(first), TokenTree::Punct(second)] if is_path_separator(first, second) => {
                self.crate_path.is_here(&way_before(&before[..before.len() - 2]))
            }
            // `..stay()` is a range.
            [.., TokenTree::Punct(first), TokenTree::Punct(second)] if is_dot(first) && is_dot(second) => true,
            [.., TokenTree::Punct(punct)] => !is_dot(punct),
            [.., TokenTree::Ident(ident)] => ident != "fn",
            _ => true,
        }
    }
}

/// `goto(Open).for_max(..)`
pub(crate) struct Call {
    pub(crate) word: Ident,
    pub(crate) arguments: Group,
    /// Whether `for_max` is among the methods that are called on it.
    pub(crate) is_limited: bool,
    pub(crate) goes_after: Option<GoesAfter>,
}

/// A `.goto(Open)` among the methods that are called on the beginning of a step, where it can't go any more.
pub(crate) struct GoesAfter {
    pub(crate) goto: Ident,
    pub(crate) state: Group,
    /// The methods that are called before.
    pub(crate) methods: Vec<Ident>,
}

fn goes_after(tokens: &[TokenTree]) -> Option<GoesAfter> {
    let mut methods = Vec::new();
    for (method, given) in methods_after(tokens) {
        if let (true, Some(state)) = (method == GOTO, given) {
            return Some(GoesAfter { goto: method.clone(), state: state.clone(), methods });
        }
        methods.push(method.clone());
    }
    None
}

/// The methods that are called on what stands before, and what they are given: `.replying(..)?.for_max(..)`.
fn methods_after(tokens: &[TokenTree]) -> impl Iterator<Item = (&Ident, Option<&Group>)> {
    let mut rest = tokens;
    std::iter::from_fn(move || {
        loop {
            rest = match rest {
                [TokenTree::Punct(dot), TokenTree::Ident(method), after @ ..] if is_dot(dot) => {
                    rest = after;
                    let given = match after {
                        [TokenTree::Group(given), ..] if given.delimiter() == Delimiter::Parenthesis => Some(given),
                        _ => None,
                    };
                    return Some((method, given));
                }
                [TokenTree::Punct(punct), after @ ..] if punct.as_char() == '?' => after,
                [TokenTree::Group(arguments), after @ ..] if arguments.delimiter() == Delimiter::Parenthesis => after,
                _ => return None,
            };
        }
    })
}

/// The one word that these tokens are, perhaps with a comma.
pub(crate) fn only_word(tokens: TokenStream) -> Option<Ident> {
    let mut tokens = tokens.into_iter();
    let Some(TokenTree::Ident(word)) = tokens.next() else { return None };
    match (tokens.next(), tokens.next()) {
        (None, _) => Some(word),
        (Some(TokenTree::Punct(comma)), None) if comma.as_char() == ',' => Some(word),
        _ => None,
    }
}

/// The words with `::` between that these tokens are, perhaps with a comma.
pub(crate) fn only_path(tokens: TokenStream) -> Option<Path> {
    let parser = |input: ParseStream<'_>| {
        let path = input.call(Path::parse_mod_style)?;
        input.parse::<Option<Token![,]>>()?;
        Ok(path)
    };
    parser.parse2(tokens).ok()
}

/// Whether a word is among these tokens.
pub(crate) fn mentions(tokens: TokenStream, word: &Ident) -> bool {
    tokens.into_iter().any(|token| match token {
        TokenTree::Ident(ident) => ident == *word,
        TokenTree::Group(group) => mentions(group.stream(), word),
        TokenTree::Punct(_) | TokenTree::Literal(_) => false,
    })
}

/// The words of the path that ends before a `::`.
fn way_before(tokens: &[TokenTree]) -> Vec<&Ident> {
    let mut way = Vec::new();
    let mut rest = tokens;
    while let [before @ .., TokenTree::Ident(word)] = rest {
        way.insert(0, word);
        match before {
            [before @ .., TokenTree::Punct(first), TokenTree::Punct(second)] if is_path_separator(first, second) => {
                rest = before;
            }
            _ => break,
        }
    }
    way
}

fn is_path_separator(first: &Punct, second: &Punct) -> bool {
    first.as_char() == ':' && first.spacing() == Spacing::Joint && second.as_char() == ':'
}

fn is_dot(punct: &Punct) -> bool {
    punct.as_char() == '.'
}

/// Whether a path names the type `Step`.
pub(crate) fn is_step(path: &Path, crate_path: &CratePath) -> bool {
    crate_path.leads_to(path) && path.segments.last().is_some_and(|last| last.ident == STEP)
}

/// The first `Step` in a type that doesn't say who makes it: `Step`, `Step<u64>`.
pub(crate) fn bare_step<'t>(ty: &'t Type, crate_path: &CratePath) -> Option<&'t Path> {
    let is_bare = |step: &&Path| arguments(step).is_some_and(|arguments| arguments.len() < 2);
    steps(ty, crate_path).into_iter().find(is_bare)
}

/// Each `Step` in a type.
pub(crate) fn steps<'t>(ty: &'t Type, crate_path: &CratePath) -> Vec<&'t Path> {
    let mut find = FindSteps { crate_path, found: Vec::new() };
    find.visit_type(ty);
    find.found
}

struct FindSteps<'a, 't> {
    crate_path: &'a CratePath,
    found: Vec<&'t Path>,
}

impl<'t> Visit<'t> for FindSteps<'_, 't> {
    fn visit_path(&mut self, path: &'t Path) {
        if is_step(path, self.crate_path) {
            self.found.push(path);
        }
        visit::visit_path(self, path);
    }
}

/// The same tokens, blamed on `span`.
pub(crate) fn at(tokens: impl ToTokens, span: Span) -> TokenStream {
    tokens
        .into_token_stream()
        .into_iter()
        .map(|mut token| {
            token.set_span(span);
            token
        })
        .collect()
}

struct CompleteSteps<'a>(&'a Words<'a>);

impl VisitMut for CompleteSteps<'_> {
    fn visit_path_mut(&mut self, path: &mut Path) {
        visit_mut::visit_path_mut(self, path);
        self.0.complete_step(path);
    }
}

#[cfg(test)]
mod tests {
    use quote::quote;

    use super::*;

    fn completed(body: TokenStream) -> String {
        let (handler, crate_path) = (parse_quote!(A), CratePath::default());
        Words { handler: &handler, crate_path: &crate_path, graph: None }.complete_calls(body).to_string()
    }

    fn completed_type(mut ty: Type) -> String {
        let (handler, crate_path) = (parse_quote!(A), CratePath::default());
        Words { handler: &handler, crate_path: &crate_path, graph: None }.complete_type(&mut ty);
        crate::spell::spell(ty)
    }

    #[test]
    fn calls_by_themselves_and_through_the_crate_are_completed() {
        for (body, expected) in [
            (quote!(applying(x)), quote!(applying::<A>(x))),
            (quote!(annals::stay()), quote!(annals::stay::<A>())),
            (quote!(::annals::stay()), quote!(::annals::stay::<A>())),
            (
                quote!(if let Some(x) = y {
                    vec![goto(S)]
                }),
                quote!(if let Some(x) = y {
                    vec![goto::<A>(S)]
                }),
            ),
            (quote!(return stay()), quote!(return stay::<A>())),
            (quote!(x..stay()), quote!(x..stay::<A>())),
        ] {
            assert_eq!(completed(body), expected.to_string());
        }
    }

    #[test]
    fn methods_other_paths_and_completed_calls_stay() {
        for body in [
            quote!(step.applying(x)),
            quote!(
                fn stay() {}
            ),
            quote!(hotel::stay()),
            quote!(hotel::annals::stay()),
            quote!(stay::<B>()),
            quote!(let stay = applying;),
        ] {
            assert_eq!(completed(body.clone()), body.to_string());
        }
    }

    #[test]
    fn steps_are_completed_where_they_stand() {
        for (ty, expected) in [
            (parse_quote!(Step), quote!(Step<(), A>)),
            (parse_quote!(Step<u64>), quote!(Step<u64, A>)),
            (parse_quote!(Result<annals::Step<u64>, E>), quote!(Result<annals::Step<u64, A>, E>)),
            (parse_quote!(Alias<Step>), quote!(Alias<Step<(), A>>)),
            (parse_quote!(Step<u64, B>), quote!(Step<u64, B>)),
            (parse_quote!(dance::Step<u64>), quote!(dance::Step<u64>)),
        ] {
            assert_eq!(completed_type(ty), crate::spell::spell(expected));
        }
    }
}
