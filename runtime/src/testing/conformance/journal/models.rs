//! Whatever is done to a journal, it is afterwards what a model of it is.

use super::super::at;
use super::super::chance::Chance;
use super::super::told::Shown;
use super::hand::{Hand, InFlight, Placed, Seen, Subject, conflict, is_bad_run, stored};
use super::{Forgets, rules};
use crate::id::{PersistenceId, SeqNr, StreamNo};
use crate::journal::{Due, Fut, Outcome, Run, Why, len_u64};

const STREAMS: usize = 4;
const ROUNDS: usize = 12;
const REPEATS: usize = 6;

/// What a stream must be. Every other one is begun as one that can be forgotten.
#[derive(Default, Clone)]
struct Model {
    /// Each record's payload; the tombstone's is missing.
    records: Vec<Option<Vec<u8>>>,
    /// Its runs: offset, first sequence number, records.
    runs: Vec<(u64, u64, u64)>,
    floor: u64,
    ended: bool,
    forgotten: bool,
    due: Option<i64>,
}

/// What is to come of something that was handed over.
enum Expected {
    /// A run of so many records is stored.
    Run {
        stream: usize,
        first: u64,
        records: u64,
    },
    /// A deletion is done.
    Done,
    Refused(Outcome),
    BadRun,
}

enum Waits {
    Group(InFlight),
    Outcome(Fut<'static, Outcome>),
}

impl Model {
    fn last(&self) -> u64 {
        len_u64(self.records.len())
    }

