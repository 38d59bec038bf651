//! The way into a shard, and its bounds.
//!
//! A shard's mailbox is divided into lanes, and an entity always uses the same one: a flooded entity fills its own lane
//! and leaves the others free. A place in a lane is taken by the sender and given back when the command is handled, so
//! the bound holds for the mailbox and the entities' queues together.

use std::pin::Pin;
use std::sync::Arc;

use tokio::sync::{Semaphore, TryAcquireError, mpsc};

use crate::call::{Parcel, Port, Stopped, Unsent};

/// How many lanes a mailbox has.
pub(crate) const LANES: usize = 8;

/// A message on its way to an entity.
pub(crate) struct Delivery {
    /// Which of the shard's stores it is for.
    pub(crate) store: u32,
    /// The hash of the entity's id.
    pub(crate) hash: u64,
    pub(crate) parcel: Box<dyn Parcel>,
}

/// The lanes of one shard.
pub(crate) struct Lanes {
    free: [Semaphore; LANES],
    places: usize,
}

impl Lanes {
    fn new(places: usize) -> Self {
        Self { free: std::array::from_fn(|_| Semaphore::new(places)), places }
    }

    fn of(&self, hash: u64) -> &Semaphore {
        let lane = (hash >> 32) % 8;
        &self.free[usize::try_from(lane).unwrap_or(0)]
    }

    /// Gives places back.
    pub(crate) fn leave(&self, hash: u64, places: usize) {
        self.of(hash).add_permits(places);
    }

    /// Takes no more messages.
    pub(crate) fn close(&self) {
        self.free.iter().for_each(Semaphore::close);
    }
}

/// The sending half of a mailbox.
#[derive(Clone)]
pub(crate) struct Mailbox {
    sender: mpsc::Sender<Delivery>,
    lanes: Arc<Lanes>,
}

/// Makes a mailbox for `places_max` messages.
pub(crate) fn mailbox(places_max: usize) -> (Mailbox, mpsc::Receiver<Delivery>, Arc<Lanes>) {
    let lanes = Arc::new(Lanes::new(places_max.div_ceil(LANES)));
    let (sender, receiver) = mpsc::channel(lanes.places * LANES);
    (Mailbox { sender, lanes: lanes.clone() }, receiver, lanes)
}

impl Mailbox {
    /// Sends a delivery for which a place was taken.
    fn deliver(&self, delivery: Delivery) -> Result<(), Stopped> {
        // The channel has a slot for each place of every lane, so it is closed if it doesn't take this.
        self.sender.try_send(delivery).map_err(|_| Stopped)
    }
}

/// Where the refs of one aggregate send for the entities of one shard.
pub(crate) struct ShardPort {
    pub(crate) aggregate: &'static str,
    pub(crate) store: u32,
    pub(crate) mailbox: Mailbox,
}

impl Port for ShardPort {
    fn aggregate(&self) -> &'static str {
        self.aggregate
    }

    fn try_send(&self, hash: u64, parcel: Box<dyn Parcel>) -> Result<(), Unsent> {
        let lanes = &self.mailbox.lanes;
        match lanes.of(hash).try_acquire() {
            Ok(place) => place.forget(),
            Err(TryAcquireError::NoPermits) => return Err(Unsent::Full { parcel, limit: lanes.places }),
            Err(TryAcquireError::Closed) => return Err(Unsent::Stopped),
        }
        self.mailbox.deliver(Delivery { store: self.store, hash, parcel }).map_err(|Stopped| Unsent::Stopped)
    }

    fn send(
        self: Arc<Self>,
        hash: u64,
        parcel: Box<dyn Parcel>,
    ) -> Pin<Box<dyn Future<Output = Result<(), Stopped>> + Send>> {
        Box::pin(async move {
            self.mailbox.lanes.of(hash).acquire().await.map_err(|_| Stopped)?.forget();
            self.mailbox.deliver(Delivery { store: self.store, hash, parcel })
        })
    }
}
