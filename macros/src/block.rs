//! An impl block, read so that the bodies of its methods may be anything.
//!
//! Bodies stay tokens: a half-typed one doesn't stop the macro, rustc reports it where it is, and nothing is spent on
//! parsing what isn't looked at.

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};
use quote::{ToTokens, TokenStreamExt};
use syn::parse::discouraged::Speculative;
use syn::parse::{ParseStream, Parser};
use syn::{Attribute, Error, ImplItem, ItemImpl, Signature, Visibility};

use crate::attr;
use crate::crate_path::CratePath;
use crate::ctxt::Ctxt;
use crate::symbol::{AGGREGATE, AGGREGATE_MARKERS, BLOCK_MACROS, COMMAND, FSM, FSM_MARKERS, MACHINE_MARKERS};

/// What is made of a block.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Aggregate,
    Machine,
}

pub(crate) struct Block {
    pub(crate) kind: Kind,
    /// The block without its items.
    pub(crate) header: ItemImpl,
    /// A second `#[aggregate]` or `#[fsm]`, taken away.
    pub(crate) other_macros: Vec<Attribute>,
    braces: Group,
    inner_attrs: Vec<Attribute>,
    pub(crate) items: Vec<Item>,
}

pub(crate) enum Item {
    Method(Box<Method>),
    /// A constant, say, or what can't be read.
    Other {
        markers: Vec<Attribute>,
        tokens: TokenStream,
    },
}

pub(crate) struct Method {
    /// Those that the macro takes away, such as `#[event]`.
    pub(crate) markers: Vec<Attribute>,
    /// All others.
    pub(crate) attrs: Vec<Attribute>,
    pub(crate) vis: Visibility,
    pub(crate) sig: Signature,
    pub(crate) body: Group,
}

impl Kind {
    /// The name of the macro.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Aggregate => AGGREGATE,
            Self::Machine => FSM,
        }
    }

    /// What marks a method in such a block.
    pub(crate) fn own_markers(self) -> &'static [&'static str] {
        match self {
            Self::Aggregate => AGGREGATE_MARKERS,
            Self::Machine => MACHINE_MARKERS,
        }
    }

    /// The attributes that are taken away from the items of a block, be they right there or not.
    fn markers(self) -> Vec<&'static str> {
        match self {
            Self::Aggregate => [AGGREGATE_MARKERS, FSM_MARKERS].concat(),
            Self::Machine => [MACHINE_MARKERS, &[COMMAND]].concat(),
        }
    }
}

