//! The entities of one aggregate in one shard.

use std::any::Any;
use std::sync::Arc;

use crate::aggregate::Aggregate;
use crate::contain::drop_contained;
use crate::execute::Unrecoverable;
use crate::id::EntityId;
use crate::journal::{Outcome, Run};
use crate::log;
use crate::message::Message;
use crate::slots::Slots;
use crate::system::desk::{Desk, Key};
use crate::system::end::{Head, open_head};
use crate::system::entity::{Entity, Next, Surroundings};
use crate::system::mailbox::{Delivery, ShardPort};
use crate::system::recovery::{Found, Source, recover};
use crate::system::registry::Registry;
use crate::system::stats::Counters;
use crate::system::work::SpareWork;

/// How many entities one blocking job loads.
const LOAD_BATCH_MAX: usize = 64;
/// How many slots one sweep or eviction looks at.
const SWEEP_MAX: u32 = 16_384;

/// A store without its aggregate's type, as a shard holds it.
pub(crate) trait Store: Send {
    /// Queues a message for its entity.
    fn accept(&mut self, delivery: Delivery, desk: &mut Desk);
    /// Lets an entity handle some of its messages.
    fn take_turn(&mut self, slot: u32, desk: &mut Desk);
    /// Seals the entity's oldest pending run; `None` if it was given up since it was announced.
    fn seal(&mut self, slot: u32, desk: &mut Desk) -> Option<Run>;
    /// Takes in what became of the entity's oldest run in flight.
    fn settle(&mut self, slot: u32, outcome: Outcome, desk: &mut Desk);
    /// Takes absent entities of this store off the desk's list and makes a blocking job that loads them.
    fn load(&mut self, desk: &mut Desk) -> LoadJob;
    /// Takes in what such a job brought.
    fn install(&mut self, entities: Box<dyn Any + Send>, desk: &mut Desk);
    /// An effect of the entity that waited for room has been handed over.
    fn effect_left(&mut self, slot: u32, desk: &mut Desk);
    /// A repeated command of the entity was answered.
    fn repeat_answered(&mut self, slot: u32, desk: &mut Desk);
    /// Lets the entity go on, since there is room for its repeats; says whether it has a turn.
    fn feed(&mut self, slot: u32, desk: &mut Desk) -> bool;
    /// Drops entities that have been idle for long.
    fn sweep(&mut self, desk: &mut Desk);
    /// Drops entities beyond the resident maximum, those first that were not used since the last look.
    fn evict(&mut self, desk: &mut Desk);
    /// Answers every waiting caller and forgets every entity.
    fn give_up(&mut self, desk: &mut Desk);
}

/// Loads entities where blocking is allowed.
pub(crate) type LoadJob = Box<dyn FnOnce() -> Loaded + Send>;

/// What a loading job brings back.
pub(crate) struct Loaded {
    pub(crate) store: u32,
    /// A [`Batch`], for [`Store::install`].
    pub(crate) entities: Box<dyn Any + Send>,
}

type Batch<A> = Vec<(u32, Brought<A>)>;

/// What was loaded of an entity.
enum Brought<A: Aggregate> {
    Data(Result<Found<A>, Unrecoverable>),
    /// Where its stream stands, since it is to end.
    Head(Result<Head, Unrecoverable>),
}

/// The store of one aggregate.
pub(crate) struct EntityStore<A: Aggregate> {
    number: u32,
    slots: Slots<Entity<A>>,
    /// Where the next sweep goes on.
    hand: u32,
    registry: Arc<Registry>,
    port: Arc<ShardPort>,
    services: Arc<A::Services>,
    name: Arc<str>,
    spare: SpareWork<A>,
}

impl<A: Aggregate> EntityStore<A> {
    pub(crate) fn new(number: u32, registry: Arc<Registry>, shard: usize) -> Self {
        let (port, services) = (registry.port::<A>(shard), registry.services::<A>());
        let (name, spare) = (Arc::from(A::NAME), SpareWork::new());
        Self { number, slots: Slots::new(0), hand: 0, registry, port, services, name, spare }
    }

    fn key(&self, slot: u32) -> Key {
        Key { store: self.number, slot }
    }

