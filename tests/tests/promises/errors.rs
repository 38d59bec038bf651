//! Every public error, each of its variants, is produced by some test.
//!
//! A test counts where the variant stands in an assertion: within `assert!`, `assert_eq!` and their like, also by a name
//! that the assertion uses; in the pattern of a `let .. else`, of the one arm of a `match` that doesn't panic, or of an arm
//! that asserts something; or as its message, written out.
//!
//! What a test has put in itself, it doesn't produce: a variant that it gives to a journal that is to fail so, or that a
//! journal of its own answers with.

use std::collections::BTreeSet;

use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens;
use syn::visit::{self, Visit};
use syn::{
    Arm, Attribute, Expr, ExprForLoop, ExprMatch, ExprMethodCall, Item, ItemFn, Lit, Local, Meta, Pat, Variant,
    Visibility,
};

use crate::sources::{Source, all, functions};

/// A variant, or an error that has none.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Case {
    file: String,
    error: String,
    variant: Option<String>,
    /// The literal parts of its message.
    message: Vec<String>,
}

/// `OpenError` and `Locked` of `OpenError::Locked`.
type Paths = BTreeSet<(String, String)>;

/// What the assertions of a test mention.
#[derive(Default)]
struct Asserted {
    paths: Paths,
    names: BTreeSet<String>,
    texts: Vec<String>,
}

#[test]
fn every_public_error_is_produced_by_a_test() {
    let sources = all();
    let cases = cases(&sources);
    assert!(cases.len() > 100, "only {} cases were found: the sources aren't read as they are written", cases.len());
    let mut tests: Vec<(String, Asserted)> = Vec::new();
    for source in &sources {
        let put_in = put_in_by_stand_ins(source);
        for function in functions(source) {
            tests.push((format!("{}: {}", source.path, function.sig.ident), asserted(function, &put_in)));
        }
    }
    let mut missing = Vec::new();
    for case in &cases {
        let name = case.variant.as_ref().map_or(case.error.clone(), |variant| format!("{}::{variant}", case.error));
        let found: Vec<_> = tests.iter().filter(|(_, asserted)| is_asserted(case, asserted)).collect();
        match found.as_slice() {
            [] => missing.push(format!("{name} ({})", case.file)),
            [(first, _), rest @ ..] => {
                println!("{name}: {first}, and {} more", rest.len());
            }
        }
    }
    assert!(missing.is_empty(), "no test produces these of {} errors:\n{}", cases.len(), missing.join("\n"));
}

fn is_asserted(case: &Case, asserted: &Asserted) -> bool {
    let named = match &case.variant {
        Some(variant) => asserted.paths.contains(&(case.error.clone(), variant.clone())),
        None => asserted.names.contains(&case.error),
    };
    named || asserted.texts.iter().any(|text| is_message(&case.message, text))
}

/// Whether a text has all the parts of a message, in order, and at least two words of it.
fn is_message(parts: &[String], text: &str) -> bool {
    let longest = parts.iter().map(|part| part.trim().len()).max();
    let mut rest = text;
    longest.is_some_and(|longest| longest >= 10)
        && parts.iter().all(|part| {
            let found = rest.split_once(part.as_str());
            rest = found.map_or("", |(_, behind)| behind);
            found.is_some()
        })
}

/// The public types that derive `thiserror::Error`.
fn cases(sources: &[Source]) -> Vec<Case> {
    let mut cases = Vec::new();
    for source in sources.iter().filter(|source| !source.is_test) {
        for item in &source.items {
            let case = |error: &syn::Ident, variant: Option<&Variant>, attributes: &[Attribute]| Case {
                file: source.path.clone(),
                error: error.to_string(),
                variant: variant.map(|variant| variant.ident.to_string()),
                message: message(attributes),
            };
            match item {
                Item::Enum(item) if is_public(&item.vis) && is_error(&item.attrs) => {
                    cases.extend(item.variants.iter().map(|variant| case(&item.ident, Some(variant), &variant.attrs)));
                }
                Item::Struct(item) if is_public(&item.vis) && is_error(&item.attrs) => {
                    cases.push(case(&item.ident, None, &item.attrs));
                }
                _ => {}
            }
        }
    }
    cases.sort();
    cases
}

