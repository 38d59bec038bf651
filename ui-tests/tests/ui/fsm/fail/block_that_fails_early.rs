use annals::prelude::*;

#[derive(Debug, Default, Clone, Serialize, Deserialize)]
struct Door<T> {
    knocks: T,
}

#[fsm(states(initial Open, Closed))]
impl<T> Door<T> {
    #[event]
    fn knocked(&mut self, knocks: T) {
        self.knocks = knocks;
    }

    #[on(Open => Closed)]
    fn shut(&self) -> Step {
        goto(Closed).applying(DoorEvent::Knocked)
    }

    #[on(Closed => Open)]
    fn open(&self, cx: &Context<Self>) -> Result<Step<u64>, String> {
        self.swing()
    }

    #[enter(Closed)]
    fn creak(fx: &Effects<Self>) {
        let _ = fx.this();
    }

    fn swing(&self) -> Result<Step<u64>, String> {
        Ok(goto(Open).replying(1))
    }
}

#[derive(Debug, Default, Clone, Serialize, Deserialize)]
struct Gate;

#[fsm(states(initial Open, Closed))]
impl Gate {
    #[on(Open => Closed)]
    fn shut(&self) -> Step {
        goto(Closed)
    }

    #[on(Closed => Open)]
    fn open(&self) -> Step {
        goto(Open)
    }

    #[reject(Closed)]
    fn lift(&self) -> Step<u64> {
        stay().replying(1)
    }
}

#[derive(Debug, Default, Clone, Serialize, Deserialize)]
struct Lamp;

#[aggregate]
impl Lamp {
    #[on(Dark => Bright)]
    fn light(&self) -> Step {
        goto(Bright)
    }

    #[after(1h, Bright => Dark)]
    fn go_out(&self) -> Step {
        goto(Dark)
    }
}

fn main() {}
