//! What only a mistake of annals itself brings about.

use std::any::Any;

use super::*;
use crate::call::{Failure, Parcel, Port as _, Unsent};
use crate::journal::MemoryJournal;
use crate::key::Key;
use crate::system::mailbox::{ShardPort, Side};

/// For an aggregate that nobody has made known.
struct Astray;

impl Parcel for Astray {
    fn unpack(self: Box<Self>, _: &mut dyn Any) {}

    fn fail(self: Box<Self>, _: Failure) {}

    fn set_key(&mut self, _: Key, _: Box<dyn Any + Send>) {}
}

#[tokio::test]
async fn a_shard_that_panicked_takes_no_more_and_is_told_by_the_shutdown() {
    let system = System::builder().shards(2).start(MemoryJournal::new()).unwrap();
    let port = |shard: usize| {
        let mailbox = system.inner.mailboxes[shard].clone();
        ShardPort { aggregate: "nobody's", store: 7, mailbox, side: Side::Outside }
    };
    assert!(port(0).try_send(0, Box::new(Astray)).is_ok());
    let stopped = loop {
        match port(0).try_send(0, Box::new(Astray)) {
            Ok(()) | Err(Unsent::Full { .. }) => tokio::task::yield_now().await,
            Err(Unsent::Stopped) => break system.shutdown().await,
        }
    };
    assert_eq!(stopped, Err(ShutdownError::ShardPanicked));
}
