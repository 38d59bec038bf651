//! The rules of a block: one function for each, with the rule above it. Nothing here generates code.

mod block;
mod bodies;
mod deadlines;
mod event_enum;
mod graph;
mod helpers;
mod hooks;
mod methods;
mod names;
mod options;
mod serde;
mod snapshot;
mod states;
mod types;
mod ways;

use crate::ctxt::Ctxt;
use crate::graph::Graph;
use crate::model::Model;
use crate::stored::{self, Stored};

pub(crate) use block::{header, markers};
pub(crate) use bodies::{is_camel, misuse};
pub(crate) use event_enum::event_enum;
pub(crate) use methods::has_mut_self;
pub(crate) use snapshot::snapshot_data;
pub(crate) use states::own_graph;

/// All rules for the finished model.
pub(crate) fn aggregate(ctxt: &Ctxt, model: &Model<'_>) {
    options::check(ctxt, model);
    names::check(ctxt, model);
    helpers::check(ctxt, model);
    methods::check(ctxt, model);
    types::check(ctxt, model);
    let stored: Vec<&Stored> = model.events.iter().map(|event| &event.stored).collect();
    stored::check(ctxt, &stored);
    if let Some(graph) = &model.graph {
        machine(ctxt, model, graph);
    }
}

/// All rules for what makes a machine of an aggregate.
fn machine(ctxt: &Ctxt, model: &Model<'_>, graph: &Graph<'_>) {
    states::check(ctxt, model, graph);
    ways::check(ctxt, model, graph);
    deadlines::check(ctxt, model, graph);
    hooks::check(ctxt, graph);
    bodies::check(ctxt, model, graph);
    graph::check(ctxt, model, graph);
}
