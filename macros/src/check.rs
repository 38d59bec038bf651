//! The rules of a block: one function for each.
use crate::block::{Block, Method};
use crate::ctxt::Ctxt;
use crate::model::Model;
use syn::Attribute;
pub(crate) fn header(_: &Ctxt, _: &Block) {}
pub(crate) fn markers(_: &Ctxt, _: &[Attribute], _: Option<&Method>) {}
pub(crate) fn aggregate(_: &Ctxt, _: &Model<'_>) {}
