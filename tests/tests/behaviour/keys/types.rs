//! Answers that change their types, can't be stored, or can't be read again.

use std::sync::atomic::{AtomicBool, Ordering};

use annals::journal::MemoryJournal;
use annals::prelude::*;
use annals::{EncodeError, NotStored, PersistenceId, SeqNr};

use super::key;
use crate::{restarted, system};

/// Reads as text what is set right in JSON, and panics when told so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Mine(u64);

/// Whether reading a [`Mine`] panics.
static ARMED: AtomicBool = AtomicBool::new(false);

impl<'de> Deserialize<'de> for Mine {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        assert!(!ARMED.load(Ordering::SeqCst), "it went off");
        u64::deserialize(from).map(Mine)
    }
}

/// Written otherwise than it is in memory.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Receipt {
    total: u64,
    #[serde(skip)]
    secret: String,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Scale {
    weighed: u64,
}

#[aggregate(codec = json)]
impl Scale {
    #[event]
    fn weighed(&mut self) {
        self.weighed += 1;
    }

    /// JSON has no word for 0 / 0.
    #[command]
    fn share(&self, part: f64, of: f64) -> Step<f64> {
        applying(ScaleEvent::Weighed).replying(part / of)
    }

    /// As above, but it changes nothing.
    #[command]
    fn think(&self, part: f64, of: f64) -> Result<Step, f64> {
        Err(part / of)
    }

    #[command]
    fn lay_mine(&self) -> Step<Mine> {
        applying(ScaleEvent::Weighed).replying(Mine(7))
    }

    #[command]
    fn print(&self) -> Step<Receipt> {
        applying(ScaleEvent::Weighed).replying(Receipt { total: 1, secret: "hush".to_owned() })
    }

    #[query]
    fn weighed_so_far(&self) -> u64 {
        self.weighed
    }
}

#[tokio::test]
async fn an_answer_that_cannot_be_read_again_stores_nothing() {
    let (system, journal) = system();
    let scale = system.get::<Scale>("s");
    assert!(scale.share(0.0, 0.0).await.unwrap().is_nan(), "without a key any reply will do");
    let error = scale.share(0.0, 0.0).key(key("a")).await.unwrap_err();
    let CallError::NotStored { why: NotStored::Answer(EncodeError::ReadAgain(_)), .. } = error else {
        panic!("{error:?}")
    };
    let error = scale.think(0.0, 0.0).key(key("b")).await.unwrap_err();
    assert!(matches!(error, CallError::NotStored { why: NotStored::Answer(_), .. }), "{error:?}");
    assert_eq!(scale.weighed_so_far().await.unwrap(), 1);
    assert_eq!(journal.faults().appended().runs, 1);
    assert_eq!(scale.share(1.0, 2.0).key(key("a")).await.unwrap(), 0.5, "nothing is known of the key");
    assert_eq!(scale.share(1.0, 2.0).key(key("a")).await.unwrap(), 0.5);
    assert_eq!(scale.weighed_so_far().await.unwrap(), 2);
}

#[tokio::test]
async fn the_first_answer_is_as_its_repeats_will_be() {
    let (system, _journal) = system();
    let scale = system.get::<Scale>("s");
    assert_eq!(scale.print().await.unwrap().secret, "hush");
    let first = scale.print().key(key("a")).await.unwrap();
    assert_eq!(first, scale.print().key(key("a")).await.unwrap());
    assert_eq!(first, Receipt { total: 1, secret: String::new() });
}

#[tokio::test]
async fn a_panic_while_an_answer_is_read_harms_no_other_repeat() {
    let (system, _journal) = system();
    let scale = system.get::<Scale>("s");
    assert_eq!(scale.lay_mine().key(key("mine")).await.unwrap(), Mine(7));
    assert_eq!(scale.share(1.0, 2.0).key(key("share")).await.unwrap(), 0.5);
    ARMED.store(true, Ordering::SeqCst);
    // All of them are answered in one go.
    let mines: Vec<_> = (0..3).map(|_| tokio::spawn(scale.lay_mine().key(key("mine")))).collect();
    let shares: Vec<_> = (0..3).map(|_| tokio::spawn(scale.share(1.0, 2.0).key(key("share")))).collect();
    for mine in mines {
        let error = mine.await.unwrap().unwrap_err();
        assert_eq!(error, CallError::AlreadyDone { id: PersistenceId::new("Scale", "s"), seq_nr: SeqNr(1) });
    }
    for share in shares {
        assert_eq!(share.await.unwrap().unwrap(), 0.5);
    }
    // It panics while the first answer is read again, too.
    let error = scale.lay_mine().key(key("another")).await.unwrap_err();
    assert!(matches!(error, CallError::Panicked { .. }), "{error:?}");
    ARMED.store(false, Ordering::SeqCst);
    assert_eq!(scale.lay_mine().key(key("mine")).await.unwrap(), Mine(7));
    assert_eq!(scale.weighed_so_far().await.unwrap(), 2);
}

