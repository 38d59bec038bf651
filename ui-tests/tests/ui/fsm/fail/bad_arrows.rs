use annals::prelude::*;

#[derive(Debug, Default, Clone, Serialize, Deserialize)]
struct Door {
    knocks: u64,
}

#[fsm(states(initial Open, Closed), mode = x, exhaustive = true, states(Ajar))]
impl Door {
    #[on]
    fn nothing(&self) -> Step {
        goto(Closed)
    }

    #[on(Open)]
    fn nowhere(&self) -> Step {
        goto(Closed)
    }

    #[on(Open -> Closed)]
    fn thin(&self) -> Step {
        goto(Closed)
    }

    #[on(Open, Closed => Open)]
    fn comma(&self) -> Step {
        goto(Closed)
    }

    #[on(Open => Open, Closed)]
    fn comma_behind(&self) -> Step {
        goto(Closed)
    }

    #[after(2s, Open, Closed => Open)]
    fn comma_after(&self) -> Step {
        goto(Closed)
    }

    #[on(Open => )]
    fn empty(&self) -> Step {
        goto(Closed)
    }

    #[on(Open => _)]
    fn anywhere(&self) -> Step {
        goto(Closed)
    }

    #[on(Open => Closed, comand = close)]
    fn misspelt(&self) -> Step {
        goto(Closed)
    }

    #[on(Open => Closed, command = "kick")]
    fn quoted(&self) -> Step {
        goto(Closed)
    }

    #[on(stay => Closed | Closed)]
    fn twice(&self) -> Step {
        goto(Closed)
    }

    #[after(1s)]
    fn after(&self) -> Step {
        goto(Closed)
    }

    #[enter]
    fn enter(_fx: &Effects<Self>) {}
}

#[derive(Default, Serialize, Deserialize)]
struct Gate;

#[fsm(states(begin Open, #[cfg(x)] Closed, initial))]
impl Gate {}

fn main() {}
