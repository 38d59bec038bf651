use annals::prelude::*;

#[derive(Debug, Default, Clone, Serialize, Deserialize)]
struct Door {
    knocks: u64,
}

#[derive(Default, Serialize, Deserialize)]
struct Lamp;

#[fsm(states(initial Dark, Bright))]
impl Lamp {
    #[event]
    fn lit(&mut self) {}

    #[on(_ => Dark | Bright)]
    fn press(&self) -> Step {
        if false { goto(Dark) } else { goto(Bright).applying(LampEvent::Lit) }
    }
}

#[fsm(states(initial Open))]
impl Door {
    #[event]
    fn knocked(&mut self) {}

    #[on(Open => stay)]
    fn knock(&self) -> Step {
        applying(LampEvent::Lit)
    }

    #[on(Open => stay)]
    fn knock_twice(&self) -> Step {
        stay().applying([LampEvent::Lit, LampEvent::Lit])
    }

    #[on(Open => stay)]
    fn knock_once(&self) -> Step<u64> {
        applying(DoorEvent::Knocked)
    }
}

fn main() {}
