//! What is stored, and what is refused because it could not be read again.

use annals::journal::{MemoryJournal, Why};
use annals::prelude::*;
use annals::{EncodeError, NotStored};
use annals_tests::Account;

use crate::{restarted, system};

#[derive(Debug, Default, Serialize, Deserialize)]
struct Thermometer {
    last: f64,
}

#[aggregate(codec = json)]
impl Thermometer {
    #[event]
    fn read(&mut self, celsius: f64) {
        self.last = celsius;
    }

    #[command]
    fn note(&self, celsius: f64) -> Step {
        applying(ThermometerEvent::Read { celsius })
    }

    /// One that can be stored, and one that can't.
    #[command]
    fn note_both(&self, celsius: f64) -> Step {
        applying([ThermometerEvent::Read { celsius }, ThermometerEvent::Read { celsius: f64::NAN }])
    }

    #[query]
    fn last(&self) -> f64 {
        self.last
    }
}

#[tokio::test]
async fn an_event_that_cannot_be_read_again_is_refused_before_it_is_stored() {
    let (system, journal) = system();
    let roof = system.get::<Thermometer>("roof");
    roof.note(21.5).await.unwrap();
    for error in [roof.note(f64::NAN).await.unwrap_err(), roof.note_both(4.0).await.unwrap_err()] {
        let CallError::NotStored { why: NotStored::Event { event: "read", error }, .. } = error else {
            panic!("{error:?}")
        };
        assert!(matches!(error, EncodeError::ReadAgain(_)), "{error:?}");
    }
    assert_eq!(roof.last().await.unwrap(), 21.5);
    assert_eq!(journal.faults().appended().runs, 1);
    assert_eq!(restarted(&journal).get::<Thermometer>("roof").last().await.unwrap(), 21.5);
}

/// Its events are stored with less than the handler gave them.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Diary {
    lines: Vec<(u64, String)>,
}

#[aggregate]
impl Diary {
    #[event]
    fn written(&mut self, #[serde(serialize_with = "in_tens")] minutes: u64, #[serde(skip)] secret: String) {
        self.lines.push((minutes, secret));
    }

    #[command]
    fn write(&self, minutes: u64, secret: String) -> Step<Vec<(u64, String)>> {
        applying(DiaryEvent::Written { minutes, secret }).replying_with(Self::lines)
    }

