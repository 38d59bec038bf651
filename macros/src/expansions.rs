//! What the macros make of typical input, as snapshots to review like source.

use std::time::Duration;

use proc_macro2::TokenStream;
use quote::quote;

use crate::aggregate::{aggregate, fsm};
use crate::event::event;
use crate::snapshot::snapshot;

fn pretty(tokens: TokenStream) -> String {
    prettyplease::unparse(&syn::parse2(tokens).expect("the macros make items"))
}

#[test]
fn an_account() {
    let block = quote! {
        /// What an account does.
        impl Account {
            #[event]
            fn deposited(&mut self, amount: u64) {
                self.balance += amount
            }

            /// Money was taken out.
            #[event]
            fn withdrawn(&mut self, amount: u64) {
                self.balance -= amount
            }

            /// Pays `amount` in; replies with the new balance.
            #[command]
            fn deposit(&self, amount: u64) -> Step<u64> {
                applying(AccountEvent::Deposited { amount }).replying_with(Self::balance)
            }

            /// Takes `amount` out, or says how much is missing.
            #[command]
            fn withdraw(&self, cx: &Context<Self>, amount: u64) -> Result<Step<u64>, Overdrawn> {
                self.check(amount)?;
                Ok(applying(AccountEvent::Withdrawn { amount }).replying_with(Self::balance))
            }

            #[command]
            fn touch(&self) -> Step {
                stay()
            }

            #[query]
            fn balance(&self) -> u64 {
                self.balance
            }

            fn check(&self, amount: u64) -> Result<(), Overdrawn> {
                if amount > self.balance { Err(Overdrawn) } else { Ok(()) }
            }
        }
    };
    insta::assert_snapshot!(pretty(aggregate(TokenStream::new(), &block)));
}

#[test]
fn an_aggregate_with_events_of_its_own() {
    let keys = quote!(event = BankEvent);
    let block = quote! {
        impl Bank {
            fn apply(&mut self, event: BankEvent) {
                match event {
                    BankEvent::Opened => self.open = true,
                }
            }

            #[command]
            fn open(&self) -> Step {
                applying(BankEvent::Opened)
            }
        }
    };
    insta::assert_snapshot!(pretty(aggregate(keys, &block)));
}

