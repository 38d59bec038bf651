//! A crate that denies what generated code could raise.

#![deny(
    warnings,
    deprecated,
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

    impl From<Coins> for AccountEvent {
        fn from(coins: Coins) -> Self {
            Self::Deposited { coins }
        }
    }

    #[aggregate]
    impl Account {
        #[event]
        fn deposited(&mut self, coins: Coins) {
            self.balance += coins.0;
        }

        #[event]
        fn closed(&mut self) {}

        #[event(ignored_since = "1.2", version = 2, upcast(1 => Coins))]
        fn greeted(&mut self, by: String, for_coins: Coins) {}

        #[event(ignored_since = "a year ago")]
        fn waved(&mut self) {}

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

/// Seen from outside, so that all of it needs docs.
pub mod open {
    use annals::prelude::*;

    /// An order.
    #[derive(Debug, Default, Clone, Copy, Serialize, Deserialize, Snapshot)]
    #[snapshot(version = 2, upcast(1 => OrderV1))]
    pub struct Order {
        lines: u32,
    }

    /// An order as it was.
    #[derive(Debug, Deserialize)]
    pub struct OrderV1(u32);

    impl From<OrderV1> for Order {
        fn from(OrderV1(lines): OrderV1) -> Self {
            Self { lines }
        }
    }

    #[aggregate(derive(Eq, Hash), snapshot(every = 100), retain = 5min, forgettable)]
    impl Order {
        #[event]
        fn line_added(&mut self, line: String, amount: Option<u32>) {
            self.lines += amount.map_or(u32::from(!line.is_empty()), |amount| amount);
        }

        #[event(ignored_since = "1.2.0")]
        fn line_read(&mut self, line: String) {}

        #[command]
        fn add_line(&self, cx: &Context<Self>, line: String) -> Step<u32> {
            let amount = u32::try_from(cx.id().as_str().len()).ok();
            applying([OrderEvent::LineAdded { line, amount }]).replying(1)
        }

        #[command]
        #[deprecated = "add lines"]
        fn add_nothing(&self) -> Step {
            stay()
        }

        #[query]
        fn is_empty(&self) -> bool {
            self.lines == 0
        }
    }
}

fn main() {}
