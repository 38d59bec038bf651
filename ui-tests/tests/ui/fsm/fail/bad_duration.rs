use annals::prelude::*;

#[derive(Debug, Default, Clone, Serialize, Deserialize)]
struct Door {
    knocks: u64,
}

#[fsm(states(initial Open, Ajar, Closed, Locked, Hot, Cold, Wet))]
impl Door {
    #[after(30minuts, Open => Ajar)]
    fn fall(&self) -> Step {
        goto(Ajar)
    }

    #[after(0s, Ajar => Closed)]
    fn close(&self) -> Step {
        goto(Closed)
    }

    #[after(30, Closed => Locked)]
    fn lock(&self) -> Step {
        goto(Locked)
    }

    #[after("1h", Locked => Hot)]
    fn heat(&self) -> Step {
        goto(Hot)
    }

    #[after(1.5h, Hot => Cold)]
    fn cool(&self) -> Step {
        goto(Cold)
    }

    #[after(Duration::from_secs(3), Cold => Wet)]
    fn rain(&self) -> Step {
        goto(Wet)
    }

    #[after(1h 30min, Wet => Open)]
    fn open(&self) -> Step {
        goto(Open)
    }
}

fn main() {}
