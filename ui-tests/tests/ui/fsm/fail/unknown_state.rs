use annals::prelude::*;

#[derive(Debug, Default, Clone, Serialize, Deserialize)]
struct Door {
    knocks: u64,
}

#[fsm(states(initial Open, Closed, terminal Broken))]
impl Door {
    #[on(Open => Closd)]
    fn shut(&self) -> Step {
        goto(Closed)
    }

    #[on(Closde => Open)]
    #[reject(Opne)]
    fn open(&self) -> Step {
        goto(Opened)
    }

    #[after(10s, Oepn | Somewhere => Closed)]
    fn fall_shut(&self) -> Step {
        goto(Closed)
    }

    #[enter(closed)]
    fn bang(fx: &Effects<Self>) {
        let _ = fx.this().id();
    }
}

async fn elsewhere(door: DoorRef) {
    let _ = [door.shut().await, door.open().await];
    let _: Result<DoorState, _> = door.state().await;
}

fn main() {}
