use annals::prelude::*;

#[derive(Deserialize)]
struct Old;

#[derive(Serialize, Deserialize, Event)]
enum AccountEvent {
    #[event(version = 4, upcast(3 => Old, 1 => Old, 1 => Old))]
    Deposited,
    #[event(version = 2, upcast(1 => Old, 2 => Old))]
    Withdrawn,
}

impl From<Old> for AccountEvent {
    fn from(_: Old) -> Self {
        Self::Withdrawn
    }
}

fn main() {}
