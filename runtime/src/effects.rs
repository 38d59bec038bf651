//! What an effect may use.

use std::pin::Pin;
use std::sync::Arc;

use crate::aggregate::Aggregate;
use crate::entity_ref::EntityRef;

/// Handed to what [`Step::and_then`](crate::Step::and_then) does once the step is durable.
pub struct Effects<A: Aggregate> {
    services: Arc<A::Services>,
    this: EntityRef<A>,
    spawner: Arc<dyn Spawn>,
}

impl<A: Aggregate> Effects<A> {
    pub(crate) fn new(services: Arc<A::Services>, this: EntityRef<A>, spawner: Arc<dyn Spawn>) -> Self {
        Self { services, this, spawner }
    }

    /// What was given with [`Builder::provide`](crate::Builder::provide), or by a test.
    pub fn services(&self) -> &Arc<A::Services> {
        &self.services
    }

    /// The entity that made the step.
    pub fn this(&self) -> A::Ref {
        self.this.clone().into()
    }

    /// Runs a future beside the entity. The system owns it and waits for it at shutdown, as long as the shutdown's
    /// time allows. A panic in it is logged and harms nothing else.
    pub fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
        self.spawner.spawn(Box::pin(future));
    }
}

/// A place that owns the futures that effects start.
pub(crate) trait Spawn: Send + Sync {
    fn spawn(&self, future: Pin<Box<dyn Future<Output = ()> + Send>>);
}