    fn events(&self) -> Vec<Seen> {
        let numbered = (1..).zip(&self.records).filter(|(seq, _)| *seq > self.floor);
        numbered.filter_map(|(seq, event)| Some(Seen(seq, Shown(event.clone()?)))).collect()
    }
}

fn any_due(chance: &mut Chance) -> Due {
    match chance.below(4) {
        0 => Due::Cleared,
        1 => Due::At(at(i64::try_from(chance.below(5)).unwrap_or(0))),
        _ => Due::Unchanged,
    }
}

/// Hands something over to one stream, and does the same to its model.
fn hand_over(
    j: Hand<'_>,
    chance: &mut Chance,
    stream: StreamNo,
    id: &PersistenceId,
    index: usize,
    model: &mut Model,
) -> (Waits, Expected) {
    let forgettable = index.is_multiple_of(2);
    match chance.below(10) {
        0..6 => {
            let right = model.last() + 1;
            let wrong = if chance.once_in(8) { chance.below(5) } else { 2 };
            let first = (right + wrong).saturating_sub(2).max(1);
            let ends = chance.once_in(12);
            let due = if ends { Due::Cleared } else { any_due(chance) };
            let payloads: Vec<Vec<u8>> = (0..=chance.below(3)).map(|event| format!("{first} {event}").into()).collect();
            let slices: Vec<&[u8]> = payloads.iter().map(Vec::as_slice).collect();
            let run =
                if ends { j.run_that_ends(stream, id, first, &slices) } else { j.run(stream, id, first, &slices) };
            let group = j.begin(vec![Run { due, forgettable, ..run }]);
            let expected = if model.ended {
                Expected::Refused(Outcome::NotStored(Why::Ended { last: SeqNr(model.last()) }))
            } else if first != right {
                Expected::Refused(conflict(first - 1, model.last()))
            } else {
                model.records.extend(payloads.into_iter().map(Some));
                if ends {
                    model.records.push(None);
                    (model.floor, model.ended) = (model.last() - 1, true);
                }
                match due {
                    Due::Unchanged => {}
                    Due::Cleared => model.due = None,
                    Due::At(due) => model.due = Some(due.as_microsecond()),
                }
                Expected::Run { stream: index, first, records: model.last() + 1 - first }
            };
            (Waits::Group(group), expected)
        }
        6..9 => {
            let to = (model.last() + 1).saturating_sub(chance.below(8));
            let outcome = j.begin_delete(stream, to);
            if to > model.last() {
                return (Waits::Outcome(outcome), Expected::BadRun);
            }
            model.floor = model.floor.max(to);
            (Waits::Outcome(outcome), Expected::Done)
        }
        _ => {
            let outcome = j.begin_forget(stream);
            let forgets = match j.store().forgets() {
                Forgets::Nothing => false,
                Forgets::WhatBeganSo => forgettable,
                Forgets::Everything => true,
            };
            if model.last() > 0 && !forgets {
                return (Waits::Outcome(outcome), Expected::Refused(Outcome::NotStored(Why::NotForgettable)));
            }
            if !model.ended {
                return (Waits::Outcome(outcome), Expected::BadRun);
            }
            (model.floor, model.forgotten) = (model.last(), true);
            (Waits::Outcome(outcome), Expected::Done)
        }
    }
}

/// Hands much over at once, and looks at what became of it.
fn round(j: Hand<'_>, chance: &mut Chance, ids: &[PersistenceId], models: &mut [Model], durable: &mut u64) {
    let streams: Vec<_> = ids.iter().map(|id| j.open(id).stream).collect();
    let waiting: Vec<_> = (0..=chance.below(7))
        .map(|_| {
            let index = chance.index(STREAMS);
            hand_over(j, chance, streams[index], &ids[index], index, &mut models[index])
        })
        .collect();
    for (waits, expected) in waiting {
        let outcome = match waits {
            Waits::Group(group) => j.outcomes(group).remove(0),
            Waits::Outcome(outcome) => j.outcome("what was deleted or forgotten", outcome),
        };
        match expected {
            Expected::Run { stream, first, records } => {
                let Some(offset) = stored(&outcome) else {
                    j.fail(&format!("the run from {first} of stream {stream}"), "Stored", &format!("{outcome:?}"))
                };
                j.by(&rules::OFFSETS).holds("its offset", &format!("more than {durable}"), &offset, offset > *durable);
                models[stream].runs.push((offset, first, records));
                *durable = offset + (records - 1);
            }
            Expected::Done => {
                j.by(&rules::DELETE).holds("the outcome", "Stored", &outcome, stored(&outcome).is_some());
            }
            Expected::Refused(expected) => j.is("the outcome", outcome, expected),
            Expected::BadRun => {
                j.by(&rules::DELETE_BEYOND).holds("the outcome", "BadRun", &outcome, is_bad_run(&outcome));
            }
        }
    }
    for stream in streams {
        j.close_stream(stream);
    }
}

/// Compares all that can be seen.
fn compare(j: Hand<'_>, ids: &[PersistenceId], models: &[Model], durable: u64) {
    j.by(&rules::DURABLE).is("Journal::durable", j.durable(), durable);
    let (mut order, mut armed) = (Vec::new(), Vec::new());
    for (id, model) in ids.iter().zip(models) {
        let head = j.head(id);
        let expected = (model.last(), model.floor, model.ended);
        j.by(&rules::OPEN).is(
            &format!("(last, floor, ended) of {id}"),
            (head.last.0, head.floor.0, head.ended),
            expected,
        );
        j.by(&rules::READ).is(&format!("the events of {id}"), j.events(id), model.events());
        let name = (model.last() > 0 && !model.forgotten).then(|| id.clone());
        j.by(&rules::STREAM_ID).is(&format!("the name of the stream of {id}"), j.name(head.stream), Ok(name));
        let left = model.runs.iter().filter(|(_, first, records)| first + records - 1 > model.floor);
        let stream = head.stream.0;
        order.extend(left.map(|&(offset, first, records)| Placed { offset, stream, first, records }));
        armed.extend(model.due.map(|due| (due, stream)));
    }
    order.sort_unstable();
    armed.sort_unstable();
    j.by(&rules::READ_ALL).is("all runs", j.order_by(200), order.clone());
    j.by(&rules::READ_ALL).is("all runs in one page", j.order_by(usize::MAX), order);
    j.by(&rules::ARMED).is("(time, stream) of what is armed", j.armed(), armed);
}

pub(super) fn whatever_is_done_to_it_it_is_what_its_model_is(s: &mut Subject<'_>) {
    let mut chance = s.told().chance();
    let mut durable = 0;
    for repeat in 0..REPEATS {
        // Streams of their own each time, on one store: a store may be slow to make.
        let ids: Vec<_> =
            (0..STREAMS).map(|index| PersistenceId::new(format!("model {repeat}"), index.to_string())).collect();
        if repeat > 0 {
            clear(s.hand(), repeat);
        }
        let mut models = vec![Model::default(); STREAMS];
        for _ in 0..ROUNDS {
            round(s.hand(), &mut chance, &ids, &mut models, &mut durable);
            compare(s.hand(), &ids, &models, durable);
            match chance.below(6) {
                0 => s.reopen(),
                1 => s.crash(),
                _ => continue,
            }
            compare(s.hand(), &ids, &models, durable);
        }
        durable = s.hand().durable();
        for (id, model) in ids.iter().zip(&models) {
            if model.last() > 0 && !model.ended {
                s.hand().put_end(id, &[]);
                durable = s.hand().durable();
            }
        }
    }
}

/// Deletes all that the streams of the models before hold, so that the order has only what is new.
fn clear(j: Hand<'_>, repeat: usize) {
    for index in 0..STREAMS {
        let id = PersistenceId::new(format!("model {}", repeat - 1), index.to_string());
        let head = j.head(&id);
        if head.floor < head.last {
            j.deletes(&id, head.last.0);
        }
    }
    j.is("all runs, when all are deleted", j.order(), vec![]);
}
