//! Time, which doesn't pass by itself: up to [`SHORT`] may be over at any moment, and more never is.

pub use tokio::time::Instant;

use std::fmt;
use std::future::{Future, pending};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

/// So much may pass at any moment.
pub const SHORT: Duration = Duration::from_millis(10);
/// So often an interval comes round, or nothing would ever be at rest.
const TICKS_MAX: u32 = 3;

/// Ends when a time is over.
pub struct Sleep(Pin<Box<dyn Future<Output = ()> + Send>>);

/// Waits until a time is over.
pub fn sleep(time: Duration) -> Sleep {
    Sleep(Box::pin(async move {
        if time > SHORT {
            pending::<()>().await;
        }
        shuttle::future::yield_now().await;
    }))
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<()> {
        self.0.as_mut().poll(task)
    }
}

impl fmt::Debug for Sleep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sleep")
    }
}

/// The time was over.
#[derive(Debug)]
pub struct Elapsed(());

/// Waits for a future until a time is over.
///
/// # Errors
///
/// If the time was over first.
pub async fn timeout<F: Future>(time: Duration, future: F) -> Result<F::Output, Elapsed> {
    tokio::select! {
        biased;
        output = future => Ok(output),
        () = sleep(time) => Err(Elapsed(())),
    }
}

/// What an interval does that was missed.
#[derive(Debug, Clone, Copy)]
pub enum MissedTickBehavior {
    /// It comes later.
    Delay,
}

/// Comes round for some time.
#[derive(Debug)]
pub struct Interval {
    period: Duration,
    next: Option<Sleep>,
    left: u32,
}

/// Comes round each time that a period is over.
pub fn interval(period: Duration) -> Interval {
    Interval { period, next: None, left: TICKS_MAX }
}

impl Interval {
    /// Waits for the next time.
    pub async fn tick(&mut self) -> Instant {
        if self.left == 0 {
            pending::<()>().await;
        }
        self.next.get_or_insert_with(|| sleep(self.period)).await;
        (self.next, self.left) = (None, self.left - 1);
        Instant::now()
    }

    /// Changes nothing.
    pub fn set_missed_tick_behavior(&mut self, _: MissedTickBehavior) {}
}
