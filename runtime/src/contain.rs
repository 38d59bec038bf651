//! Code of the user's runs here: a panic in it, in its drops or in the drop of its panic's payload, stays here.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// Runs code of the user's; a panic becomes its message.
pub(crate) fn contained<T>(run: impl FnOnce() -> T) -> Result<T, Arc<str>> {
    catch_unwind(AssertUnwindSafe(run)).map_err(message)
}

/// Polls code of the user's to its end; a panic becomes its message.
pub(crate) async fn contained_async<T>(run: impl Future<Output = T>) -> Result<T, Arc<str>> {
    let mut run = std::pin::pin!(run);
    std::future::poll_fn(|task| match catch_unwind(AssertUnwindSafe(|| run.as_mut().poll(task))) {
        Ok(polled) => polled.map(Ok),
        Err(payload) => std::task::Poll::Ready(Err(message(payload))),
    })
    .await
}

/// Drops a value of the user's. A panic of its drop is logged.
pub(crate) fn drop_contained<T>(what: &'static str, value: T) {
    if let Err(panic) = contained(|| drop(value)) {
        tracing::error!(what, %panic, "a value panicked when it was dropped");
    }
}

/// Takes the message of a panic, and drops the rest.
fn message(payload: Box<dyn Any + Send>) -> Arc<str> {
    let message = match (payload.downcast_ref::<&str>(), payload.downcast_ref::<String>()) {
        (Some(message), _) => Arc::from(*message),
        (None, Some(message)) => Arc::from(message.as_str()),
        (None, None) => Arc::from("a panic without a message"),
    };
    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        // A payload whose drop panics with a payload of its own: better a leak than an endless game.
        Box::leak(payload);
    }
    message
}
