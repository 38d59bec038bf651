//! tokio's channels and semaphores, each use behind a point at which another task may go on first.

pub use tokio::sync::{AcquireError, Mutex, TryAcquireError, oneshot, watch};

use std::ops::{Deref, DerefMut};

use shuttle::sync::atomic::{AtomicBool, Ordering};

/// Something that is reached only through a point.
#[derive(Debug, Default)]
struct Behind<T> {
    point: AtomicBool,
    inner: T,
}

impl<T> Behind<T> {
    fn new(inner: T) -> Self {
        Self { point: AtomicBool::new(false), inner }
    }
}

impl<T> Deref for Behind<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.point.load(Ordering::SeqCst);
        &self.inner
    }
}

impl<T> DerefMut for Behind<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.point.load(Ordering::SeqCst);
        &mut self.inner
    }
}

/// tokio's semaphore.
#[derive(Debug)]
pub struct Semaphore(Behind<tokio::sync::Semaphore>);

impl Semaphore {
    /// Makes one with so many places.
    pub fn new(places: usize) -> Self {
        Self(Behind::new(tokio::sync::Semaphore::new(places)))
    }

    /// Takes no more waiters.
    pub fn close(&self) {
        self.0.close();
    }
}

impl Deref for Semaphore {
    type Target = tokio::sync::Semaphore;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

/// tokio's notifications.
#[derive(Debug, Default)]
pub struct Notify(Behind<tokio::sync::Notify>);

impl Notify {
    /// Makes one.
    pub fn new() -> Self {
        Self::default()
    }
}

impl Deref for Notify {
    type Target = tokio::sync::Notify;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

/// tokio's bounded channel.
pub mod mpsc {
    pub use tokio::sync::mpsc::{OwnedPermit, Permit, error};

    use std::ops::{Deref, DerefMut};

    use super::Behind;

    /// Makes a channel.
    pub fn channel<T>(bound: usize) -> (Sender<T>, Receiver<T>) {
        let (sender, receiver) = tokio::sync::mpsc::channel(bound);
        (Sender(Behind::new(sender)), Receiver(Behind::new(receiver)))
    }

    /// The half that sends.
    #[derive(Debug)]
    pub struct Sender<T>(Behind<tokio::sync::mpsc::Sender<T>>);

    /// The half that receives.
    #[derive(Debug)]
    pub struct Receiver<T>(Behind<tokio::sync::mpsc::Receiver<T>>);

    impl<T> Sender<T> {
        /// Takes a place that goes where it is needed.
        ///
        /// # Errors
        ///
        /// If there is none, or nobody receives.
        pub fn try_reserve_owned(self) -> Result<OwnedPermit<T>, error::TrySendError<Self>> {
            let whole = |sender| Self(Behind::new(sender));
            self.0.clone().try_reserve_owned().map_err(|error| match error {
                error::TrySendError::Full(sender) => error::TrySendError::Full(whole(sender)),
                error::TrySendError::Closed(sender) => error::TrySendError::Closed(whole(sender)),
            })
        }
    }

    impl<T> Clone for Sender<T> {
        fn clone(&self) -> Self {
            Self(Behind::new(self.0.inner.clone()))
        }
    }

    impl<T> Deref for Sender<T> {
        type Target = tokio::sync::mpsc::Sender<T>;

        fn deref(&self) -> &Self::Target {
            &self.0
        }
    }

    impl<T> Deref for Receiver<T> {
        type Target = tokio::sync::mpsc::Receiver<T>;

        fn deref(&self) -> &Self::Target {
            &self.0
        }
    }

    impl<T> DerefMut for Receiver<T> {
        fn deref_mut(&mut self) -> &mut Self::Target {
            &mut self.0
        }
    }
}
