//! The aggregates that a system has met, and the way to their entities.

use std::any::{Any, TypeId, type_name};
use std::collections::HashMap;

use crate::aggregate::Aggregate;
use crate::alarm::Alarm;
use crate::call::Parcel;
use crate::entity_ref::EntityRef;
use crate::id::{EntityId, PersistenceId};
use crate::sync::{Arc, Mutex, PoisonError};
use crate::system::drain::Activity;
use crate::system::mailbox::{Mailbox, ShardPort, Side};
use crate::system::retry::{Asker, Retry};
use crate::system::rung::ToTimekeeper;
use crate::system::schedule::Schedule;
use crate::system::store::{EntityStore, Store};

/// What was given for effects, by its type.
#[derive(Default)]
pub(crate) struct Services(HashMap<TypeId, (&'static str, Arc<dyn Any + Send + Sync>)>);

impl Services {
    pub(crate) fn insert<T: Send + Sync + 'static>(&mut self, services: T) {
        self.0.insert(TypeId::of::<T>(), (type_name::<T>(), Arc::new(services)));
    }

    fn get<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        let (_, services) = self.0.get(&TypeId::of::<T>())?;
        services.clone().downcast().ok()
    }

    /// The names of the given types, for those who look for another.
    fn names(&self) -> String {
        let mut names: Vec<_> = self.0.values().map(|(name, _)| format!("`{name}`")).collect();
        names.sort();
        names.join(", ")
    }
}

/// Finds the port of every entity.
pub(crate) struct Registry {
    mailboxes: Vec<Mailbox>,
    services: Services,
    activity: Arc<Activity>,
    schedule: Arc<Schedule>,
    aggregates: Mutex<Vec<Registered>>,
}

#[derive(Clone)]
struct Registered {
    aggregate: TypeId,
    name: &'static str,
    ports: Ports,
    make_store: fn(u32, Arc<Registry>, usize) -> Box<dyn Store>,
    make_alarm: MakeAlarm,
    make_retry: MakeRetry,
}

type MakeAlarm = fn(EntityId, ToTimekeeper) -> Box<dyn Parcel>;
type MakeRetry = fn(EntityId, Asker) -> Box<dyn Parcel>;

/// How to reach an entity whose type nobody names.
pub(crate) struct Bell {
    pub(crate) port: Arc<ShardPort>,
    pub(crate) hash: u64,
    pub(crate) make_alarm: MakeAlarm,
    pub(crate) make_retry: MakeRetry,
}

/// The ports of one aggregate, one for each shard.
#[derive(Clone)]
struct Ports {
    outside: Arc<[Arc<ShardPort>]>,
    inside: Arc<[Arc<ShardPort>]>,
}

impl Registry {
    pub(crate) fn new(
        mailboxes: Vec<Mailbox>,
        services: Services,
        activity: Arc<Activity>,
        schedule: Arc<Schedule>,
    ) -> Self {
        Self { mailboxes, services, activity, schedule, aggregates: Mutex::new(Vec::new()) }
    }

    /// A ref for the program.
    #[track_caller]
    pub(crate) fn outside<A: Aggregate>(&self, id: EntityId) -> EntityRef<A> {
        Self::entity(id, &self.register::<A>().outside)
    }

    /// A ref for an effect.
    #[track_caller]
    pub(crate) fn inside<A: Aggregate>(&self, id: EntityId) -> EntityRef<A> {
        Self::entity(id, &self.register::<A>().inside)
    }

    fn entity<A: Aggregate>(id: EntityId, ports: &[Arc<ShardPort>]) -> EntityRef<A> {
        let (hash, port) = port_of(&id, ports);
        EntityRef::new(id, hash, port)
    }

    /// How to wake an entity, if its aggregate is known.
    pub(crate) fn bell(&self, id: &PersistenceId) -> Option<Bell> {
        let known = self.aggregates.lock().unwrap_or_else(PoisonError::into_inner);
        let found = known.iter().find(|known| known.name == &*id.aggregate)?;
        let (hash, port) = port_of(&id.entity, &found.ports.outside);
        Some(Bell { port, hash, make_alarm: found.make_alarm, make_retry: found.make_retry })
    }

    /// Makes an aggregate known before anybody asks for it.
    pub(crate) fn make_known<A: Aggregate>(&self) {
        self.register::<A>();
    }

    /// Finds an aggregate, or makes it known.
    #[track_caller]
    fn register<A: Aggregate>(&self) -> Ports {
        let mut known = self.aggregates.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = known.iter().find(|known| known.aggregate == TypeId::of::<A>()) {
            return found.ports.clone();
        }
        if self.services.get::<A::Services>().is_none() {
            drop(known);
            let (wanted, given) = (type_name::<A::Services>(), self.services.names());
            panic!(
                "aggregate `{}` needs services of type `{wanted}`: give them with `System::builder().provide(..)`; \
                 given are: {given}",
                A::NAME,
            );
        }
        if known.iter().any(|known| known.name == A::NAME) {
            drop(known);
            panic!("two aggregates are stored as `{}`: give one of them another `name`", A::NAME);
        }
        let store = u32::try_from(known.len()).expect("a program has fewer than 4 billion aggregates");
        let ports = |side: &Side| {
            let port = |mailbox: &Mailbox| {
                let (mailbox, side) = (mailbox.clone(), side.clone());
                Arc::new(ShardPort { aggregate: A::NAME, store, mailbox, side })
            };
            self.mailboxes.iter().map(port).collect()
        };
        let ports = Ports { outside: ports(&Side::Outside), inside: ports(&Side::Inside(self.activity.clone())) };
        known.push(Registered {
            aggregate: TypeId::of::<A>(),
            name: A::NAME,
            ports: ports.clone(),
            make_store: |number, registry, shard| Box::new(EntityStore::<A>::new(number, registry, shard)),
            make_alarm: |entity, report| Box::new(Alarm::<A, _>::new(entity, report)),
            make_retry: |entity, caller| Box::new(Retry::<A>::new(entity, caller)),
        });
        drop(known);
        self.schedule.unpark(A::NAME);
        ports
    }

    /// Makes the store with this number for a shard.
    pub(crate) fn make_store(self: &Arc<Self>, number: u32, shard: usize) -> Box<dyn Store> {
        let make = {
            let known = self.aggregates.lock().unwrap_or_else(PoisonError::into_inner);
            let index = usize::try_from(number).expect("a store's number fits an index");
            known[index].make_store
        };
        make(number, self.clone(), shard)
    }

    /// Through which port effects of an aggregate's entities in a shard call their own entity.
    pub(crate) fn port<A: Aggregate>(&self, shard: usize) -> Arc<ShardPort> {
        self.register::<A>().inside[shard].clone()
    }

    pub(crate) fn services<A: Aggregate>(&self) -> Arc<A::Services> {
        self.services.get().expect("the services were there when the aggregate was registered")
    }
}

/// The hash of an id, and the port of its shard.
fn port_of(id: &EntityId, ports: &[Arc<ShardPort>]) -> (u64, Arc<ShardPort>) {
    let hash = id.hash64();
    let shard = usize::try_from(hash >> 48).unwrap_or(0) % ports.len();
    (hash, ports[shard].clone())
}
