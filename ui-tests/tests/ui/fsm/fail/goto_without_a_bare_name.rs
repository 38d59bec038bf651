use annals::prelude::*;

#[derive(Debug, Default, Clone, Serialize, Deserialize)]
struct Door {
    knocks: u64,
}

#[fsm(states(initial Open, Closed, terminal Broken))]
impl Door {
    #[on(Open => Closed)]
    fn shut(&self) -> Step {
        goto(DoorState::Closed)
    }

    #[on(Open => Closed | Broken)]
    fn slam(&self) -> Step {
        goto(if self.knocks == 0 { Closed } else { Broken })
    }

    #[on(Closed => Open | Broken | stay)]
    fn push(&self, force: u64) -> Result<Step<u64>, String> {
        let step = goto(match force {
            0 => return Ok(stay().replying(0)),
            1 => Open,
            _ => Broken,
        });
        Ok(step.replying(force))
    }
}

async fn shut(door: DoorRef) -> bool {
    door.shut().await.is_ok() && door.push(1).await == Ok(1)
}

fn main() {
    let _ = shut;
}
