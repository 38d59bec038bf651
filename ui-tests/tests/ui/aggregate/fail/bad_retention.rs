use annals::prelude::*;

macro_rules! data {
    ($($name:ident),*) => {
        $(
            #[derive(Default, Serialize, Deserialize, Snapshot)]
            struct $name;
        )*
    };
}

data!(A, B, C, D, E, F, G, H);

#[aggregate(snapshot(every = 0, keep = 0), retain = 0d)]
impl A {
    #[event]
    fn done(&mut self) {}

    #[command]
    fn act(&self) -> Step {
        applying(AEvent::Done)
    }
}

#[aggregate(snapshot(evry = 10, every = 10, every = 20), retain = since_snapshots, forgetable)]
impl B {
    #[event]
    fn done(&mut self) {}

    #[command]
    fn act(&self) -> Step {
        applying(BEvent::Done)
    }
}

#[aggregate(snapshot = 1000, retain = 90days)]
impl C {
    #[event]
    fn done(&mut self) {}

    #[command]
    fn act(&self) -> Step {
        applying(CEvent::Done)
    }
}

#[aggregate(snapshot(1000), retain = "90d", forgettable = true)]
impl D {
    #[event]
    fn done(&mut self) {}

    #[command]
    fn act(&self) -> Step {
        applying(DEvent::Done)
    }
}

#[aggregate(snapshot, snapshot(keep = 3), retain(90d), retain)]
impl E {
    #[event]
    fn done(&mut self) {}

    #[command]
    fn act(&self) -> Step {
        applying(EEvent::Done)
    }
}

#[aggregate(snapshot(every = "1000", keep = 2usize), retain = )]
impl F {
    #[event]
    fn done(&mut self) {}

    #[command]
    fn act(&self) -> Step {
        applying(FEvent::Done)
    }
}

#[aggregate(snapshot(every, keep = -1), retain = All)]
impl G {
    #[event]
    fn done(&mut self) {}

    #[command]
    fn act(&self) -> Step {
        applying(GEvent::Done)
    }
}

#[fsm(states(initial Open), snapshot(every = 5_000_000_000), retain = all 90d)]
impl H {
    #[event]
    fn done(&mut self) {}

    #[on(Open => stay)]
    fn act(&self) -> Step {
        applying(HEvent::Done)
    }
}

fn calls(a: ARef, h: HRef) {
    let _ = (a.act(), a.snapshot(), h.act(), h.snapshot());
}

fn main() {}
