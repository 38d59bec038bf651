//! The machine of the model: states that end in time, one that is transient, handlers that stay and that enter anew.

use std::cell::Cell;
use std::sync::{Arc, Mutex};

use annals::prelude::*;

use annals::PersistenceId;

use crate::INTENDED;
use crate::eye::Eye;

thread_local! {
    static POISONED: Cell<bool> = const { Cell::new(false) };
}

/// Whether events can't be folded in this thread for now.
pub fn poison(poisoned: bool) {
    POISONED.set(poisoned);
}

/// What the handler of a command saw before, and the data after it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    pub seq_nr: u64,
    pub state: String,
    pub entries: Vec<u64>,
}

/// What effects and hooks have told of.
#[derive(Debug, Default)]
pub struct Echo {
    pub eye: Eye,
    pub worked: Mutex<Vec<u64>>,
    /// Who has entered `Running`.
    pub entered: Mutex<Vec<String>>,
    /// Who has left `Idle`.
    pub exited: Mutex<Vec<String>>,
}

/// Remembers the operations that were done to it, in order, and 0 for each deadline with an event.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
pub struct Job {
    entries: Vec<u64>,
}

/// Tells what is known before, and then the data.
fn told(cx: &Context<Job>) -> impl FnOnce(&Job) -> Told + Send + use<> {
    let (seq_nr, state) = (cx.seq_nr().0, format!("{:?}", cx.state()));
    move |job| Told { seq_nr, state, entries: job.entries.clone() }
}

#[fsm(states(initial Idle, Running, transient Checking, Paused, terminal Done), services = Arc<Echo>, codec = json)]
impl Job {
    #[event]
    fn did(&mut self, op: u64) {
        assert!(!POISONED.get(), "{INTENDED}poison");
        self.entries.push(op);
    }

    #[event]
    fn ticked(&mut self) {
        self.entries.push(0);
    }

    /// Can't be folded, and leaves broken data behind.
    #[event]
    fn cursed(&mut self) {
        self.entries.push(0);
        panic!("{INTENDED}a fold");
    }

    #[on(Idle | Running | Checking => Running)]
    fn start(&self, cx: &Context<Self>, op: u64, millis: Option<u64>) -> Step<Told> {
        let step = goto(Running).applying(JobEvent::Did { op });
        let step = match millis {
            Some(millis) => step.for_max(std::time::Duration::from_millis(millis)),
            None => step,
        };
        step.replying_with(told(cx))
    }

    /// Enters a state anew, or another one, without an event.
    #[on(Running | Paused => Running | Paused)]
    fn bounce(&self, cx: &Context<Self>, op: u64) -> Step<Told> {
        let step = if op.is_multiple_of(2) { goto(Running) } else { goto(Paused) };
        step.replying_with(told(cx))
    }

    #[on(Idle | Running | Paused | Checking => stay)]
    fn work(&self, cx: &Context<Self>, op: u64) -> Step<Told> {
        let (id, last) = (PersistenceId::new("Job", cx.id()), cx.seq_nr().0 + 1);
        applying(JobEvent::Did { op })
            .and_then(move |fx| {
                fx.services().eye.see("effect", &id, last);
                fx.services().worked.lock().unwrap().push(op);
            })
            .replying_with(told(cx))
    }

    #[on(_ => stay)]
    fn peek(&self, cx: &Context<Self>) -> Step<Told> {
        stay().replying_with(told(cx))
    }

    #[on(Running | Paused => Checking)]
    fn check(&self, cx: &Context<Self>, op: u64) -> Step<Told> {
        goto(Checking).applying(JobEvent::Did { op }).replying_with(told(cx))
    }

    #[on(Checking => Paused | Idle | Checking)]
    fn judge(&self, cx: &Context<Self>, op: u64, pass: bool) -> Step<Told> {
        let step = if pass {
            goto(Paused)
        } else if op.is_multiple_of(2) {
            goto(Idle)
        } else {
            goto(Checking)
        };
        step.applying(JobEvent::Did { op }).replying_with(told(cx))
    }

    #[on(Idle | Running => Paused)]
    fn pause(&self, cx: &Context<Self>, op: u64) -> Step<Told> {
        goto(Paused).applying(JobEvent::Did { op }).replying_with(told(cx))
    }

    #[on(Paused => Idle)]
    fn resume(&self, cx: &Context<Self>) -> Step<Told> {
        goto(Idle).replying_with(told(cx))
    }

    #[on(Paused => Done)]
    fn finish(&self, cx: &Context<Self>) -> Step<Told> {
        goto(Done).replying_with(told(cx))
    }

    #[on(Idle | Running | Paused => stay)]
    fn refuse(&self, cx: &Context<Self>) -> Result<Step<Told>, Told> {
        if self.entries.len() > 1_000_000 {
            return Ok(stay().replying_with(told(cx)));
        }
        Err(told(cx)(self))
    }

    #[on(_ => stay)]
    fn crash(&self, cx: &Context<Self>) -> Step<Told> {
        assert!(self.entries.len() > 1_000_000, "{INTENDED}a handler");
        stay().replying_with(told(cx))
    }

    #[on(_ => Paused)]
    fn curse(&self, cx: &Context<Self>, op: u64) -> Step<Told> {
        goto(Paused).applying([JobEvent::Did { op }, JobEvent::Cursed]).replying_with(told(cx))
    }

    #[after(1s, Idle => Running | stay)]
    fn waited(&self) -> Step {
        match self.entries.len() % 3 {
            0 | 1 => goto(Running).applying(JobEvent::Ticked),
            _ if self.entries.len().is_multiple_of(2) => stay().applying(JobEvent::Ticked),
            _ => stay(),
        }
    }

    #[after(500ms, Running => Running | Paused | stay)]
    fn ran(&self) -> Step {
        match self.entries.len() % 4 {
            0 => goto(Running),
            1 => goto(Paused),
            2 => goto(Running).for_max(std::time::Duration::from_secs(5)).applying(JobEvent::Ticked),
            _ => stay().applying(JobEvent::Ticked),
        }
    }

    /// So that a check doesn't take for ever.
    #[after(100ms, Checking => Running)]
    fn checked(&self) -> Step {
        goto(Running).applying(JobEvent::Ticked)
    }

    #[after(2s, Paused => Idle | stay)]
    fn lingered(&self) -> Step {
        if self.entries.len().is_multiple_of(5) { stay() } else { goto(Idle) }
    }

    #[enter(Running)]
    fn tell_entered(fx: &Effects<Self>) {
        fx.services().entered.lock().unwrap().push(fx.this().id().to_string());
    }

    #[exit(Idle)]
    fn tell_exited(fx: &Effects<Self>) {
        fx.services().exited.lock().unwrap().push(fx.this().id().to_string());
    }

    #[query]
    pub fn entries(&self) -> Vec<u64> {
        self.entries.clone()
    }
}
