//! `#[aggregate]` and `#[fsm]`, from the tokens to the tokens.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Attribute, Path, Type};

use crate::attr::word_of;
use crate::block::{Block, Item, Kind, Method};
use crate::check;
use crate::ctxt::Ctxt;
use crate::expand;
use crate::graph::Graph;
use crate::model::{Marked, Model, ident_of};
use crate::options::Options;
use crate::symbol::{AFTER, AGGREGATE_KEYS, BESIDE_ON, COMMAND, ENTER, EVENT, EXIT, FSM_KEYS, ON, QUERY};

pub(crate) fn aggregate(keys: TokenStream, item: &TokenStream) -> TokenStream {
    declared(keys, item, Kind::Aggregate)
}

/// A machine is an aggregate with a graph.
pub(crate) fn fsm(keys: TokenStream, item: &TokenStream) -> TokenStream {
    declared(keys, item, Kind::Machine)
}

fn declared(keys: TokenStream, item: &TokenStream, kind: Kind) -> TokenStream {
    let ctxt = Ctxt::new();
    let known = match kind {
        Kind::Aggregate => AGGREGATE_KEYS,
        Kind::Machine => FSM_KEYS,
    };
    let options = Options::read(&ctxt, keys, known);
    let block = match Block::read(&ctxt, item, kind, &options.crate_path) {
        Ok(block) => block,
        Err(error) => {
            ctxt.push(error);
            return with_mistakes(item, ctxt);
        }
    };
    check::header(&ctxt, &block);
    let Some(ty) = plain_type(&block) else {
        return with_mistakes(&expand::block_alone(&block, &options.crate_path), ctxt);
    };
    let marked = marked(&ctxt, &block);
    let graph =
        (kind == Kind::Machine).then(|| Graph::read(&ctxt, &options, &ident_of(&ty), &marked.ways, &marked.hooks));
    let model = Model::new(&ctxt, &block, &options, ty, &marked, graph);
    check::aggregate(&ctxt, &model);
    match ctxt.finish() {
        Ok(()) => expand::aggregate(&model),
        Err(mistakes) => {
            let (mistakes, stub) = (mistakes.into_compile_error(), expand::stub(model));
            quote!(#mistakes #stub)
        }
    }
}

fn with_mistakes(item: &TokenStream, ctxt: Ctxt) -> TokenStream {
    let mistakes = ctxt.finish().err().map(syn::Error::into_compile_error);
    quote!(#mistakes #item)
}

/// The type of the block, if it is a path without parameters.
fn plain_type(block: &Block) -> Option<Path> {
    match &*block.header.self_ty {
        Type::Path(ty) if ty.qself.is_none() && ty.path.segments.iter().all(|part| part.arguments.is_empty()) => {
            Some(ty.path.clone())
        }
        _ => None,
    }
}

/// Sorts the marked methods.
fn marked<'a>(ctxt: &Ctxt, block: &'a Block) -> Marked<'a> {
    let mut marked = Marked::default();
    for item in &block.items {
        let (markers, method) = match item {
            Item::Method(method) => (&method.markers, Some(&**method)),
            Item::Other { markers, .. } => (markers, None),
        };
        check::markers(ctxt, block.kind, markers, method);
        let Some(method) = method else { continue };
        let Some((word, marker)) = decisive(method) else { continue };
        match (word.as_str(), block.kind) {
            (EVENT, _) => marked.events.push((method, marker)),
            (QUERY, _) => marked.queries.push(method),
            (COMMAND, Kind::Aggregate) => marked.handlers.push(method),
            (COMMAND | ON | AFTER, Kind::Machine) => {
                marked.handlers.push(method);
                marked.ways.push((method, marker));
            }
            (ENTER | EXIT, Kind::Machine) => marked.hooks.push((method, marker)),
            _ => {}
        }
    }
    marked
}

/// The marker that counts. A second one is a mistake, after which the receiver tells what was probably meant.
fn decisive(method: &Method) -> Option<(String, &Attribute)> {
    let words = method.markers.iter().map(|marker| (word_of(marker), marker));
    let mut markers = words.filter(|(word, _)| !BESIDE_ON.contains(&word.as_str()));
    let first = markers.next()?;
    let changes_data = check::has_mut_self(&method.sig);
    if (first.0 == EVENT) == changes_data {
        return Some(first);
    }
    Some(markers.find(|(word, _)| (word == EVENT) == changes_data).unwrap_or(first))
}
