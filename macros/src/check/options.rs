//! Rules for what `#[aggregate(..)]` and `#[fsm(..)]` are given.

use crate::ctxt::Ctxt;
use crate::model::Model;
use crate::options::Options;
use crate::retention::Retained;
use crate::spell::spell;
use crate::symbol::RETAIN;

pub(crate) fn check(ctxt: &Ctxt, model: &Model<'_>) {
    check_deleted_events_have_a_snapshot(ctxt, model.options);
}

/// Events are deleted only where a snapshot stands for them.
fn check_deleted_events_have_a_snapshot(ctxt: &Ctxt, options: &Options) {
    let Some(retention) = options.retention.as_ref().filter(|_| options.snapshots.is_none()) else { return };
    // A `snapshot` that can't be read is reported by itself.
    if options.clean && !matches!(retention.what, Retained::All) {
        let what = spell(&retention.tokens);
        ctxt.error(
            &retention.tokens,
            format!(
                "`{RETAIN} = {what}` deletes events that a snapshot stands for, and none is taken: add \
                 `snapshot(every = 1000)`, or remove this"
            ),
        );
    }
}
