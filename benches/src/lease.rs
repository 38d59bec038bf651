//! Two machines that differ in one thing: the time in the state of the one is limited.

use annals::prelude::*;
use annals::{Never, System};
use annals_bench::notebook::id;

/// Its time is limited.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Lease {
    renewals: u64,
}

#[fsm(states(initial Free, Held), vis = pub(crate))]
impl Lease {
    #[event]
    fn renewed(&mut self) {
        self.renewals += 1;
    }

    /// Enters the state, or enters it anew.
    #[on(Free | Held => Held)]
    fn renew(&self) -> Step {
        goto(Held).applying(LeaseEvent::Renewed)
    }

    #[after(1000d, Held => Free)]
    fn expire(&self) -> Step {
        goto(Free)
    }
}

/// Its time is not limited.
#[derive(Debug, Default, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Loan {
    renewals: u64,
}

#[fsm(states(initial Free, Held), vis = pub(crate))]
impl Loan {
    #[event]
    fn renewed(&mut self) {
        self.renewals += 1;
    }

    /// Enters the state, or enters it anew.
    #[on(Free | Held => Held)]
    fn renew(&self) -> Step {
        goto(Held).applying(LoanEvent::Renewed)
    }
}

/// Has a machine with this number, limited or not, begin its visit anew.
pub(crate) async fn renew(system: System, number: u64, limited: bool) -> Result<(), CallError<Never>> {
    if limited { system.get::<Lease>(id(number)).renew().await } else { system.get::<Loan>(id(number)).renew().await }
}
