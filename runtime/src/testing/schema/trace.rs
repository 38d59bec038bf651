//! Finds out what a type reads: a deserializer that gives whatever is asked for, and takes notes.
//!
//! One run shows one way through a type. What can't be known before is tried in further runs: each variant, each field
//! left out, another sample where one was refused. All of it is bounded, and what isn't found out is noted as opaque.

mod asked;
mod notes;
mod samples;

use std::cell::RefCell;
use std::rc::Rc;

use super::shape::Shape;
use crate::codec::{Codec, DecodeError, Payload};
use crate::contain::contained;

pub(crate) use asked::Asked;
use notes::Notes;

thread_local! {
    /// The notes of the run that is on; whoever decodes a payload takes them.
    static RUN: RefCell<Option<Rc<RefCell<Notes>>>> = const { RefCell::new(None) };
}

/// What `read` decodes; `None` if it decodes nothing.
pub(super) fn shape_of<T>(codec: Codec, read: impl Fn(Payload<'static>) -> Result<T, DecodeError>) -> Option<Shape> {
    let notes = Rc::new(RefCell::new(Notes::new(codec == Codec::Json)));
    let run = || {
        RUN.set(Some(notes.clone()));
        // What the user's code makes of a sample is of no interest, even if it panics.
        let _ = contained(|| drop(read(Payload { codec, bytes: &[] })));
        let taken = RUN.take().is_none();
        notes.borrow_mut().finish(taken)
    };
    notes::explore(&notes, run).then(|| notes.borrow().shape())
}

/// What a type is to read from instead of a payload, if its shape is being found out in this thread.
pub(crate) fn samples() -> Option<Asked> {
    RUN.take().map(Asked::whole)
}

#[cfg(test)]
#[expect(dead_code, reason = "the types are only read")]
mod tests;
