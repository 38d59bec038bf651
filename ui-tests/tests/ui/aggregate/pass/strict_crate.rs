//! A crate that denies what generated code could raise.

#![deny(
    warnings,
    missing_docs,
    unused,
    dead_code,
    unreachable_pub,
    missing_debug_implementations,
    unused_qualifications,
    unused_lifetimes,
    elided_lifetimes_in_paths,
    single_use_lifetimes,
    trivial_casts,
    private_interfaces
)]
#![deny(clippy::all, clippy::pedantic)]
#![forbid(unsafe_code)]

mod bank {
    use annals::prelude::*;

    #[derive(Default, Serialize, Deserialize)]
    struct Account {
        balance: u64,
    }

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    struct Coins(u64);

    struct Overdrawn;

    #[aggregate]
    impl Account {
        #[event]
        fn deposited(&mut self, coins: Coins) {
            self.balance += coins.0;
        }

        #[event]
        fn closed(&mut self) {}

        #[command]
        fn deposit(&self, coins: Coins) -> Result<Step<u64>, Overdrawn> {
            Ok(applying(AccountEvent::Deposited { coins }).replying_with(Self::balance))
        }

        #[command]
        fn touch(&self) -> Step {
            stay()
        }

        #[query]
        fn balance(&self) -> u64 {
            self.balance
        }
    }
}

fn main() {}
