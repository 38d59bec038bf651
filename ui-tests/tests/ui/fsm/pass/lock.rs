//! A lock, as a user writes it.

use std::time::Duration;

use annals::prelude::*;
use annals::{By, Call, Edge, Never, StateKind};

type Digit = u8;

const SECRET: &[Digit] = &[1, 2, 3, 4];

#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Lock {
    entered: Vec<Digit>,
    intruders: Vec<Vec<Digit>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Greeting {
    Welcome,
    GoAway,
}

#[derive(Debug)]
pub struct Porter;

impl Porter {
    fn report(&self, _: &str) {}
}

#[fsm(states(initial Unlocked, Locked), services = Porter)]
impl Lock {
    #[event]
    fn combo_cleared(&mut self) {
        self.entered.clear()
    }

    #[event]
    fn digit_entered(&mut self, digit: Digit) {
        self.entered.push(digit)
    }

    #[event]
    fn intrusion_detected(&mut self, attempt: Vec<Digit>) {
        self.intruders.push(attempt)
    }

    #[on(Unlocked => Locked)]
    fn lock(&self) -> Step {
        goto(Locked).and_then(|fx| fx.services().report("the lock is secure"))
    }

    #[on(Locked => stay)]
    fn enter_digit(&self, digit: Digit) -> Step {
        stay().applying(LockEvent::DigitEntered { digit })
    }

    #[on(Locked => Unlocked | stay)]
    fn try_unlock(&self) -> Step<Greeting> {
        if self.entered == SECRET {
            goto(Unlocked).applying(LockEvent::ComboCleared).replying(Greeting::Welcome)
        } else {
            let attempt = self.entered.clone();
            stay()
                .applying([LockEvent::ComboCleared, LockEvent::IntrusionDetected { attempt }])
                .replying(Greeting::GoAway)
        }
    }

    /// Locks itself again when left open.
    #[after(30s, Unlocked => Locked)]
    fn relock(&self) -> Step {
        goto(Locked)
    }
}

fn calls(lock: &LockRef) {
    let _: [Call<(), Never>; 2] = [lock.lock(), lock.enter_digit(1)];
    let _: Call<Greeting, Never> = lock.try_unlock();
    let _: Call<LockState, Never> = lock.state();
    let _: Call<Vec<&'static str>, Never> = lock.accepts();
    let _: Call<(), annals::Refused> = lock.send(LockCommand::EnterDigit { digit: 1 });
}

fn main() {
    let _ = calls;
    assert!(LockState::Unlocked < LockState::Locked);
    let states = Lock::GRAPH.states.iter().map(|state| (state.name, state.kind, state.deadline));
    assert!(states.eq([
        ("Unlocked", StateKind::Initial, Some(Duration::from_secs(30))),
        ("Locked", StateKind::Ordinary, None),
    ]));
    assert_eq!(
        Lock::GRAPH.edges,
        [
            Edge { from: "Unlocked", to: Some("Locked"), by: By::Command("lock") },
            Edge { from: "Locked", to: None, by: By::Command("enter_digit") },
            Edge { from: "Locked", to: Some("Unlocked"), by: By::Command("try_unlock") },
            Edge { from: "Locked", to: None, by: By::Command("try_unlock") },
            Edge { from: "Unlocked", to: Some("Locked"), by: By::Deadline(Duration::from_secs(30)) },
        ]
    );
}
