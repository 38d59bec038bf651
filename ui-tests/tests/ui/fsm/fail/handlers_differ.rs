use annals::prelude::*;

#[derive(Debug, Default, Clone, Serialize, Deserialize)]
struct Door {
    knocks: u64,
}

#[fsm(states(initial Open, Closed))]
impl Door {
    #[on(Open => Closed)]
    fn push(&self, force: u64, _twice: bool) -> Step<bool> {
        goto(Closed).replying(force > 1)
    }

    #[on(Closed => Open, command = push)]
    fn push_it_open(&self, strength: u32) -> Step {
        if strength > 1 { goto(Open) } else { goto(Open) }
    }

    #[on(Open => stay)]
    fn look(&self) -> Step<u64> {
        stay().replying(self.knocks)
    }

    #[on(Closed => stay, command = look)]
    fn look_at_the_closed(&self, _cx: &Context<Self>) -> Result<Step<u64>, ()> {
        Err(())
    }
}

fn main() {}
