//! The machine of these tests: it remembers the operations that were done to it, in order.

use std::sync::{Arc, Mutex};

use annals::prelude::*;

/// The operations of which effects have told.
#[derive(Debug, Default)]
pub struct Echo(pub Mutex<Vec<u64>>);

/// Remembers the operations that were done to it, and 0 for each deadline.
#[derive(Debug, Default, Clone, Serialize, Deserialize, Snapshot)]
pub struct Log {
    entries: Vec<u64>,
}

#[fsm(
    states(initial Open, Lent),
    services = Arc<Echo>,
    snapshot(every = 4, keep = 1),
    retain = since_snapshot,
    forgettable,
)]
impl Log {
    #[event]
    fn entered(&mut self, op: u64) {
        self.entries.push(op);
    }

    #[on(_ => stay)]
    fn enter(&self, op: u64) -> Step<Vec<u64>> {
        applying(LogEvent::Entered { op })
            .and_then(move |fx| fx.services().0.lock().unwrap().push(op))
            .replying_with(Self::entries)
    }

    #[on(_ => Lent)]
    fn lend(&self, op: u64) -> Step<Vec<u64>> {
        goto(Lent).applying(LogEvent::Entered { op }).replying_with(Self::entries)
    }

    /// Enters it here, and has another one enter it, too.
    #[on(_ => stay)]
    fn pass_on(&self, op: u64, to: String) -> Step<Vec<u64>> {
        applying(LogEvent::Entered { op })
            .and_then(move |fx| {
                let to = fx.get::<Log>(to);
                fx.spawn(async move { drop(to.enter(op).await) });
            })
            .replying_with(Self::entries)
    }

    #[on(_ => stay)]
    fn refuse(&self) -> Result<Step<Vec<u64>>, Vec<u64>> {
        Err(self.entries())
    }

    #[after(1s, Lent => Open)]
    fn come_back(&self) -> Step {
        goto(Open).applying(LogEvent::Entered { op: 0 })
    }

    #[query]
    pub fn entries(&self) -> Vec<u64> {
        self.entries.clone()
    }
}
