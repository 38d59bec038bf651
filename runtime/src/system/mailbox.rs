//! The way into a shard, and its bounds.
//!
//! A shard's mailbox is divided into lanes, and an entity always uses the same one: a flooded entity fills its own lane
//! and leaves the others free. A place in a lane is taken by the sender and given back when the command is handled, so
//! the bound holds for the mailbox and the entities' queues together.

use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use tokio::sync::{Semaphore, TryAcquireError};

use crate::call::{Parcel, Port, Stopped, Unsent};
use crate::contain::drop_contained;
use crate::journal::lock;
use crate::sync::{Arc, Mutex};
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

/// The lane of an entity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lane(u8);

impl Lane {
    pub(crate) fn of(hash: u64) -> Self {
        Self(hash.to_le_bytes()[4] % 8)
    }
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

    fn of(&self, lane: Lane) -> &Semaphore {
        &self.free[usize::from(lane.0)]
    }

    /// Gives places back.
    pub(crate) fn leave(&self, lane: Lane, places: usize) {
        self.of(lane).add_permits(places);
    }

    /// Gives no more places, also to those who wait for one.
    fn close(&self) {
        self.free.iter().for_each(Semaphore::close);
    }
}

/// Who may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Door {
    Open,
    /// Only what is sent from inside the system is taken.
    Inside,
    Shut,
}

/// What has been delivered to a shard. It has room for each place of every lane, so it is as bounded as they are.
struct Inbox {
    door: Door,
    deliveries: Vec<Delivery>,
    /// The shard, while it waits for some.
    shard: Option<Waker>,
}

/// The sending half of a mailbox.
#[derive(Clone)]
pub(crate) struct Mailbox {
    inbox: Arc<Mutex<Inbox>>,
    lanes: Arc<Lanes>,
}

/// The receiving half.
pub(crate) struct MailboxEnd {
    inbox: Arc<Mutex<Inbox>>,
    pub(crate) lanes: Arc<Lanes>,
}

/// Makes a mailbox for `places_max` messages.
pub(crate) fn mailbox(places_max: usize) -> (Mailbox, MailboxEnd) {
    let lanes = Arc::new(Lanes::new(places_max.div_ceil(LANES)));
    let inbox = Inbox { door: Door::Open, deliveries: Vec::new(), shard: None };
    let inbox = Arc::new(Mutex::new(inbox));
    (Mailbox { inbox: inbox.clone(), lanes: lanes.clone() }, MailboxEnd { inbox, lanes })
}

impl Mailbox {
    /// Takes no more messages from outside. Those that were sent before are in the mailbox when this is over.
    pub(crate) fn close_outside(&self) {
        let mut inbox = lock(&self.inbox);
        inbox.door = inbox.door.max(Door::Inside);
    }

    /// Sends a delivery for which a place was taken.
    fn deliver(&self, delivery: Delivery, side: &Side) -> Result<(), Stopped> {
        let enters_until = match side {
            Side::Outside => Door::Open,
            Side::Inside(_) => Door::Inside,
        };
        let mut inbox = lock(&self.inbox);
        if inbox.door > enters_until {
            drop(inbox);
            self.lanes.leave(Lane::of(delivery.hash), 1);
            drop_contained("a call that came too late", delivery.parcel);
            return Err(Stopped);
        }
        inbox.deliveries.push(delivery);
        let shard = inbox.shard.take();
        drop(inbox);
        if let Some(shard) = shard {
            shard.wake();
        }
        Ok(())
    }
}

impl MailboxEnd {
    /// Whether anything has arrived, or nothing will any more.
    pub(crate) fn poll_arrived(&self, task: &mut Context<'_>) -> Poll<()> {
        let mut inbox = lock(&self.inbox);
        if !inbox.deliveries.is_empty() || inbox.door == Door::Shut {
            return Poll::Ready(());
        }
        if !inbox.shard.as_ref().is_some_and(|shard| shard.will_wake(task.waker())) {
            inbox.shard = Some(task.waker().clone());
        }
        Poll::Pending
    }

    /// Moves what has arrived into `arrivals`, which is empty, and says whether more may follow.
    pub(crate) fn take(&self, arrivals: &mut Vec<Delivery>) -> bool {
        let mut inbox = lock(&self.inbox);
        mem::swap(&mut inbox.deliveries, arrivals);
        // Whoever takes looks again before it waits.
        inbox.shard = None;
        inbox.door < Door::Shut
    }

    pub(crate) fn is_empty(&self) -> bool {
        lock(&self.inbox).deliveries.is_empty()
    }

    /// Takes no more messages.
    pub(crate) fn close(&self) {
        // ORDER: no place may be taken in vain by who waits for one.
        self.lanes.close();
        lock(&self.inbox).door = Door::Shut;
    }
}

impl Drop for MailboxEnd {
    /// However the shard ends, nobody waits for room or for an answer that never comes.
    fn drop(&mut self) {
        self.close();
        let mut left = Vec::new();
        self.take(&mut left);
        for delivery in left {
            drop_contained("a call to a shard that has gone", delivery.parcel);
        }
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
        let delivered = self.mailbox.deliver(Delivery { store: self.store, hash, parcel }, &self.side);
        if let Side::Inside(activity) = &self.side {
            // ORDER: counted behind the delivery, so that whoever has seen the count finds the message in the shard.
            activity.sent();
        }
        delivered
    }
}

impl Port for ShardPort {
    fn aggregate(&self) -> &'static str {
        self.aggregate
    }

    fn try_send(&self, hash: u64, parcel: Box<dyn Parcel>) -> Result<(), Unsent> {
        let lanes = &self.mailbox.lanes;
        match lanes.of(Lane::of(hash)).try_acquire() {
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
            self.mailbox.lanes.of(Lane::of(hash)).acquire().await.map_err(|_| Stopped)?.forget();
            self.deliver(hash, parcel)
        })
    }
}
