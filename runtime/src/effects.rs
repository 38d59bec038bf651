//! What an effect may use.

use std::cell::RefCell;
use std::pin::Pin;
use std::sync::Arc;

use crate::aggregate::Aggregate;
use crate::call::{Parcel, Port, Stopped, Unsent};
use crate::contain::contained;
use crate::entity_ref::EntityRef;
use crate::id::EntityId;
use crate::step::Effect;
use crate::system::Registry;

/// Handed to what [`Step::and_then`](crate::Step::and_then) does once the step is durable.
///
/// An effect runs at most once. For one that must happen see [reliable effects](macro@crate::fsm#reliable-effects).
///
/// ```
/// use std::sync::{Arc, Mutex};
///
/// use annals::journal::MemoryJournal;
/// use annals::prelude::*;
///
/// #[derive(Debug, Default, Serialize, Deserialize)]
/// pub struct Stock { left: i64 }
///
/// #[aggregate]
/// impl Stock {
///     #[event]
///     fn taken(&mut self, count: i64) { self.left -= count }
///
///     #[command]
///     fn take(&self, count: i64) -> Step<i64> {
///         applying(StockEvent::Taken { count }).replying(self.left - count)
///     }
/// }
///
/// #[derive(Debug, Default)]
/// pub struct Mailer { sent: Mutex<Vec<String>> }
///
/// #[derive(Debug, Default, Serialize, Deserialize)]
/// pub struct Order { paid: bool }
///
/// #[aggregate(services = Arc<Mailer>)]
/// impl Order {
///     #[event]
///     fn was_paid(&mut self) { self.paid = true }
///
///     #[command]
///     fn pay(&self) -> Step {
///         applying(OrderEvent::WasPaid).and_then(|fx| {
///             fx.services().sent.lock().unwrap().push("thank you".to_owned());
///             let soap = fx.get::<Stock>("soap");
///             fx.spawn(async move {
///                 // What fails here is lost: an effect runs at most once.
///                 soap.take(1).await.ok();
///             });
///         })
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let (mailer, journal) = (Arc::new(Mailer::default()), MemoryJournal::new());
/// let system = System::builder().provide(mailer.clone()).start(journal.clone())?;
/// system.get::<Order>("o1").pay().await?;
/// system.shutdown().await?; // waits for effects and for what they spawned
///
/// assert_eq!(*mailer.sent.lock().unwrap(), ["thank you"]);
/// let system = System::builder().provide(mailer).start(journal.reopen())?;
/// assert_eq!(system.get::<Stock>("soap").take(1).await?, -2);
/// # system.shutdown().await?;
/// # Ok(())
/// # }
/// ```
pub struct Effects<A: Aggregate> {
    services: Arc<A::Services>,
    this: EntityRef<A>,
    /// None in a test without a system.
    registry: Option<Arc<Registry>>,
    spawned: RefCell<Vec<Spawned>>,
}

/// A future that an effect started.
pub(crate) type Spawned = Pin<Box<dyn Future<Output = ()> + Send>>;

impl<A: Aggregate> Effects<A> {
    pub(crate) fn new(services: Arc<A::Services>, this: EntityRef<A>, registry: Option<Arc<Registry>>) -> Self {
        Self { services, this, registry, spawned: RefCell::default() }
    }

    /// What was given with [`Builder::provide`](crate::Builder::provide), or by a test.
    pub fn services(&self) -> &Arc<A::Services> {
        &self.services
    }

    /// The entity that made the step.
    pub fn this(&self) -> A::Ref {
        self.this.clone().into()
    }

    /// Another entity of the same system. Its calls are taken also while the system shuts down, which waits for them.
    ///
    /// In a test without a system, every call to another entity ends with
    /// [`CallError::Stopped`](crate::CallError::Stopped).
    ///
    /// # Panics
    ///
    /// As [`System::get`](crate::System::get).
    pub fn get<B: Aggregate>(&self, id: impl Into<EntityId>) -> B::Ref {
        match &self.registry {
            Some(registry) => registry.inside::<B>(id.into()).into(),
            None => EntityRef::new(id.into(), 0, Arc::new(Nowhere(B::NAME))).into(),
        }
    }

    /// Runs a future beside the entity. The system owns it and waits for it at shutdown, as long as the shutdown's
    /// time allows. A panic in it is logged and harms nothing else. How many there are at a time is up to the program,
    /// as with `tokio::spawn`.
    pub fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) {
        self.spawned.borrow_mut().push(Box::pin(future));
    }

    /// Runs the effects of one step in order, each whether or not the one before panicked; hands out what they spawned.
    pub(crate) fn run(self, effects: Vec<Effect<A>>, mut on_panic: impl FnMut(&str)) -> Vec<Spawned> {
        for effect in effects {
            if let Err(panic) = contained(|| effect(&self)) {
                on_panic(&panic);
            }
        }
        self.spawned.into_inner()
    }
}

impl<A: Aggregate> std::fmt::Debug for Effects<A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Effects({:?})", self.this)
    }
}

/// Where calls to other entities go when there is no system.
struct Nowhere(&'static str);

impl Port for Nowhere {
    fn aggregate(&self) -> &'static str {
        self.0
    }

    fn try_send(&self, _: u64, _: Box<dyn Parcel>) -> Result<(), Unsent> {
        Err(Unsent::Stopped)
    }

    fn send(self: Arc<Self>, _: u64, _: Box<dyn Parcel>) -> Pin<Box<dyn Future<Output = Result<(), Stopped>> + Send>> {
        Box::pin(async { Err(Stopped) })
    }
}
