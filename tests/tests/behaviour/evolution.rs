//! What an earlier program stored, and a later one has other names or no use for.

use annals::journal::MemoryJournal;
use annals::prelude::*;
use annals::{EncodeError, NotStored, Offset};

/// The same door in two programs.
mod years {
    pub mod first {
        use annals::prelude::*;

        #[derive(Debug, Default, Serialize, Deserialize, Snapshot)]
        pub struct Door {
            knocks: u64,
        }

        #[fsm(states(initial Open, Closed), snapshot)]
        impl Door {
            #[event]
            fn knocked(&mut self, times: u64) {
                self.knocks += times;
            }

            #[event]
            fn rang(&mut self, tune: String) {
                assert!(!tune.is_empty());
                self.knocks += 1;
            }

            #[on(Open => Closed)]
            fn close(&self) -> Step {
                goto(Closed)
            }

            #[on(Closed => Open)]
            fn open(&self) -> Step {
                goto(Open)
            }

            #[on(_ => stay)]
            fn knock(&self, times: u64) -> Step {
                applying(DoorEvent::Knocked { times })
            }

            #[on(_ => stay)]
            fn ring(&self, tune: String) -> Step {
                applying(DoorEvent::Rang { tune })
            }
        }
    }

    pub mod later {
        use annals::prelude::*;

        #[derive(Debug, Default, Serialize, Deserialize, Snapshot)]
        #[snapshot(version = 2, upcast(1 => DoorV1))]
        pub struct Door {
            noises: u64,
        }

        #[derive(Deserialize)]
        pub struct DoorV1 {
            knocks: u64,
        }

        impl From<DoorV1> for Door {
            fn from(DoorV1 { knocks }: DoorV1) -> Self {
                Self { noises: knocks + 100 }
            }
        }

        #[fsm(states(initial Open, Shut was("Locked", "Closed")), snapshot)]
        impl Door {
            #[event]
            fn knocked(&mut self, times: u64) {
                self.noises += times;
            }

            #[event(ignored_since = "2.0")]
            fn rang(&mut self) {}

            #[on(Open => Shut)]
            fn close(&self) -> Step {
                goto(Shut)
            }

            #[on(Shut => Open)]
            fn open(&self) -> Step {
                goto(Open)
            }

            #[on(_ => stay)]
            fn knock(&self, times: u64) -> Step {
                applying(DoorEvent::Knocked { times })
            }

            #[on(_ => stay)]
            fn ring(&self) -> Step {
                #[expect(deprecated, reason = "that is what is tested")]
                applying([DoorEvent::Knocked { times: 1 }, DoorEvent::Rang])
            }

            #[query]
            fn noises(&self) -> u64 {
                self.noises
            }
        }
    }
}

use years::{first, later};

/// A journal with a door that an earlier program closed.
async fn closed(door: &str, before: impl AsyncFnOnce(&first::DoorRef)) -> MemoryJournal {
    let journal = MemoryJournal::new();
    let system = System::builder().start(journal.clone()).unwrap();
    let door = system.get::<first::Door>(door);
    door.close().await.unwrap();
    before(&door).await;
    system.shutdown().await.unwrap();
    journal.reopen()
}

#[tokio::test]
async fn a_state_is_found_under_an_older_name() {
    let journal = closed("front", async |_| {}).await;
    let system = System::builder().start(journal).unwrap();
    let door = system.get::<later::Door>("front");
    assert_eq!(door.state().await.unwrap(), later::DoorState::Shut);
    let refused = door.close().await.unwrap_err();
    assert!(matches!(refused, CallError::NotAccepted { state: "Shut", .. }), "{refused:?}");
    let told = system.transitions::<later::Door>().after(Offset(0)).next().await.unwrap().unwrap();
    assert_eq!((told.from, told.to), (later::DoorState::Open, later::DoorState::Shut));
}

#[tokio::test]
async fn a_snapshot_in_a_state_with_an_older_name_and_in_an_older_version_is_loaded() {
    let journal = closed("front", async |door| {
        door.knock(3).await.unwrap();
        door.snapshot().await.unwrap();
        door.knock(4).await.unwrap();
    });
    let system = System::builder().start(journal.await).unwrap();
    let door = system.get::<later::Door>("front");
    // The upcast adds 100, so this was no replay from the first event.
    assert_eq!(door.noises().await.unwrap(), 107);
    assert_eq!(door.state().await.unwrap(), later::DoorState::Shut);
}

#[tokio::test]
async fn an_ignored_event_is_skipped_and_a_step_that_applies_it_is_not_stored() {
    let journal = closed("front", async |door| {
        door.knock(3).await.unwrap();
        door.ring("in a shape that is gone".to_owned()).await.unwrap();
        door.knock(4).await.unwrap();
    });
    let journal = journal.await;
    let before = journal.faults().appended().runs;
    let system = System::builder().start(journal.clone()).unwrap();
    let door = system.get::<later::Door>("front");
    assert_eq!(door.noises().await.unwrap(), 7);
    let CallError::NotStored { why: NotStored::Event { event: "rang", error }, .. } = door.ring().await.unwrap_err()
    else {
        panic!("it was stored")
    };
    assert!(matches!(error, EncodeError::Ignored { since: "2.0" }), "{error:?}");
    assert_eq!(door.noises().await.unwrap(), 7);
    assert_eq!(journal.faults().appended().runs, before);
    door.knock(1).await.unwrap();
    assert_eq!(door.noises().await.unwrap(), 8);
}
