//! Rules for the methods of a block without a marker. They stay as they are, so a step in one says who makes it.

use proc_macro2::Ident;
use syn::Path;

use crate::block::Method;
use crate::ctxt::Ctxt;
use crate::graph::Graph;
use crate::model::Model;
use crate::near::{nearest, unknown};
use crate::spell::spell;
use crate::symbol::{COMMAND, GOTO};
use crate::types::arguments;
use crate::words::{mentions, only_word};

pub(crate) fn check(ctxt: &Ctxt, model: &Model<'_>) {
    for helper in model.block.methods().filter(|method| method.markers.is_empty()) {
        if let Some(step) = model.bare_step(&helper.sig.output)
            && !check_is_meant(ctxt, model, helper)
        {
            check_says_who(ctxt, model, helper, step);
        }
    }
}

/// Says so if one of its attributes looks like a marker with a typing mistake.
fn check_is_meant(ctxt: &Ctxt, model: &Model<'_>, helper: &Method) -> bool {
    let markers = model.block.kind.own_markers();
    let words = helper.attrs.iter().filter_map(|attr| attr.path().get_ident());
    let meant = words.filter(|word| nearest(&word.to_string(), markers.iter().copied()).is_some()).collect::<Vec<_>>();
    for word in &meant {
        ctxt.error(word, unknown("marker", &word.to_string(), markers));
    }
    !meant.is_empty()
}

/// A step says who makes it.
fn check_says_who(ctxt: &Ctxt, model: &Model<'_>, helper: &Method, step: &Path) {
    let reply = arguments(step).and_then(|given| given.first().map(spell)).unwrap_or_else(|| "()".to_owned());
    let message = match &model.graph {
        None => format!(
            "this step doesn't say which aggregate makes it: write `Step<{reply}, Self>`; only methods that are marked \
             with `#[{COMMAND}]` need not say it"
        ),
        Some(graph) => of_machine(model, graph, helper, &reply),
    };
    ctxt.error(step, message);
}

/// In a machine that is a handler: the one that calls the helper, or any of several.
fn of_machine(model: &Model<'_>, graph: &Graph<'_>, helper: &Method, reply: &str) -> String {
    let module = &graph.module;
    let targets = targets(model, graph, helper);
    let callers = graph.ways.iter().filter(|way| mentions(way.method.body.stream(), &helper.sig.ident));
    let callers: Vec<&Ident> = callers.map(|way| &way.marker).collect();
    if callers.len() > 1 {
        let words = model.words(helper).calls(&helper.body);
        let stays = if words.iter().any(|call| call.word != GOTO) { " + Stays" } else { "" };
        let bounds: String = targets.iter().map(|state| format!(", `{module}::{state}: TargetOf<H>`")).collect();
        return format!(
            "a helper says for which handler it makes a step; this one, for several: `Step<{reply}, H>` with \
             `H: Handler<Aggregate = Self>{stays}`{bounds}"
        );
    }
    let any = graph.ways.first().map(|way| &way.marker);
    let caller = callers.first().copied().or(any).map_or_else(|| "..".to_owned(), ToString::to_string);
    let goes: String = targets.iter().map(|state| format!("; in it write `goto({module}::{state})`")).collect();
    format!("a helper says for which handler it makes a step: `Step<{reply}, {module}::on::{caller}>`{goes}")
}

/// The states that a helper goes to by their bare names, which only the words of a handler do.
fn targets(model: &Model<'_>, graph: &Graph<'_>, helper: &Method) -> Vec<Ident> {
    let mut targets = Vec::new();
    for call in model.words(helper).calls(&helper.body).iter().filter(|call| call.word == GOTO) {
        let state = only_word(call.arguments.stream()).filter(|state| graph.index_of(state).is_some());
        targets.extend(state.filter(|state| !targets.contains(state)));
    }
    targets
}
