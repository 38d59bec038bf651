//! The rules of a block: one function for each, with the rule above it. Nothing here generates code.

mod block;
mod event_enum;
mod methods;
mod names;
mod types;

use crate::ctxt::Ctxt;
use crate::model::Model;
use crate::stored::{self, Stored};

pub(crate) use block::{header, markers};
pub(crate) use event_enum::event_enum;
pub(crate) use methods::has_mut_self;

/// All rules for the finished model.
pub(crate) fn aggregate(ctxt: &Ctxt, model: &Model<'_>) {
    names::check(ctxt, model);
    methods::check(ctxt, model);
    types::check(ctxt, model);
    let stored: Vec<&Stored> = model.events.iter().map(|event| &event.stored).collect();
    stored::check(ctxt, &stored);
}
