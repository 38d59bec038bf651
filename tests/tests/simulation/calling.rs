//! How calls are made, and in which words it is told how they ended.

use std::time::Duration;

use annals::journal::Why;
use annals::{Call, CallError, NotStored, Unknown};
use tokio::time::timeout;

use crate::random::Random;

/// How a call is made.
#[derive(Debug, Clone, Copy)]
pub struct Manner {
    within: Option<Duration>,
    or_overloaded: bool,
    waits: Waits,
}

#[derive(Debug, Clone, Copy)]
enum Waits {
    ForTheAnswer,
    /// It is told, and nobody waits for the reply.
    UntilSent,
    /// It is dropped after this time.
    NoLongerThan(Duration),
}

impl Manner {
    /// It waits as long as it takes.
    pub const PATIENT: Self = Self { within: None, or_overloaded: false, waits: Waits::ForTheAnswer };

    pub fn choose(random: &mut Random) -> Self {
        let option = random.below(12);
        let within = Duration::from_millis(random.below(3));
        let patience = Duration::from_micros(random.below(300));
        let waits = match random.below(75) {
            0..=4 => Waits::UntilSent,
            5..=7 => Waits::NoLongerThan(patience),
            _ => Waits::ForTheAnswer,
        };
        Self { within: (option == 0).then_some(within), or_overloaded: option == 1, waits }
    }
}

/// How a call ended without an answer from its entity.
#[derive(Debug, Clone, Copy)]
pub enum Unanswered {
    /// Nothing of it is stored; and why.
    NotStored(&'static str),
    /// It may be stored; and why nobody knows.
    Open(&'static str),
}

impl Unanswered {
    /// `None` if the entity has answered.
    pub fn of<E>(error: &CallError<E>) -> Option<Self> {
        Some(match error {
            CallError::Refused(_)
            | CallError::NotAccepted { .. }
            | CallError::AlreadyDone { .. }
            | CallError::AnswerUnread { .. }
            | CallError::Panicked { .. } => return None,
            CallError::Overloaded { .. } => Self::NotStored("overloaded"),
            CallError::NotStored { why, .. } => Self::NotStored(match why {
                NotStored::TimedOut { .. } => "too late to send",
                NotStored::EarlierWriteFailed => "behind a failure",
                NotStored::Journal(Why::StorageLow { .. }) => "storage low",
                _ => "not stored",
            }),
            CallError::Quarantined { .. } => Self::NotStored("quarantined"),
            CallError::Stopped { .. } => Self::NotStored("stopped"),
            CallError::Deleted { .. } => Self::NotStored("deleted"),
            CallError::Unknown { why, .. } => Self::Open(match why {
                Unknown::TimedOut { .. } => "timed out",
                Unknown::Journal { .. } => "unknown",
                _ => "dropped",
            }),
        })
    }
}

/// Makes a call, and says what it ended with; `of_answer` says it of what came back.
pub async fn make<R, E, T: From<Unanswered>>(
    mut call: Call<R, E>,
    manner: Manner,
    of_answer: impl FnOnce(Result<R, CallError<E>>) -> T,
) -> T {
    if let Some(within) = manner.within {
        call = call.within(within);
    }
    if manner.or_overloaded {
        call = call.or_overloaded();
    }
    match manner.waits {
        Waits::ForTheAnswer => of_answer(call.await),
        Waits::NoLongerThan(patience) => match timeout(patience, call).await {
            Ok(answer) => of_answer(answer),
            Err(_) => Unanswered::Open("cancelled").into(),
        },
        Waits::UntilSent => match call.tell().await {
            Ok(()) => Unanswered::Open("told").into(),
            Err(error) => match Unanswered::of(&error) {
                Some(unsent @ Unanswered::NotStored(_)) => unsent.into(),
                _ => panic!("a call that was not sent ended with {error:?}"),
            },
        },
    }
}
