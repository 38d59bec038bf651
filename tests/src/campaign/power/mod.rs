//! Loss of power, without losing it: what a program wrote, and when it synced it, is read from a log of strace; from that
//! it is known what must be on the disk, and made what may be.

mod disk;
mod line;
mod recording;

pub use disk::{Disk, Loss, Pending};
pub use recording::{Act, Deed, Node, Recording, recorded};
