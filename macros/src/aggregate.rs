//! `#[aggregate]`, from the tokens to the tokens.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Attribute, Path, Type};

use crate::attr::word_of;
use crate::block::{Block, Item, Method};
use crate::check;
use crate::ctxt::Ctxt;
use crate::expand;
use crate::model::{Marked, Model};
use crate::options::Options;
use crate::symbol::{AGGREGATE_MARKERS, COMMAND, EVENT, FSM_MARKERS, QUERY};

pub(crate) fn aggregate(keys: TokenStream, item: &TokenStream) -> TokenStream {
    let ctxt = Ctxt::new();
    let options = Options::read(&ctxt, keys);
    let markers = [AGGREGATE_MARKERS, FSM_MARKERS].concat();
    let block = match Block::read(&ctxt, item, "aggregate", &markers, &options.crate_path) {
        Ok(block) => block,
        Err(error) => {
            ctxt.push(error);
            return with_mistakes(item, ctxt);
        }
    };
    check::header(&ctxt, &block);
    let Some(ty) = plain_type(&block) else {
        return with_mistakes(&block.rewritten(expand::unmarked), ctxt);
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
        check::markers(ctxt, markers, method);
        let Some(method) = method else { continue };
        let Some((word, marker)) = decisive(method) else { continue };
        match word.as_str() {
            EVENT => marked.events.push((method, marker)),
            COMMAND => marked.commands.push(method),
            QUERY => marked.queries.push(method),
            _ => {}
        }
    }
    marked
}

/// The marker that counts. A second one is a mistake, after which the receiver tells what was probably meant.
fn decisive(method: &Method) -> Option<(String, &Attribute)> {
    let mut markers = method.markers.iter().map(|marker| (word_of(marker), marker));
    let first = markers.next()?;
    let changes_data = check::has_mut_self(&method.sig);
    if (first.0 == EVENT) == changes_data {
        return Some(first);
    }
    Some(markers.find(|(word, _)| (word == EVENT) == changes_data).unwrap_or(first))
}
