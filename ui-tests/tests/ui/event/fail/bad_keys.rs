use annals::prelude::*;

#[derive(Serialize, Deserialize, Event)]
#[event(crat = annals)]
enum AccountEvent {
    #[event(nmae = "deposited")]
    Deposited {
        #[event(name = "amount")]
        amount: u64,
    },
    #[event(name = "withdrawn", name = "taken")]
    Withdrawn,
    #[event(name = "withdrawn")]
    Taken,
    #[event(was = "closed")]
    Closed,
    #[event(upcast(1 = Old))]
    Moved,
    #[event(vresion = 2, upcast(1 => Old))]
    Renamed,
    #[event(ignored_since)]
    Forgotten,
    #[event(ignored_since = 2.0)]
    Ignored,
}

fn main() {}
