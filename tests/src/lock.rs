//! The lock that annals is explained with.

use std::sync::Arc;

use annals::prelude::*;

use crate::Diary;

/// One digit of a combination.
pub type Digit = u8;

/// What opens the lock.
pub const SECRET: [Digit; 4] = [1, 2, 3, 4];

/// A lock with a combination, which locks itself again.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
pub struct Lock {
    entered: Vec<Digit>,
    intruders: Vec<Vec<Digit>>,
}

/// What a lock says to who tries it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Greeting {
    /// It was the combination.
    Welcome,
    /// It was not.
    GoAway,
}

#[fsm(states(initial Unlocked, Locked), services = Arc<Diary>, codec = json)]
impl Lock {
    #[event]
    fn combo_cleared(&mut self) {
        self.entered.clear();
    }

    #[event]
    fn digit_entered(&mut self, digit: Digit) {
        self.entered.push(digit);
    }

    #[event]
    fn intrusion_detected(&mut self, attempt: Vec<Digit>) {
        self.intruders.push(attempt);
    }

    /// Locks it.
    #[on(Unlocked => Locked)]
    fn lock(&self) -> Step {
        goto(Locked).and_then(|fx| fx.services().write("the lock is secure"))
    }

    /// Takes one digit more.
    #[on(Locked => stay)]
    fn enter_digit(&self, digit: Digit) -> Step {
        stay().applying(LockEvent::DigitEntered { digit })
    }

    /// Opens it, if the digits are the combination.
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

    /// The digits so far.
    #[query]
    fn entered(&self) -> Vec<Digit> {
        self.entered.clone()
    }
}