fn is_public(visibility: &Visibility) -> bool {
    matches!(visibility, Visibility::Public(_))
}

fn is_error(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        Meta::List(list) if list.path.is_ident("derive") => {
            let derives = list.tokens.to_string().replace(' ', "");
            derives.split(',').any(|derive| derive == "thiserror::Error" || derive == "Error")
        }
        Meta::List(_) | Meta::Path(_) | Meta::NameValue(_) => false,
    })
}

/// What stands in the message between the fields.
fn message(attributes: &[Attribute]) -> Vec<String> {
    let list = attributes.iter().find_map(|attribute| match &attribute.meta {
        Meta::List(list) if list.path.is_ident("error") => Some(list),
        Meta::List(_) | Meta::Path(_) | Meta::NameValue(_) => None,
    });
    let text = list.and_then(|list| list.tokens.clone().into_iter().find_map(text_of)).unwrap_or_default();
    let mut parts = vec![String::new()];
    let mut depth = 0;
    for character in text.chars() {
        match character {
            '{' => depth += 1,
            '}' => {
                depth -= 1;
                parts.push(String::new());
            }
            _ if depth > 0 => {}
            _ => parts.last_mut().unwrap().push(character),
        }
    }
    parts.retain(|part| !part.is_empty());
    parts
}

fn text_of(token: TokenTree) -> Option<String> {
    let TokenTree::Literal(literal) = token else { return None };
    match Lit::new(literal) {
        Lit::Str(text) => Some(text.value()),
        _ => None,
    }
}

/// What the journals and stores that a file stands in for others with answer.
fn put_in_by_stand_ins(source: &Source) -> Paths {
    let mut put_in = Asserted::default();
    for item in &source.items {
        if let Item::Impl(item) = item
            && let Some((name, _)) = &item.trait_
            && name.segments.last().is_some_and(|name| name.ident == "Journal" || name.ident == "SnapshotStore")
            && source.is_test
        {
            put_in.take_in(item.to_token_stream());
        }
    }
    put_in.paths
}

fn asserted(function: &ItemFn, put_in: &Paths) -> Asserted {
    let mut seen = Seen::default();
    seen.visit_item_fn(function);
    let Seen { mut asserted, put_in: mut own, bound } = seen;
    asserted.follow(&bound);
    own.follow(&bound);
    asserted.paths.retain(|path| !own.paths.contains(path) && !put_in.contains(path));
    asserted
}

impl Asserted {
    /// What an assertion names, it asserts.
    fn follow(&mut self, bound: &[(String, TokenStream)]) {
        let mut open: Vec<String> = self.names.iter().cloned().collect();
        let mut done = BTreeSet::new();
        while let Some(name) = open.pop() {
            if !done.insert(name.clone()) {
                continue;
            }
            for tokens in bound.iter().filter(|(bound, _)| *bound == name).map(|(_, tokens)| tokens) {
                let before = self.names.clone();
                self.take_in(tokens.clone());
                open.extend(self.names.difference(&before).cloned());
            }
        }
    }
}

impl Asserted {
    fn take_in(&mut self, tokens: TokenStream) {
        let tokens: Vec<_> = tokens.into_iter().collect();
        for (index, token) in tokens.iter().enumerate() {
            match token {
                TokenTree::Group(_) if is_denied(&tokens[..index]) => {}
                TokenTree::Group(group) => self.take_in(group.stream()),
                TokenTree::Ident(name) => {
                    if !is_variant(&tokens[..index]) {
                        self.names.insert(name.to_string());
                    }
                    if let [TokenTree::Punct(one), TokenTree::Punct(two), TokenTree::Ident(variant), ..] =
                        &tokens[index + 1..]
                        && (one.as_char(), two.as_char()) == (':', ':')
                    {
                        self.paths.insert((name.to_string(), variant.to_string()));
                    }
                }
                TokenTree::Literal(_) => self.texts.extend(text_of(token.clone())),
                TokenTree::Punct(_) => {}
            }
        }
    }
}

