use annals::prelude::*;

#[derive(Debug, Default, Clone, Serialize, Deserialize)]
struct Door {
    knocks: u64,
}

#[fsm(states(initial Open, Ajar, Closed))]
impl Door {
    #[after(10s, Open => Ajar)]
    fn fall(&self, cx: &Context<Self>, force: u64) -> Step<u64> {
        goto(Ajar).replying(force + cx.id().as_str().len() as u64)
    }

    #[after(10s, Ajar => Closed)]
    fn close(&self) -> Result<Step, String> {
        Ok(goto(Closed))
    }

    #[after(10s, Closed => Open)]
    async fn open(&mut self) {}
}

fn main() {}