    #[query]
    fn lines(&self) -> Vec<(u64, String)> {
        self.lines.clone()
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn in_tens<S: serde::Serializer>(minutes: &u64, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_u64(minutes / 10 * 10)
}

#[tokio::test]
async fn what_is_applied_is_the_event_as_it_will_be_read_again() {
    let (system, journal) = system();
    let diary = system.get::<Diary>("d");
    let reply = diary.write(47, "not for the disk".to_owned()).await.unwrap();
    let live = diary.lines().await.unwrap();
    let replayed = restarted(&journal).get::<Diary>("d").lines().await.unwrap();
    assert_eq!(replayed, [(40, String::new())]);
    assert_eq!(live, replayed, "the live data differs from what a restart would give");
    assert_eq!(reply, replayed, "a reply tells of data that a restart would not give");
}

#[tokio::test]
async fn an_event_over_the_limit_is_refused_and_one_at_the_limit_is_not() {
    let (system, journal) = system();
    let alice = system.get::<Account>("alice");
    alice.note("x".repeat(950_000)).await.unwrap();
    let error = alice.note("x".repeat(960_000)).await.unwrap_err();
    let CallError::NotStored { why: NotStored::Journal(Why::TooLarge { bytes, limit }), .. } = error else {
        panic!("{error:?}")
    };
    assert!(limit == 960_000 && bytes > limit, "{bytes} {limit}");
    let error = alice.deposit_all(vec![1; 100_000]).await.unwrap_err();
    assert!(matches!(error, CallError::NotStored { why: NotStored::Journal(Why::TooLarge { .. }), .. }), "{error:?}");
    assert_eq!(alice.look_around().await.unwrap().2, 1);
    assert_eq!(journal.faults().appended().runs, 1);
    assert_eq!(restarted(&journal).get::<Account>("alice").look_around().await.unwrap().2, 1);
}

/// The same journal, read by the programs of three years.
mod years {
    pub mod first {
        use annals::prelude::*;

        #[derive(Debug, Default, Serialize, Deserialize)]
        pub struct Basket {
            pub items: u64,
        }

        #[aggregate]
        impl Basket {
            #[event]
            fn added(&mut self, count: u64) {
                self.items += count;
            }

            #[event]
            fn emptied(&mut self) {
                self.items = 0;
            }

            #[command]
            fn add(&self, count: u64) -> Step {
                applying(BasketEvent::Added { count })
            }

            #[command]
            fn empty(&self) -> Step {
                applying(BasketEvent::Emptied)
            }
        }
    }

    pub mod third {
        use annals::prelude::*;

        #[derive(Debug, Default, Serialize, Deserialize)]
        pub struct Basket {
            pub items: Vec<String>,
        }

        #[derive(Deserialize)]
        pub struct AddedV1 {
            count: u64,
        }

        #[derive(Deserialize)]
        pub struct AddedV2 {
            names: String,
        }

        impl From<AddedV1> for AddedV2 {
            fn from(old: AddedV1) -> Self {
                AddedV2 { names: vec!["?"; old.count.try_into().unwrap()].join(",") }
            }
        }

        impl From<AddedV2> for BasketEvent {
            fn from(old: AddedV2) -> Self {
                BasketEvent::Put { names: old.names.split(',').map(str::to_owned).collect() }
            }
        }

        #[aggregate(name = "Basket")]
        impl Basket {
            #[event(name = "put", was("added"), version = 3, upcast(1 => AddedV1, 2 => AddedV2))]
            fn put(&mut self, names: Vec<String>) {
                self.items.extend(names);
            }

            #[event(was("emptied"))]
            fn cleared(&mut self, #[serde(default)] by: Option<String>, #[serde(default = "zero")] left: u64) {
                assert!(by.is_none() && left == 0);
                self.items.clear();
            }

            #[command]
            fn put_in(&self, names: Vec<String>) -> Step {
                applying(BasketEvent::Put { names })
            }

            #[query]
            fn items(&self) -> Vec<String> {
                self.items.clone()
            }
        }

        fn zero() -> u64 {
            0
        }
    }
}

#[tokio::test]
async fn old_events_are_read_under_new_names_versions_and_fields() {
    let journal = MemoryJournal::new();
    let system = System::builder().start(journal.clone()).unwrap();
    let basket = system.get::<years::first::Basket>("b");
    basket.add(5).await.unwrap();
    basket.empty().await.unwrap();
    basket.add(2).await.unwrap();
    system.shutdown().await.unwrap();

    let system = System::builder().start(journal.reopen()).unwrap();
    let basket = system.get::<years::third::Basket>("b");
    assert_eq!(basket.items().await.unwrap(), ["?", "?"]);
    basket.put_in(vec!["soap".to_owned()]).await.unwrap();
    assert_eq!(basket.items().await.unwrap(), ["?", "?", "soap"]);
}

#[tokio::test]
async fn a_codec_may_be_changed_later() {
    mod packed {
        use annals::prelude::*;

        #[derive(Debug, Default, Serialize, Deserialize)]
        pub struct Thermometer {
            last: f64,
        }

        #[aggregate]
        impl Thermometer {
            #[event]
            fn read(&mut self, celsius: f64) {
                self.last = celsius;
            }

            #[command]
            fn note(&self, celsius: f64) -> Step {
                applying(ThermometerEvent::Read { celsius })
            }
        }
    }
    let journal = MemoryJournal::new();
    let system = System::builder().start(journal.clone()).unwrap();
    system.get::<packed::Thermometer>("roof").note(3.0).await.unwrap();
    system.shutdown().await.unwrap();
    let system = restarted(&journal);
    assert_eq!(system.get::<Thermometer>("roof").last().await.unwrap(), 3.0);
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, annals::Event)]
enum SwitchEvent {
    #[event(name = "on")]
    TurnedOn,
    TurnedOff {
        watts: u32,
    },
    Flickered(u8, u8),
    Renamed(String),
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Switch {
    seen: Vec<SwitchEvent>,
}

#[aggregate(event = SwitchEvent)]
impl Switch {
    fn apply(&mut self, event: SwitchEvent) {
        self.seen.push(event);
    }

    #[command]
    fn happen(&self, event: SwitchEvent) -> Step {
        applying(event)
    }

    #[query]
    fn seen(&self) -> Vec<SwitchEvent> {
        self.seen.clone()
    }
}

#[tokio::test]
async fn an_enum_of_the_users_may_have_variants_of_every_shape() {
    let (system, journal) = system();
    let events = [
        SwitchEvent::TurnedOn,
        SwitchEvent::TurnedOff { watts: 40 },
        SwitchEvent::Flickered(1, 2),
        SwitchEvent::Renamed("lamp".to_owned()),
    ];
    let switch = system.get::<Switch>("s");
    for event in &events {
        switch.happen(event.clone()).await.unwrap();
    }
    system.shutdown().await.unwrap();
    assert_eq!(restarted(&journal).get::<Switch>("s").seen().await.unwrap(), events);
}
