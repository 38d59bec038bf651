//! Ids are opaque: whatever is in them, two of them never share an entity or a stream.

use std::collections::BTreeMap;

use annals::System;
use annals::journal::MemoryJournal;
use annals_tests::Account;
use proptest::prelude::*;

/// Ids that like to be confused: prefixes of each other, separators, control characters, one word in two spellings.
fn id() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("a"),
        Just("b"),
        Just("/"),
        Just(".."),
        Just("\0"),
        Just("\n"),
        Just("\u{1}"),
        Just("*"),
        Just(">"),
        Just("%00"),
        Just("\u{202e}"),
        Just("é"),
        Just("e\u{301}"),
        Just("🦀"),
        Just("Account"),
    ];
    prop_oneof![
        4 => prop::collection::vec(piece, 1..5).prop_map(|pieces| pieces.concat()),
        1 => any::<String>().prop_filter("an id has 1 to 512 bytes", |id| (1..=512).contains(&id.len())),
    ]
}

/// Deposits into each account in turn, and compares with what a map says, before and after a restart.
async fn compare(ids: Vec<String>, first: System, second: impl AsyncFnOnce() -> System) {
    let mut expected = BTreeMap::new();
    for (number, id) in (1_u64..).zip(&ids) {
        let sum: &mut u64 = expected.entry(id.clone()).or_default();
        *sum += 1 << (number % 60);
        let balance = first.get::<Account>(id.as_str()).deposit(1 << (number % 60)).await.unwrap();
        assert_eq!(balance, *sum, "id {id:?}");
    }
    first.shutdown().await.unwrap();
    let second = second().await;
    for (id, sum) in expected {
        assert_eq!(second.get::<Account>(id.as_str()).balance().await.unwrap(), sum, "id {id:?}");
    }
    second.shutdown().await.unwrap();
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]
    #[test]
    fn no_two_ids_share_an_entity_in_memory(ids in prop::collection::vec(id(), 1..40)) {
        runtime().block_on(async {
            let journal = MemoryJournal::new();
            let first = System::builder().shards(2).start(journal.clone()).unwrap();
            compare(ids, first, async || crate::restarted(&journal)).await;
        });
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(8) })]
    #[test]
    fn no_two_ids_share_an_entity_on_the_disk(ids in prop::collection::vec(id(), 1..40)) {
        runtime().block_on(async {
            let directory = tempfile::tempdir().unwrap();
            let first = System::open(directory.path()).await.unwrap();
            compare(ids, first, async || System::open(directory.path()).await.unwrap()).await;
        });
    }
}
