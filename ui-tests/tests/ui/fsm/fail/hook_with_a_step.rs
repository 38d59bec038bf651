use annals::prelude::*;

#[derive(Debug, Default, Clone, Serialize, Deserialize)]
struct Door {
    knocks: u64,
}

#[fsm(states(initial Open, Closed))]
impl Door {
    #[on(Open => Closed)]
    fn close(&self) -> Step {
        goto(Closed)
    }

    #[on(Closed => Open)]
    fn open(&self) -> Step {
        goto(Open)
    }

    #[enter(Closed)]
    fn reopen(fx: &Effects<Self>) -> Step {
        goto(Open)
    }

    #[exit(Closed)]
    async fn squeak(&mut self) {}

    #[enter(Open)]
    fn tell(_fx: Effects<Self>, _loudly: bool) {}
}

fn main() {}