#[test]
fn an_aggregate_with_all_options() {
    let keys = quote! {
        name = "bank/account",
        codec = json,
        services = Mailer,
        snapshot(every = 1_000, keep = 3),
        retain = 90d,
        forgettable,
        vis = pub(crate),
        derive(Eq, serde::Serialize),
        crate = crate::deps::annals
    };
    let block = quote! {
        impl bank::Account {
            const LIMIT: u64 = 10;

            #[event(name = "paid", was("paid_in"), version = 2, upcast(1 => PaidV1))]
            fn deposited(&mut self, #[serde(default)] mut amount: u64) {
                self.balance += amount;
            }

            #[event(ignored_since = "2.0")]
            fn greeted(&mut self, by: String) {}

            #[cfg(feature = "notes")]
            #[event]
            fn note_1_taken(&mut self, r#type: Box<Self>) {}

            #[command]
            #[deprecated]
            #[cfg(feature = "notes")]
            fn note(&self, /** What to note. */ text: [u8; Self::LIMIT]) -> Decision<Self> {
                vec![annals::stay()]
            }
        }
    };
    insta::assert_snapshot!(pretty(aggregate(keys, &block)));
}

/// The lock of DESIGN.
fn lock() -> TokenStream {
    quote! {
        impl Lock {
            #[event]
            fn combo_cleared(&mut self) {
                self.entered.clear()
            }

            #[event]
            fn digit_entered(&mut self, digit: Digit) {
                self.entered.push(digit)
            }

            #[on(Unlocked => Locked)]
            fn lock(&self) -> Step {
                goto(Locked).and_then(|fx| fx.services().report("the lock is secure"))
            }

            #[on(Locked => stay)]
            fn enter_digit(&self, digit: Digit) -> Step {
                stay().applying(LockEvent::DigitEntered { digit })
            }

            /// Opens the lock if the digits are right.
            #[on(Locked => Unlocked | stay)]
            fn try_unlock(&self) -> Step<Greeting> {
                if self.entered == SECRET {
                    goto(Unlocked).applying(LockEvent::ComboCleared).replying(Greeting::Welcome)
                } else {
                    applying(LockEvent::ComboCleared).replying(Greeting::GoAway)
                }
            }

            /// Locks itself again when left open.
            #[after(30s, Unlocked => Locked)]
            fn relock(&self) -> Step {
                goto(Locked)
            }
        }
    }
}

#[test]
fn a_lock() {
    insta::assert_snapshot!(pretty(fsm(quote!(states(initial Unlocked, Locked), services = Porter), &lock())));
}

#[test]
fn a_machine_with_everything() {
    let keys = quote! {
        states(
            /// The customer is looking around.
            initial Shopping,
            Paying,
            transient Checking was("Asking"),
            Sent was("Shipped", "Gone"),
            terminal Closed,
        ),
        exhaustive,
        name = "shop/order",
        snapshot,
        retain = Self::KEPT,
        mod = order,
        derive(Hash, strum::EnumIter),
        vis = pub(crate),
        crate = crate::deps::annals
    };
    let block = quote! {
        impl Order {
            #[event]
            fn item_added(&mut self, item: Item) {
                self.items.push(item);
            }

            #[on(Shopping => stay)]
            #[ignore(Paying | Checking)]
            #[reject(Sent | Closed)]
            fn add(&self, item: Item) -> Step {
                annals::stay().applying(OrderEvent::ItemAdded { item })
            }

            /// Buys.
            #[on(Shopping => Paying | Checking | stay)]
            #[reject(Closed | Sent)]
            fn buy(&self, cx: &Context<Self>, card: Card) -> Result<Step<u64>, Declined> {
                if card.is_new() {
                    return Ok(goto(Checking).for_max(SHORT).replying(1));
                }
                Ok(goto(Paying,).replying(0))
            }

            #[on(Paying | Checking => stay, command = buy)]
            fn buy_twice(&self, card: Card) -> Result<Step<u64>, Declined> {
                Err(Declined)
            }

            #[on(_ => stay)]
            #[cfg(feature = "late")]
            fn look(&self) -> Outcome<order::on::Look> {
                stay().replying(self.items.len())
            }

            #[cfg(feature = "late")]
            #[on(Closed => stay, command = look)]
            fn look_back(&self) -> Outcome<order::on::LookBack> {
                stay().replying(0)
            }

            #[on(Sent | Paying => Closed)]
            #[reject(_)]
            fn close(&self) -> Step {
                goto(Closed)
            }

            #[after(2h, Checking | Paying => Sent | stay)]
            fn send_off(&self, cx: &Context<Self>) -> Step {
                vec![goto(Sent)].pop()
            }

            #[cfg(feature = "late")]
            #[after(Self::PATIENCE, Sent => Sent)]
            fn remind(&self) -> Step {
                goto(Sent)
            }

            #[enter(Sent | Closed)]
            fn announce(fx: &Effects<Self>) {}

            #[enter(Sent)]
            #[cfg(feature = "mail")]
            fn mail(&self, fx: &Effects<Self>) {}

            #[exit(Shopping)]
            fn thank(fx: &Effects<Self>) {}
        }
    };
    insta::assert_snapshot!(pretty(fsm(keys, &block)));
}

#[test]
fn an_aggregate_with_mistakes() {
    let block = quote! {
        impl Account {
            #[event]
            fn deposited(&self, amount: &str) {}

            #[command]
            fn deposit(&self, amount: u64) -> u64 {
                amount
            }
        }
    };
    insta::assert_snapshot!(pretty(aggregate(TokenStream::new(), &block)));
}

#[test]
fn a_machine_with_mistakes() {
    let block = quote! {
        impl Door {
            #[on(Open => Closed)]
            fn shut(&self) -> Step {
                goto(Closd)
            }

            #[on(Closd => stay)]
            fn knock(&self) -> Step {
                stay()
            }

            #[enter(Closed)]
            fn reopen(fx: &Effects<Self>) -> Step {
                goto(Open)
            }
        }
    };
    insta::assert_snapshot!(pretty(fsm(quote!(states(initial Open, Closed, on)), &block)));
}

#[test]
fn a_machine_whose_states_are_unknown() {
    for keys in [quote!(), quote!(states()), quote!(states(initial)), quote!(sates(initial Open))] {
        let block = quote! {
            impl Door {
                #[on(Open => Closed)]
                fn shut(&self) -> Step {
                    goto(Closed)
                }
            }
        };
        let expanded = pretty(fsm(keys, &block));
        assert_eq!(expanded.matches("compile_error").count(), 1, "{expanded}");
        assert!(expanded.contains("enum DoorState {\n    __None,\n}"), "{expanded}");
    }
}

/// The docs of the states show what the graph itself draws.
#[test]
fn the_diagram_in_the_docs_is_that_of_the_graph() {
    use annals::{By, Edge, Graph, StateInfo, StateKind};

    const PARCEL: Graph = Graph {
        machine: "Parcel",
        states: &[
            StateInfo { name: "Packed", was: &[], kind: StateKind::Initial, deadline: None },
            StateInfo {
                name: "Scanned",
                was: &[],
                kind: StateKind::Transient,
                deadline: Some(Duration::from_secs(30)),
            },
            StateInfo { name: "Über", was: &[], kind: StateKind::Ordinary, deadline: None },
            StateInfo { name: "End", was: &[], kind: StateKind::Terminal, deadline: None },
        ],
        edges: &[
            Edge { from: "Scanned", to: Some("Über"), by: By::Deadline(Duration::from_secs(30)) },
            Edge { from: "Packed", to: Some("Scanned"), by: By::Command("scan") },
            Edge { from: "Packed", to: Some("Packed"), by: By::Command("scan") },
            Edge { from: "Packed", to: None, by: By::Command("scan") },
            Edge { from: "Packed", to: Some("End"), by: By::Command("lose") },
            Edge { from: "Scanned", to: Some("End"), by: By::Command("lose") },
            Edge { from: "Über", to: Some("End"), by: By::Command("lose") },
            Edge { from: "End", to: None, by: By::Command("lose") },
        ],
    };
    let keys = quote!(states(initial Packed, transient Scanned, Über, terminal End));
    let block = quote! {
        impl Parcel {
            #[after(30s, Scanned => Über)]
            fn leave(&self) -> Step {}
            #[on(Packed => Scanned | Packed | stay)]
            fn scan(&self) -> Step {}
            #[on(_ => End)]
            #[ignore(End)]
            fn lose(&self) -> Step {}
        }
    };
    let expanded = pretty(fsm(keys, &block));
    let docs = expanded.lines().filter_map(|line| line.strip_prefix("/// "));
    let diagram: Vec<&str> =
        docs.skip_while(|line| *line != "```mermaid").skip(1).take_while(|line| *line != "```").collect();
    assert_eq!(diagram.join("\n") + "\n", PARCEL.to_mermaid());
}

#[test]
fn a_half_typed_body() {
    let block = quote! {
        impl Account {
            #[event]
            fn deposited(&mut self) {}

            #[command]
            fn deposit(&self) -> Step {
                let step = ; applying(AccountEvent::)
            }
        }
    };
    // It is no Rust, so it can't be printed as such; what matters is that the macro goes on.
    let expanded = aggregate(TokenStream::new(), &block).to_string();
    assert!(expanded.contains("enum AccountCommand"), "{expanded}");
    assert!(!expanded.contains("compile_error"), "{expanded}");
}

#[test]
fn an_event_enum_with_upcasts() {
    let item = quote! {
        #[event(crate = crate::deps::annals)]
        enum AccountEvent {
            #[event(version = 3, upcast(2 => DepositedV2, 1 => DepositedV1))]
            Deposited { amount: u64 },
            #[event(was("taken"), ignored_since = "2.0")]
            Withdrawn(u64),
        }
    };
    insta::assert_snapshot!(pretty(event(item)));
}

#[test]
fn an_event_enum_without_upcasts() {
    insta::assert_snapshot!(pretty(event(quote!(
        enum AccountEvent {
            Opened,
            HTTPAnswered,
        }
    ))));
}

#[test]
fn data_with_upcasts() {
    let item = quote! {
        #[snapshot(version = 3, upcast(2 => AccountV2, 1 => AccountV1), crate = crate::deps::annals)]
        struct Account {
            balance: u64,
            r#type: Vec<(String, [u8; 32],),>,
        }
    };
    insta::assert_snapshot!(pretty(snapshot(item)));
}

#[test]
fn data_without_upcasts() {
    insta::assert_snapshot!(pretty(snapshot(quote!(
        enum Lamp {
            Off,
            On { since: Timestamp },
            Broken(String),
        }
    ))));
}

#[test]
fn the_same_input_makes_the_same_output() {
    let block = quote! {
        impl Account {
            #[event]
            fn opened(&mut self) {}
            #[event]
            fn closed(&mut self) {}
            #[command]
            fn open(&self) -> Step {
                stay()
            }
        }
    };
    let once = aggregate(TokenStream::new(), &block).to_string();
    assert_eq!(once, aggregate(TokenStream::new(), &block).to_string());
}