/// Whether what follows is what `!matches!` looks for.
fn is_denied(before: &[TokenTree]) -> bool {
    let [.., not, TokenTree::Ident(name), bang] = before else { return false };
    is_punct(not, '!') && name == "matches" && is_punct(bang, '!')
}

/// Whether what follows is a part of the type before it.
fn is_variant(before: &[TokenTree]) -> bool {
    let [.., TokenTree::Ident(name), one, two] = before else { return false };
    let is_type = name.to_string().starts_with(char::is_uppercase);
    is_type && is_punct(one, ':') && is_punct(two, ':')
}

fn is_punct(token: &TokenTree, character: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == character)
}

/// What was found in a function.
#[derive(Default)]
struct Seen {
    asserted: Asserted,
    /// What a journal is told to fail with.
    put_in: Asserted,
    /// Names that stand for something, which an assertion may use.
    bound: Vec<(String, TokenStream)>,
}

const ASSERTIONS: [&str; 8] = [
    "assert",
    "assert_eq",
    "assert_matches",
    "prop_assert",
    "prop_assert_eq",
    "assert_snapshot",
    "assert_debug_snapshot",
    "prop_assert_matches",
];

/// What a test tells a journal in memory to answer.
const PUT_IN: [&str; 3] = ["refuse_next", "refuse_nth", "fail_reads"];

impl<'ast> Visit<'ast> for Seen {
    fn visit_macro(&mut self, item: &'ast syn::Macro) {
        if is_called(item, &ASSERTIONS) {
            self.asserted.take_in(item.tokens.clone());
        }
    }

    fn visit_expr_method_call(&mut self, call: &'ast ExprMethodCall) {
        // The words in which the cases of conformance assert.
        if call.method == "is" || call.method == "holds" {
            self.asserted.take_in(call.args.to_token_stream());
        }
        if PUT_IN.iter().any(|method| call.method == method) {
            self.put_in.take_in(call.args.to_token_stream());
        }
        visit::visit_expr_method_call(self, call);
    }

    fn visit_local(&mut self, local: &'ast Local) {
        if let Some(init) = &local.init {
            if init.diverge.is_some() {
                self.asserted.take_in(local.pat.to_token_stream());
            }
            self.bind(&local.pat, &init.expr);
        }
        visit::visit_local(self, local);
    }

    fn visit_expr_for_loop(&mut self, item: &'ast ExprForLoop) {
        self.bind(&item.pat, &item.expr);
        visit::visit_expr_for_loop(self, item);
    }

    fn visit_expr_match(&mut self, item: &'ast ExprMatch) {
        let left: Vec<_> = item.arms.iter().filter(|arm| !panics(arm)).collect();
        if let [arm] = left.as_slice()
            && item.arms.len() > 1
        {
            self.asserted.take_in(arm.pat.to_token_stream());
        }
        visit::visit_expr_match(self, item);
    }

    fn visit_arm(&mut self, arm: &'ast Arm) {
        if let Expr::Macro(body) = &*arm.body
            && is_called(&body.mac, &ASSERTIONS)
        {
            self.asserted.take_in(arm.pat.to_token_stream());
        }
        visit::visit_arm(self, arm);
    }
}

impl Seen {
    fn bind(&mut self, pattern: &Pat, value: &Expr) {
        let mut names = Asserted::default();
        names.take_in(pattern.to_token_stream());
        self.bound.extend(names.names.into_iter().map(|name| (name, value.to_token_stream())));
    }
}

fn panics(arm: &Arm) -> bool {
    matches!(&*arm.body, Expr::Macro(body) if is_called(&body.mac, &["panic", "unreachable"]))
}

fn is_called(item: &syn::Macro, names: &[&str]) -> bool {
    item.path.segments.last().is_some_and(|segment| names.contains(&segment.ident.to_string().as_str()))
}
