//! All that a machine may have.

use std::time::Duration;

use annals::prelude::*;
use annals::snapshot::{Retention, SnapshotError, SnapshotMeta};
use annals::{By, Call, CallError, Never, Refused, StateKind};

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Card(bool);

#[derive(Debug, PartialEq, Eq)]
pub struct Declined;

#[derive(Debug, Default, Clone, Serialize, Deserialize, Snapshot)]
#[snapshot(version = 1)]
pub struct Order {
    items: Vec<u64>,
}

type Outcome<H> = Result<Step<u64, H>, Declined>;

#[fsm(
    states(
        /// The customer is looking around.
        initial Shopping,
        Paying,
        transient Checking was("Asking"),
        Sent was("Shipped", "Under way"),
        terminal Closed,
    ),
    exhaustive,
    name = "shop/order",
    snapshot(every = 100, keep = 3),
    retain = Self::KEPT,
    forgettable,
    mod = order,
    services = String,
    derive(Eq, Serialize)
)]
impl Order {
    const PATIENCE: Duration = Duration::from_millis(100);
    const KEPT: Duration = Duration::from_secs(60);

    #[event]
    fn item_added(&mut self, item: u64) {
        self.items.push(item);
    }

    #[event(ignored_since = "2.0")]
    fn looked_at(&mut self, item: u64) {}

    #[on(Shopping => stay)]
    #[ignore(Paying | Checking)]
    #[reject(_)]
    fn add(&self, cx: &Context<Self>, item: u64) -> Step {
        debug_assert_eq!(cx.state(), OrderState::Shopping);
        applying(OrderEvent::ItemAdded { item }).snapshot()
    }

    /// Buys.
    #[on(Shopping => Paying | Checking | stay)]
    #[reject(Closed | Sent)]
    fn buy(&self, cx: &Context<Self>, card: Card) -> Result<Step<u64>, Declined> {
        let Some(item) = self.items.first() else { return Ok(stay().replying(0)) };
        if *item > 5 {
            Err(Declined)?;
        }
        if card.0 {
            let step = goto(Checking).for_max(Duration::from_secs(1));
            return Ok(step.replying(cx.id().as_str().len() as u64));
        }
        Ok(goto(Paying,).replying_with(|order| order.items.len() as u64))
    }

    #[on(Paying | Checking => stay, command = buy)]
    fn buy_twice(&self, card: Card) -> Result<Step<u64>, Declined> {
        let _ = card;
        Ok(stay().and_then(|fx| assert!(fx.services().is_empty())).replying(2))
    }

    #[on(_ => stay, command = look)]
    fn look_at_it(&self) -> Step<usize> {
        stay().replying(self.items.len())
    }

    #[on(Closed => stay, command = look)]
    fn look_back(&self) -> Step<usize> {
        stay().replying(0)
    }

    /// The type of the reply is behind an alias.
    #[on(Sent => Closed | Sent | stay)]
    #[reject(_)]
    fn close(&self, r#type: u8) -> Outcome<order::on::Close> {
        match r#type {
            0 => Ok(goto(Closed).replying(1)),
            1 => Ok(annals::goto(Sent).replying(1)),
            _ => self.close_later(),
        }
    }

    /// An unmarked method names the handler.
    fn close_later(&self) -> Outcome<order::on::Close> {
        Ok(stay().replying(2))
    }

    #[after(2h, Checking | Paying => Sent | stay)]
    fn send_off(&self, cx: &Context<Self>) -> Step {
        if cx.state() == OrderState::Paying { goto(Sent) } else { stay() }
    }

    #[cfg(all())]
    #[after(Self::PATIENCE, Sent => Sent)]
    fn remind(&self) -> Step {
        goto(Sent)
    }

    #[cfg(any())]
    #[after(NOT_THERE, Sent => Closed)]
    fn remind(&self) -> Step {
        goto(Closed)
    }

    #[enter(Sent | Closed)]
    fn announce(fx: &Effects<Self>) {
        let _ = fx.this().id();
    }

    #[enter(Sent)]
    fn mail(&self, fx: &Effects<Self>) {
        let _ = (self.items.len(), fx.services());
    }

    #[cfg(any())]
    #[enter(Sent)]
    fn not_there(&self, fx: &NotThere) {}

    #[exit(_)]
    fn thank(fx: &Effects<Self>) {
        let _ = fx;
    }

    #[query]
    fn items(&self) -> Vec<u64> {
        self.items.clone()
    }
}

fn calls(order: &OrderRef) {
    let _: Call<(), Never> = order.add(1);
    let _: Call<u64, Declined> = order.buy(Card(true));
    let _: Call<usize, Never> = order.look();
    let _: Call<u64, Declined> = order.close(1);
    let _: Call<Vec<u64>, Never> = order.items();
    let _: Call<SnapshotMeta, SnapshotError> = order.snapshot();
    let _: Call<(), Refused> = order.send(OrderCommand::Close { r#type: 1 });
}

async fn refused(order: &OrderRef) -> bool {
    matches!(order.add(1).await, Err(CallError::NotAccepted { .. }))
}

fn main() {
    let _ = (calls, refused);
    let kinds = Order::GRAPH.states.iter().map(|state| state.kind);
    use StateKind::{Initial, Ordinary, Terminal, Transient};
    assert!(kinds.eq([Initial, Ordinary, Transient, Ordinary, Terminal]));
    let deadlines = Order::GRAPH.states.iter().map(|state| state.deadline.map(|deadline| deadline.as_millis()));
    assert!(deadlines.eq([None, Some(7_200_000), Some(7_200_000), Some(100), None]));
    assert_eq!(Order::GRAPH.machine, "shop/order");
    assert_eq!(Order::GRAPH.states.iter().map(|state| state.was.len()).sum::<usize>(), 3);
    assert_eq!(Order::RETENTION, Retention::For(Duration::from_secs(60)));
    let edges = Order::GRAPH.edges.iter().map(|edge| {
        let by = match edge.by {
            By::Command(command) => command,
            By::Deadline(_) => "-",
        };
        format!("{} {by} {}", edge.from, edge.to.unwrap_or("stay"))
    });
    assert_eq!(
        edges.collect::<Vec<_>>().join("\n"),
        "\
Shopping add stay
Paying add stay
Checking add stay
Shopping buy Paying
Shopping buy Checking
Shopping buy stay
Paying buy stay
Checking buy stay
Shopping look stay
Paying look stay
Checking look stay
Sent look stay
Closed look stay
Sent close Closed
Sent close Sent
Sent close stay
Checking - Sent
Checking - stay
Paying - Sent
Paying - stay
Sent - Sent"
    );
}
