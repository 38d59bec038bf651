//! What the programs of this crate measure with: the entity that takes notes.

pub mod notebook;
