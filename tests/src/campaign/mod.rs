//! What the campaigns share: they damage stores, or the programs that work on them, in many ways, and look at what is
//! left.
//!
//! | campaign | what it does | its share |
//! |---|---|---|
//! | `kill` | kills a process that works on a store, at moments that are drawn | `ANNALS_KILLS` |
//! | `calls` | kills one before each of its system calls, and lets those fail | `ANNALS_POINTS` |
//! | `calls`, `power` | makes of a store what power loss may leave of it | `ANNALS_IMAGES` |
//! | `flips` | changes each bit and each block of the files of a store | `ANNALS_FLIPS` |
//! | `limits` | gives one too little of something, or stops it for a while | |
//!
//! Each ends with a line that says what it found, which `ANNALS_SUMMARY` collects in a file. `ANNALS_SEED` repeats a run, and each failure says what else is needed for that.

mod contents;
mod damage;
mod image;
mod mounted;
pub mod power;
mod script;
mod setting;
pub mod strace;
mod summary;

pub use contents::{Contents, Trouble, contents, opened};
pub use damage::{Damage, FILES, Patient, STORE, Verdict};
pub use image::{Image, StoredFile, work_dir};
pub use mounted::Mounted;
pub use script::{HALF, STEPS, Script, ids, is_deleted_later};
pub use setting::{seed, setting};
pub use summary::summary;

pub use crate::random::Random;

/// In how many entities a life of the filler stores texts.
pub const ENTITIES_OF_A_LIFE: u64 = 4;
/// How many commands the entities get whose ends the kills may meet.
pub const COMMANDS_OF_A_LIFE: u64 = 3;
