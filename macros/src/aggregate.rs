//! `#[aggregate]`, from the tokens to the tokens.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Path, Type};

use crate::attr::word_of;
use crate::block::{Block, Item};
use crate::check;
use crate::ctxt::Ctxt;
use crate::expand;
use crate::model::{Marked, Model};
use crate::options::Options;
use crate::symbol::{AGGREGATE_MARKERS, COMMAND, EVENT, FSM_MARKERS, QUERY};

pub(crate) fn aggregate(keys: TokenStream, item: TokenStream) -> TokenStream {
    let ctxt = Ctxt::new();
    let options = Options::read(&ctxt, keys);
    let markers = [AGGREGATE_MARKERS, FSM_MARKERS].concat();
    let block = match Block::read(&ctxt, &item, "aggregate", &markers, &options.crate_path) {
        Ok(block) => block,
        Err(error) => {
            ctxt.push(error);
            return with_mistakes(item, ctxt);
        }
    };
    check::header(&ctxt, &block);
    let Some(ty) = plain_type(&block) else {
        return with_mistakes(block.rewritten(expand::unmarked), ctxt);
    };
    let model = Model::new(&ctxt, &block, &options, ty, &marked(&ctxt, &block));
    check::aggregate(&ctxt, &model);
    match ctxt.finish() {
        Ok(()) => expand::aggregate(&model),
        Err(mistakes) => {
            let (mistakes, stub) = (mistakes.into_compile_error(), expand::stub(model));
            quote!(#mistakes #stub)
        }
    }
}

fn with_mistakes(item: TokenStream, ctxt: Ctxt) -> TokenStream {
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
            Item::Method(method) => (&method.markers, Some(method)),
            Item::Other { markers, .. } => (markers, None),
        };
        check::markers(ctxt, markers, method);
        let (Some(first), Some(method)) = (markers.first(), method) else { continue };
        match word_of(first).as_str() {
            // Further markers are mistakes.
            EVENT => marked.events.push((method, first)),
            COMMAND => marked.commands.push(method),
            QUERY => marked.queries.push(method),
            _ => {}
        }
    }
    marked
}
