//! What an effect may use.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;

use crate::aggregate::Aggregate;
use crate::entity_ref::EntityRef;
use crate::execute::panic_message;
use crate::step::Effect;

/// Handed to what [`Step::and_then`](crate::Step::and_then) does once the step is durable.
pub struct Effects<A: Aggregate> {
    services: Arc<A::Services>,
    this: EntityRef<A>,
    spawned: RefCell<Vec<Spawned>>,
}

/// A future that an effect started.
pub(crate) type Spawned = Pin<Box<dyn Future<Output = ()> + Send>>;

impl<A: Aggregate> Effects<A> {
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
        self.spawned.borrow_mut().push(Box::pin(future));
    }
}

impl<A: Aggregate> std::fmt::Debug for Effects<A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Effects({:?})", self.this)
    }
}

/// Runs the effects of one step in order, each whether or not the one before panicked; hands out what they spawned.
pub(crate) fn run_effects<A: Aggregate>(
    effects: Vec<Effect<A>>,
    services: Arc<A::Services>,
    this: EntityRef<A>,
    mut on_panic: impl FnMut(&str),
) -> Vec<Spawned> {
    let fx = Effects { services, this, spawned: RefCell::default() };
    for effect in effects {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| effect(&fx))) {
            on_panic(&panic_message(&*panic));
        }
    }
    fx.spawned.into_inner()
}
