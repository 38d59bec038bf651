//! The way into a shard, and its bounds.
//!
//! A shard's mailbox is divided into lanes, and an entity always uses the same one: a flooded entity fills its own lane
//! and leaves the others free. A place in a lane is taken by the sender and given back when the command is handled, so
//! the bound holds for the mailbox and the entities' queues together.

use std::pin::Pin;
use std::sync::Arc;

use tokio::sync::{Semaphore, TryAcquireError, mpsc};

use crate::call::{Parcel, Port, Stopped, Unsent};
use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::system::drain::Activity;

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
    /// How many calls from outside are just being handed over; [`CLOSED`] on top once they are refused.
    entering: AtomicUsize,
}

/// Calls from outside are refused.
const CLOSED: usize = 1 << (usize::BITS - 1);

impl Lanes {
    fn new(places: usize) -> Self {
        Self { free: std::array::from_fn(|_| Semaphore::new(places)), places, entering: AtomicUsize::new(0) }
    }

    fn of(&self, hash: u64) -> &Semaphore {
        let lane = (hash >> 32) % 8;
        &self.free[usize::try_from(lane).unwrap_or(0)]
    }

    /// Gives places back.
    pub(crate) fn leave(&self, hash: u64, places: usize) {
        self.of(hash).add_permits(places);
    }

    /// Takes no more messages from outside.
    fn close_outside(&self) {
        self.entering.fetch_or(CLOSED, Ordering::SeqCst);
    }

    /// Waits for those calls from outside that were let in before they were refused, and are not in the mailbox yet.
    pub(crate) async fn all_entered(&self) {
        // Nobody waits in between, so this is over at once.
        while self.entering.load(Ordering::SeqCst) & !CLOSED > 0 {
            tokio::task::yield_now().await;
        }
    }

    /// Hands something over for a call from outside, unless they are refused.
    fn enter<T>(&self, hand_over: impl FnOnce() -> T) -> Option<T> {
        let before = self.entering.fetch_add(1, Ordering::SeqCst);
        let handed_over = (before & CLOSED == 0).then(hand_over);
        self.entering.fetch_sub(1, Ordering::SeqCst);
        handed_over
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
    pub(crate) lanes: Arc<Lanes>,
}

/// The receiving half.
pub(crate) struct MailboxEnd {
    pub(crate) receiver: mpsc::Receiver<Delivery>,
    pub(crate) lanes: Arc<Lanes>,
}

/// Makes a mailbox for `places_max` messages.
pub(crate) fn mailbox(places_max: usize) -> (Mailbox, MailboxEnd) {
    let lanes = Arc::new(Lanes::new(places_max.div_ceil(LANES)));
    let (sender, receiver) = mpsc::channel(lanes.places * LANES);
    (Mailbox { sender, lanes: lanes.clone() }, MailboxEnd { receiver, lanes })
}

impl Mailbox {
    /// Takes no more messages from outside.
    pub(crate) fn close_outside(&self) {
        self.lanes.close_outside();
    }

    /// Sends a delivery for which a place was taken.
    fn deliver(&self, delivery: Delivery) -> Result<(), Stopped> {
        // The channel has a slot for each place of every lane, so it is closed if it doesn't take this.
        self.sender.try_send(delivery).map_err(|_| Stopped)
    }
}

/// On which side of the system a ref was made.
#[derive(Debug, Clone)]
pub(crate) enum Side {
    /// By the program: its calls end when the system is told to stop.
    Outside,
    /// By an effect: its calls are part of what the system finishes before it stops.
    Inside(Arc<Activity>),
}

/// Where the refs of one aggregate send for the entities of one shard.
pub(crate) struct ShardPort {
    pub(crate) aggregate: &'static str,
    pub(crate) store: u32,
    pub(crate) mailbox: Mailbox,
    pub(crate) side: Side,
}

impl ShardPort {
    /// Sends a parcel for which a place was taken.
    fn deliver(&self, hash: u64, parcel: Box<dyn Parcel>) -> Result<(), Stopped> {
        let deliver = || self.mailbox.deliver(Delivery { store: self.store, hash, parcel });
        match &self.side {
            Side::Outside => {
                let lanes = &self.mailbox.lanes;
                lanes.enter(deliver).unwrap_or_else(|| {
                    lanes.leave(hash, 1);
                    Err(Stopped)
                })
            }
            Side::Inside(activity) => {
                let delivered = deliver();
                // ORDER: counted behind the delivery, so that whoever has seen the count finds the message in the shard.
                activity.sent();
                delivered
            }
        }
    }
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
        self.deliver(hash, parcel).map_err(|Stopped| Unsent::Stopped)
    }

    fn send(
        self: Arc<Self>,
        hash: u64,
        parcel: Box<dyn Parcel>,
    ) -> Pin<Box<dyn Future<Output = Result<(), Stopped>> + Send>> {
        Box::pin(async move {
            self.mailbox.lanes.of(hash).acquire().await.map_err(|_| Stopped)?.forget();
            self.deliver(hash, parcel)
        })
    }
}
