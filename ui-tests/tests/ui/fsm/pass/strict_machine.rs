//! A crate that is strict with itself has nothing to say about what is generated.

#![deny(warnings)]
#![deny(missing_docs, missing_debug_implementations, unused, dead_code, unreachable_pub, unused_qualifications)]
#![deny(trivial_casts, unused_lifetimes, single_use_lifetimes, elided_lifetimes_in_paths, missing_copy_implementations)]
#![deny(private_interfaces, private_bounds, unnameable_types)]
#![deny(clippy::all, clippy::pedantic)]

use annals::prelude::*;

/// A door.
#[derive(Debug, Default, Clone, Copy, Serialize, Deserialize, Snapshot)]
pub struct Door {
    knocks: u64,
}

#[fsm(
    states(initial Open, transient Swinging was("Moving"), Closed was("Shut", "Ajar"), terminal Broken),
    snapshot(every = 100),
    retain = since_snapshot,
    forgettable
)]
impl Door {
    #[event]
    fn knocked(&mut self) {
        self.knocks += 1;
    }

    #[event(ignored_since = "2.0")]
    fn rung(&mut self, times: u64) {}

    /// Shuts the door; a handler may be public.
    #[on(Open => Swinging)]
    pub fn shut(&self) -> Step {
        goto(Swinging)
    }

    #[on(Closed => Open | Broken | stay)]
    #[ignore(Open | Swinging)]
    fn kick(&self, force: u64) -> Step {
        match force + self.knocks {
            0 => applying(DoorEvent::Knocked),
            1..9 => goto(Open),
            _ => goto(Broken),
        }
    }

    #[on(Broken => stay, command = kick)]
    #[deprecated]
    fn kick_the_broken(&self, force: u64) -> Step {
        let _ = force;
        stay()
    }

    #[after(250ms, Swinging => Closed)]
    fn fall_shut(&self) -> Step {
        goto(Closed)
    }

    #[enter(Broken)]
    fn lament(&self, fx: &Effects<Self>) {
        let _ = (self.knocks, fx.this());
    }

    #[exit(Open)]
    fn squeak(fx: &Effects<Self>) {
        let _ = fx.services();
    }
}

fn main() {
    let _ = Door::default();
}
