use annals::prelude::*;

#[derive(Debug, Default, Clone, Serialize, Deserialize)]
struct Door {
    knocks: u64,
}

#[fsm(states(initial Open, Closed))]
impl Door {
    #[on(Open => Closed)]
    fn shut(&self, fx: &Effects<Self>) -> Step {
        let _ = fx.this();
        goto(Closed)
    }

    #[on(Closed => Open)]
    fn open(&self, cx: &Context<Self>, force: u64, fx: Effects<Self>) -> Step<u64> {
        let _ = (cx.now(), fx.this());
        goto(Open).replying(force)
    }

    #[after(1h, Open => Closed)]
    fn fall_shut(&self, fx: &Effects<Self>) -> Step {
        let _ = fx.this();
        goto(Closed)
    }

    #[query]
    fn knocks(&self, fx: &Effects<Self>) -> u64 {
        let _ = fx.this();
        self.knocks
    }

    #[enter(Closed)]
    fn creak(&self, cx: &Context<Self>, fx: &Effects<Self>) {
        let _ = (cx.now(), fx.this());
    }

    #[exit(Closed)]
    fn squeak(cx: &Context<Self>) {
        let _ = cx.now();
    }
}

async fn open(door: DoorRef) -> bool {
    door.shut().await.is_ok() && door.open(1).await == Ok(1) && door.knocks().await == Ok(1)
}

fn main() {
    let _ = open;
}
