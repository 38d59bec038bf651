//! The twins of all mistakes with event enums: every form that is accepted.

#![deny(missing_docs, unused, unreachable_pub, missing_debug_implementations)]

use annals::prelude::*;

/// Twin of `not_an_enum`, `without_serde` and `serde_changes_the_variant`: serde may rename fields and fill them in.
#[derive(Debug, Serialize, Deserialize, Event)]
#[serde(rename_all_fields = "camelCase")]
enum AccountEvent {
    Deposited {
        amount: u64,
        #[serde(default, alias = "memo")]
        note_text: String,
    },
    /// Twin of `bad_keys`.
    #[event(name = "taken_out", was("withdrawn", "taken"))]
    Withdrawn(u64),
    Closed,
    #[cfg(any())]
    Never(NoSuchType),
    /// Twin of `gap_between_upcasts` and `upcast_without_from`: the upcasts in any order.
    #[event(version = 3, upcast(2 => MovedV2, 1 => MovedV1))]
    Moved { to: String, by: String },
}

#[derive(Deserialize)]
struct MovedV1(String);

#[derive(Deserialize)]
struct MovedV2 {
    to: String,
}

impl From<MovedV1> for MovedV2 {
    fn from(MovedV1(to): MovedV1) -> Self {
        Self { to }
    }
}

impl From<MovedV2> for AccountEvent {
    fn from(MovedV2 { to }: MovedV2) -> Self {
        Self::Moved { to, by: String::new() }
    }
}

#[derive(Debug, Serialize, Deserialize, Event)]
enum Nothing {}

#[derive(Debug, Serialize, Deserialize, Event)]
enum HTTPEvent {
    r#GETAnswered,
}

mod elsewhere {
    pub(crate) use annals as journal;
}

#[derive(Debug, Serialize, Deserialize, Event)]
#[event(crate = crate::elsewhere::journal)]
enum OrderEvent {
    Placed,
}

fn main() {
    let stored = |variants: &'static [annals::EventVariant]| -> Vec<_> {
        variants.iter().map(|variant| (variant.name, variant.was, variant.version)).collect()
    };
    assert_eq!(
        stored(AccountEvent::VARIANTS),
        [
            ("deposited", &[][..], 1),
            ("taken_out", &["withdrawn", "taken"], 1),
            ("closed", &[], 1),
            ("moved", &[], 3)
        ]
    );
    assert!(Nothing::VARIANTS.is_empty());
    assert_eq!(stored(HTTPEvent::VARIANTS), [("get_answered", &[][..], 1)]);
    assert_eq!(stored(OrderEvent::VARIANTS), [("placed", &[][..], 1)]);
    drop([
        AccountEvent::Deposited { amount: 1, note_text: String::new() },
        AccountEvent::Withdrawn(1),
        AccountEvent::Closed,
    ]);
    drop((HTTPEvent::GETAnswered, OrderEvent::Placed));
}