impl Block {
    /// Reads the block and takes its markers away.
    ///
    /// # Errors
    ///
    /// If it is no impl block. An item that can't be read is reported, and the block goes on after it.
    pub(crate) fn read(ctxt: &Ctxt, item: &TokenStream, kind: Kind, crate_path: &CratePath) -> syn::Result<Self> {
        let word = kind.word();
        let no_impl = || Error::new_spanned(first_line(item), format!("`#[{word}]` belongs on an impl block"));
        let mut tokens: Vec<TokenTree> = item.clone().into_iter().collect();
        let Some(TokenTree::Group(braces)) = tokens.pop() else { return Err(no_impl()) };
        if braces.delimiter() != Delimiter::Brace {
            return Err(no_impl());
        }
        let mut empty = Group::new(Delimiter::Brace, TokenStream::new());
        empty.set_span(braces.span());
        tokens.push(TokenTree::Group(empty));
        let mut header: ItemImpl = syn::parse2(tokens.into_iter().collect()).map_err(|_| no_impl())?;

        let is_one_of = |words: &[&str], attr: &Attribute| {
            crate_path.leads_to(attr.path()) && words.contains(&attr::word_of(attr).as_str())
        };
        let other_macros = header.attrs.extract_if(.., |attr| is_one_of(BLOCK_MACROS, attr)).collect();
        let markers = kind.markers();
        let is_marker = |attr: &Attribute| is_one_of(&markers, attr);
        let read = |input: ParseStream<'_>| {
            let inner_attrs = input.call(Attribute::parse_inner)?;
            let mut items = Vec::new();
            while !input.is_empty() {
                items.push(Item::read(ctxt, input, &is_marker)?);
            }
            Ok((inner_attrs, items))
        };
        let (inner_attrs, items) = read.parse2(braces.stream())?;
        Ok(Self { kind, header, other_macros, braces, inner_attrs, items })
    }

    pub(crate) fn methods(&self) -> impl Iterator<Item = &Method> {
        self.items.iter().filter_map(|item| match item {
            Item::Method(method) => Some(&**method),
            Item::Other { .. } => None,
        })
    }

    /// The block again, with `write` for its methods.
    pub(crate) fn rewritten(&self, mut write: impl FnMut(&Method) -> TokenStream) -> TokenStream {
        let mut items = TokenStream::new();
        items.append_all(&self.inner_attrs);
        for item in &self.items {
            match item {
                Item::Method(method) => items.extend(write(method)),
                Item::Other { tokens, .. } => items.extend(tokens.clone()),
            }
        }
        let mut braces = Group::new(Delimiter::Brace, items);
        braces.set_span(self.braces.span());
        let mut block: Vec<TokenTree> = self.header.to_token_stream().into_iter().collect();
        block.pop();
        block.push(TokenTree::Group(braces));
        block.into_iter().collect()
    }
}

impl Item {
    fn read(ctxt: &Ctxt, input: ParseStream<'_>, is_marker: &impl Fn(&Attribute) -> bool) -> syn::Result<Self> {
        let (markers, attrs) = input.call(Attribute::parse_outer)?.into_iter().partition(is_marker);
        let ahead = input.fork();
        if let Ok((vis, sig, body)) = method(&ahead) {
            input.advance_to(&ahead);
            return Ok(Self::Method(Box::new(Method { markers, attrs, vis, sig, body })));
        }
        let mut tokens = TokenStream::new();
        tokens.append_all(&attrs);
        let ahead = input.fork();
        match ahead.parse::<ImplItem>() {
            Ok(item) => {
                input.advance_to(&ahead);
                item.to_tokens(&mut tokens);
            }
            Err(error) => {
                ctxt.push(error);
                skip_item(input, &mut tokens)?;
            }
        }
        Ok(Self::Other { markers, tokens })
    }
}

fn method(input: ParseStream<'_>) -> syn::Result<(Visibility, Signature, Group)> {
    let vis = input.parse()?;
    let sig = input.parse()?;
    match input.parse()? {
        TokenTree::Group(body) if body.delimiter() == Delimiter::Brace => Ok((vis, sig, body)),
        other => Err(Error::new(other.span(), "expected the body of a method")),
    }
}

/// An item that can't be read ends, at a guess, with its first `;` or braces.
fn skip_item(input: ParseStream<'_>, tokens: &mut TokenStream) -> syn::Result<()> {
    while !input.is_empty() {
        let token: TokenTree = input.parse()?;
        let ends = match &token {
            TokenTree::Punct(punct) => punct.as_char() == ';',
            TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
            TokenTree::Ident(_) | TokenTree::Literal(_) => false,
        };
        tokens.append(token);
        if ends {
            break;
        }
    }
    Ok(())
}

/// The item from behind its attributes to its body.
fn first_line(item: &TokenStream) -> TokenStream {
    let of_attribute = |token: &TokenTree| match token {
        TokenTree::Punct(punct) => punct.as_char() == '#',
        TokenTree::Group(group) => group.delimiter() == Delimiter::Bracket,
        TokenTree::Ident(_) | TokenTree::Literal(_) => false,
    };
    let is_body = |token: &TokenTree| matches!(token, TokenTree::Group(_));
    item.clone().into_iter().skip_while(of_attribute).take_while(|token| !is_body(token)).collect()
}
