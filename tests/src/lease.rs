//! A machine with some of everything: deadlines, a transient and a terminal state, hooks, and ways to go wrong.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use annals::prelude::*;

use crate::Diary;

/// Somebody may have a thing for a while.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
pub struct Lease {
    renewals: u64,
    notes: Vec<String>,
    mood: Mood,
}

/// What a lease does when its time is over.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mood {
    /// It warns.
    #[default]
    Strict,
    /// It stays as it is.
    Lenient,
    /// It stays as it is, and notes that it did.
    Noting,
    /// It panics.
    Furious,
    /// It makes an event whose fold panics.
    Cursed,
}

thread_local! {
    static FURIES: Cell<usize> = const { Cell::new(0) };
}

/// How often a lease has panicked in this thread because its time was over.
pub fn furies() -> usize {
    FURIES.get()
}

/// There is a condition that isn't met.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotRenewed;

#[fsm(states(initial Free, Held, transient Moving, Warned, terminal Gone), services = Arc<Diary>)]
impl Lease {
    #[event]
    fn renewed(&mut self) {
        self.renewals += 1;
    }

    #[event]
    fn noted(&mut self, text: String) {
        self.notes.push(text);
    }

    #[event]
    fn felt(&mut self, mood: Mood) {
        self.mood = mood;
    }

    #[event]
    fn cursed(&mut self) {
        panic!("cursed");
    }

    /// Takes it, for 60 days.
    #[on(Free => Held)]
    fn take(&self) -> Step {
        goto(Held).and_then(|fx| fx.services().write(format!("took {}", fx.this().id())))
    }

    /// Takes it for some other time.
    #[on(Free => Held)]
    fn take_for(&self, time: Duration) -> Step {
        goto(Held).for_max(time)
    }

    /// Enters the state anew; replies how often that was done.
    #[on(Held => Held)]
    fn renew(&self) -> Step<u64> {
        goto(Held)
            .applying(LeaseEvent::Renewed)
            .and_then(|fx| fx.services().write("renewed"))
            .replying_with(Self::renewals)
    }

    /// Gives it back, if it was renewed at least so often.
    #[on(Held | Warned => Free)]
    fn give_back(&self, renewals: u64) -> Result<Step<u64>, NotRenewed> {
        if self.renewals < renewals {
            return Err(NotRenewed);
        }
        Ok(goto(Free).replying(self.renewals))
    }

    /// Stores a text and stays.
    #[on(Free | Held | Moving | Warned => stay)]
    fn note(&self, text: String) -> Step {
        stay().applying(LeaseEvent::Noted { text })
    }

    /// Stays and stores nothing; replies where it is, at which record, and when.
    #[on(_ => stay)]
    fn look(&self, cx: &Context<Self>) -> Step<(LeaseState, u64, annals::Timestamp)> {
        stay().replying((cx.state(), cx.seq_nr().0, cx.now()))
    }

    /// Says what is to be done when its time is over.
    #[on(Free | Held => stay)]
    fn feel(&self, mood: Mood) -> Step {
        applying(LeaseEvent::Felt { mood })
    }

    /// Does nothing where it is ignored.
    #[on(Held => stay)]
    #[ignore(Free | Gone)]
    #[reject(Warned)]
    fn poke(&self) -> Step {
        applying(LeaseEvent::Noted { text: "poked".to_owned() })
    }

    /// Goes where nobody recovers to.
    #[on(Free | Held => Moving)]
    fn move_out(&self) -> Step {
        goto(Moving)
    }

    /// Makes an event whose fold panics.
    #[on(Moving => stay)]
    fn feel_cursed(&self) -> Step {
        applying(LeaseEvent::Cursed)
    }

    /// Comes back from there.
    #[on(Moving => Free)]
    fn arrive(&self) -> Step {
        goto(Free)
    }

    /// Panics.
    #[on(Held => stay)]
    fn crash(&self) -> Step {
        panic!("crashed")
    }

    /// Ends it.
    #[on(Free | Held => Gone)]
    fn end(&self) -> Step {
        goto(Gone)
    }

    /// Whoever doesn't use it is forgotten.
    #[after(1h, Free => stay)]
    fn lie_idle(&self) -> Step {
        applying(LeaseEvent::Noted { text: "idle".to_owned() })
    }

    /// The time is over.
    #[after(60d, Held => Warned | stay)]
    fn run_out(&self) -> Step {
        match self.mood {
            Mood::Strict => goto(Warned).and_then(|fx| fx.services().write(format!("{} ran out", fx.this().id()))),
            Mood::Lenient => stay(),
            Mood::Noting => stay().applying(LeaseEvent::Noted { text: "ran out".to_owned() }),
            Mood::Furious => {
                FURIES.set(FURIES.get() + 1);
                panic!("furious")
            }
            Mood::Cursed => stay().applying(LeaseEvent::Cursed),
        }
    }

    /// Who doesn't come back is sent back.
    #[after(10s, Moving => Held)]
    fn get_lost(&self) -> Step {
        goto(Held)
    }

    /// The last word was said.
    #[after(7d, Warned => Gone)]
    fn fade(&self) -> Step {
        goto(Gone)
    }

    #[enter(Held)]
    fn greet(&self, fx: &Effects<Self>) {
        fx.services().write(format!("entered Held, renewed {} times", self.renewals));
    }

    #[exit(Held)]
    fn part(&self, fx: &Effects<Self>) {
        fx.services().write(format!("left Held, renewed {} times", self.renewals));
    }

    #[exit(Free)]
    fn creak(fx: &Effects<Self>) {
        assert!(fx.this().id().as_str() != "creaky", "the hinge broke");
    }

    /// How often it was renewed.
    #[query]
    pub fn renewals(&self) -> u64 {
        self.renewals
    }

    /// What was noted.
    #[query]
    fn notes(&self) -> Vec<String> {
        self.notes.clone()
    }
}