    /// Lets an entity act.
    fn with<T>(
        &mut self,
        slot: u32,
        desk: &mut Desk,
        act: impl FnOnce(&mut Entity<A>, &mut Surroundings<'_, A>) -> T,
    ) -> Option<T> {
        let key = self.key(slot);
        let Self { slots, registry, port, services, name, spare, .. } = self;
        let entity = slots.get_mut(slot)?;
        Some(act(entity, &mut Surroundings { key, desk, registry, port, services, name, spare }))
    }

    /// Lets an entity act, and sees to what follows.
    fn act(&mut self, slot: u32, desk: &mut Desk, act: impl FnOnce(&mut Entity<A>, &mut Surroundings<'_, A>) -> Next) {
        if self.with(slot, desk, act) == Some(Next::Load) {
            desk.absent.push_back(self.key(slot));
        }
    }

    /// Drops an entity with nothing in flight.
    fn passivate(&mut self, slot: u32, desk: &mut Desk) {
        if let Some(entity) = self.slots.get_mut(slot)
            && let Some(stream) = entity.stream()
        {
            entity.arm_exactly(desk);
            desk.close_stream(stream);
        }
        self.remove(slot, desk);
    }

    fn remove(&mut self, slot: u32, desk: &mut Desk) {
        if let Some(entity) = self.slots.remove(slot) {
            desk.residents -= 1;
            Counters::subtract(&desk.counters.residents, 1);
            if entity.is_quarantined() {
                Counters::subtract(&desk.counters.quarantined, 1);
            }
            drop_contained("an entity's data", entity);
        }
    }

    /// Looks at some slots in turn, and drops the resting entities of which `choose` says so; `None` ends the look.
    fn pass_over(
        &mut self,
        desk: &mut Desk,
        too_many: bool,
        mut choose: impl FnMut(&mut Entity<A>, &Desk) -> Option<bool>,
    ) {
        let end = self.slots.end();
        for _ in 0..end.min(SWEEP_MAX) {
            self.hand = if self.hand + 1 < end { self.hand + 1 } else { 0 };
            let Some(entity) = self.slots.get_mut(self.hand) else { continue };
            let Some(chosen) = choose(entity, desk) else { return };
            let may_go = if too_many { Entity::is_evictable } else { Entity::is_resting };
            if chosen && may_go(entity, desk) {
                log::debug!(id = %entity.persistence_id(), "passivated");
                Counters::add(&desk.counters.passivations, 1);
                self.passivate(self.hand, desk);
            }
        }
    }
}

impl<A: Aggregate> Store for EntityStore<A> {
    fn accept(&mut self, delivery: Delivery, desk: &mut Desk) {
        let mut message: Option<Box<dyn Message<A>>> = None;
        delivery.parcel.unpack(&mut message);
        let Some(message) = message else { return };
        let slot = self.slots.find(delivery.hash, |entity| entity.id() == message.entity()).unwrap_or_else(|| {
            desk.residents += 1;
            Counters::add(&desk.counters.residents, 1);
            self.slots.insert(Entity::new(message.entity().clone(), delivery.hash))
        });
        self.act(slot, desk, |entity, around| entity.queue(message, around));
    }

    fn take_turn(&mut self, slot: u32, desk: &mut Desk) {
        self.act(slot, desk, Entity::take_turn);
    }

    fn seal(&mut self, slot: u32, desk: &mut Desk) -> Option<Run> {
        self.with(slot, desk, Entity::seal)?
    }

    fn settle(&mut self, slot: u32, outcome: Outcome, desk: &mut Desk) {
        self.act(slot, desk, |entity, around| entity.settle(outcome, around));
    }

    fn load(&mut self, desk: &mut Desk) -> LoadJob {
        let mut wanted: Vec<(u32, EntityId, bool)> = Vec::new();
        while let Some(&key) = desk.absent.front()
            && key.store == self.number
            && wanted.len() < LOAD_BATCH_MAX
        {
            desk.absent.pop_front();
            if let Some(entity) = self.slots.get(key.slot) {
                wanted.push((key.slot, entity.id().clone(), entity.wants_head()));
            }
        }
        let (store, journal, settings) = (self.number, desk.journal.clone(), desk.settings);
        let (snapshots, counters) = (desk.snapshots.clone(), desk.counters.clone());
        Box::new(move || {
            let runtime = settings.blocking.here();
            let source = Source {
                journal: &journal,
                runtime: &runtime,
                snapshots: snapshots.as_deref(),
                keys_max: settings.keys_max,
                verify: settings.verify_snapshots,
                unusable: &counters.snapshots_unusable,
            };
            let load = |(slot, id, head)| match head {
                false => (slot, Brought::Data(recover::<A>(source, &id))),
                true => (slot, Brought::Head(open_head::<A>(&*journal, &runtime, &id))),
            };
            let batch: Batch<A> = wanted.into_iter().map(load).collect();
            Loaded { store, entities: Box::new(batch) }
        })
    }

    fn install(&mut self, entities: Box<dyn Any + Send>, desk: &mut Desk) {
        let batch = entities.downcast::<Batch<A>>().expect("a batch returns to the store that asked for it");
        for (slot, found) in *batch {
            self.act(slot, desk, |entity, around| match found {
                Brought::Data(found) => entity.install(found, around),
                Brought::Head(head) => entity.install_head(head, around),
            });
        }
    }

    fn effect_left(&mut self, slot: u32, desk: &mut Desk) {
        self.with(slot, desk, Entity::effect_left);
    }

    fn repeat_answered(&mut self, slot: u32, desk: &mut Desk) {
        self.with(slot, desk, Entity::repeat_answered);
    }

    fn feed(&mut self, slot: u32, desk: &mut Desk) -> bool {
        self.with(slot, desk, Entity::feed).unwrap_or(false)
    }

    fn sweep(&mut self, desk: &mut Desk) {
        let idle = u32::try_from(desk.settings.idle_after.as_millis() / 100).unwrap_or(u32::MAX);
        self.pass_over(desk, false, |entity, desk| Some(entity.is_forgotten(idle, desk)));
    }

    fn evict(&mut self, desk: &mut Desk) {
        self.pass_over(desk, true, |entity, desk| (desk.residents > desk.residents_max).then(|| !entity.take_used()));
    }

    fn give_up(&mut self, desk: &mut Desk) {
        for slot in 0..self.slots.end() {
            if let Some(entity) = self.slots.get_mut(slot) {
                entity.give_up(desk);
                // Its stream stays open: the journal may still be storing what it was given.
                self.remove(slot, desk);
            }
        }
    }
}