/// The same aggregate in three programs.
mod programs {
    macro_rules! program {
        ($program:ident, $codec:ident, $reply:ty, $refusal:ty, $answer:expr, $refuse:expr) => {
            pub mod $program {
                use annals::prelude::*;

                #[derive(Debug, Default, Serialize, Deserialize)]
                pub struct Parcel {
                    sent: u64,
                }

                #[aggregate(codec = $codec)]
                impl Parcel {
                    #[event]
                    fn sent(&mut self) {
                        self.sent += 1;
                    }

                    #[command]
                    fn send_off(&self) -> Step<$reply> {
                        applying(ParcelEvent::Sent).replying($answer)
                    }

                    #[command]
                    fn refuse(&self) -> Result<Step, $refusal> {
                        Err($refuse)
                    }

                    #[query]
                    fn times(&self) -> u64 {
                        self.sent
                    }
                }
            }
        };
    }

    program!(first, message_pack, u64, u64, 12, 34);
    program!(packed_otherwise, json, u64, u64, 99, 99);
    program!(changed, message_pack, Vec<String>, (), Vec::new(), ());
}

#[tokio::test]
async fn an_answer_outlives_another_codec_and_is_gone_with_its_type() {
    let journal = MemoryJournal::new();
    let system = System::builder().shards(1).start(journal.clone()).unwrap();
    let parcel = system.get::<programs::first::Parcel>("p");
    assert_eq!(parcel.send_off().key(key("a")).await.unwrap(), 12);
    assert_eq!(parcel.refuse().key(key("b")).await.unwrap_err(), CallError::Refused(34));

    let system = restarted(&journal);
    let parcel = system.get::<programs::packed_otherwise::Parcel>("p");
    assert_eq!(parcel.send_off().key(key("a")).await.unwrap(), 12);
    assert_eq!(parcel.refuse().key(key("b")).await.unwrap_err(), CallError::Refused(34));

    let id = PersistenceId::new("Parcel", "p");
    let system = restarted(&journal);
    let parcel = system.get::<programs::changed::Parcel>("p");
    let error = parcel.send_off().key(key("a")).await.unwrap_err();
    assert_eq!(error, CallError::AlreadyDone { id: id.clone(), seq_nr: SeqNr(1) });
    let error = parcel.refuse().key(key("b")).await.unwrap_err();
    assert_eq!(error, CallError::AlreadyDone { id, seq_nr: SeqNr(2) });
    assert_eq!(parcel.times().await.unwrap(), 1);
}

/// A program that has lost a state.
mod smaller {
    use annals::prelude::*;

    #[derive(Debug, Default, Serialize, Deserialize)]
    pub struct Gate;

    #[fsm(states(initial Shut, Open))]
    impl Gate {
        #[event]
        fn knocked(&mut self) {}

        #[on(Shut => Open)]
        fn open(&self) -> Step<u64> {
            goto(Open).replying(0)
        }

        #[on(Open => Shut)]
        fn close(&self) -> Step {
            goto(Shut)
        }
    }
}

#[tokio::test]
async fn an_answer_that_names_a_lost_state_is_gone() {
    let (system, journal) = system();
    system.get::<super::Gate>("north").close().key(key("a")).await.unwrap_err();
    let system = restarted(&journal);
    let gate = system.get::<smaller::Gate>("north");
    let error = gate.close().key(key("a")).await.unwrap_err();
    assert_eq!(error, CallError::AlreadyDone { id: PersistenceId::new("Gate", "north"), seq_nr: SeqNr(1) });
}
