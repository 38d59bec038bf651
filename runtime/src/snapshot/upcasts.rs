//! What `#[derive(Snapshot)]` makes of payloads in older versions.

use serde::{Deserialize, Serialize};

use super::Snapshot;
use crate::codec::{Codec, DecodeError, Payload, encode_value};

#[derive(Debug, PartialEq, Serialize, Deserialize, annals_macros::Snapshot)]
#[snapshot(version = 3, upcast(2 => AccountV2, 1 => AccountV1), crate = crate)]
struct Account {
    cents: u64,
    currency: String,
}

#[derive(Serialize, Deserialize)]
struct AccountV1 {
    euros: u64,
}

#[derive(Serialize, Deserialize)]
struct AccountV2 {
    cents: u64,
}

impl From<AccountV1> for AccountV2 {
    fn from(AccountV1 { euros }: AccountV1) -> Self {
        Self { cents: euros * 100 }
    }
}

impl From<AccountV2> for Account {
    fn from(AccountV2 { cents }: AccountV2) -> Self {
        Self { cents, currency: "EUR".to_owned() }
    }
}

fn upcast(version: u32, stored: &impl Serialize) -> Result<Account, DecodeError> {
    let mut bytes = Vec::new();
    encode_value(Codec::MessagePack, stored, &mut bytes).expect("it is plain data");
    Account::upcast(version, Payload { codec: Codec::MessagePack, bytes: &bytes })
}

#[test]
fn an_older_snapshot_goes_through_every_shape_between() {
    let account = Account { cents: 500, currency: "EUR".to_owned() };
    assert_eq!(upcast(1, &AccountV1 { euros: 5 }), Ok(account));
    let account = Account { cents: 7, currency: "EUR".to_owned() };
    assert_eq!(upcast(2, &AccountV2 { cents: 7 }), Ok(account));
}

#[test]
fn a_payload_that_does_not_fit_its_version_is_refused() {
    let refused = upcast(1, &AccountV2 { cents: 7 });
    assert!(matches!(refused, Err(DecodeError::Payload { .. })), "{refused:?}");
}

#[test]
fn versions_without_an_upcast_are_refused() {
    for version in [0, 3, 4, u32::MAX] {
        let refused = upcast(version, &AccountV2 { cents: 7 });
        assert_eq!(refused, Err(DecodeError::NoSnapshotUpcast { version, known: 3 }));
    }
}
