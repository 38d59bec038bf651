//! Code of the user's runs here: a panic in it, in its drops or in the drop of its panic's payload, stays here.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// The longest message of a panic that is kept, in bytes: it is told to callers and stays with a quarantine.
const MESSAGE_BYTES_MAX: usize = 4096;

thread_local! {
    static DEPTH: Cell<u32> = const { Cell::new(0) };
}

/// Counts, while it lives, that panics of this thread stay in.
struct Inside;

impl Inside {
    fn enter() -> Self {
        DEPTH.with(|depth| depth.set(depth.get() + 1));
        Self
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        DEPTH.with(|depth| depth.set(depth.get() - 1));
    }
}

/// Whether this thread runs code of an aggregate, so that a panic stays in it: it becomes an error such as
/// [`CallError::Panicked`](crate::CallError::Panicked), and is logged by annals.
///
/// It is for a program's own panic hook. annals leaves the hook alone, and so the default one prints each such panic, with
/// a backtrace if that is asked for. That takes time, which the other entities of the shard wait: with backtraces many
/// milliseconds. Where panics of handlers are to be expected, let the hook leave them out:
///
/// ```
/// let others = std::panic::take_hook();
/// std::panic::set_hook(Box::new(move |panic| {
///     if !annals::panics_are_contained() {
///         others(panic);
///     }
/// }));
/// ```
pub fn panics_are_contained() -> bool {
    DEPTH.try_with(Cell::get).is_ok_and(|depth| depth > 0)
}

/// Runs code of the user's; a panic becomes its message.
pub(crate) fn contained<T>(run: impl FnOnce() -> T) -> Result<T, Arc<str>> {
    let inside = Inside::enter();
    let done = catch_unwind(AssertUnwindSafe(run)).map_err(panic_message);
    drop(inside);
    done
}

/// Polls code of the user's to its end; a panic becomes its message.
pub(crate) async fn contained_async<T>(run: impl Future<Output = T>) -> Result<T, Arc<str>> {
    let mut run = std::pin::pin!(run);
    std::future::poll_fn(|task| match contained(|| run.as_mut().poll(task)) {
        Ok(polled) => polled.map(Ok),
        Err(panic) => std::task::Poll::Ready(Err(panic)),
    })
    .await
}

/// Drops a value of the user's. A panic of its drop is logged.
pub(crate) fn drop_contained<T>(what: &'static str, value: T) {
    if let Err(panic) = contained(|| drop(value)) {
        crate::log::error!(what, %panic, "a value panicked when it was dropped");
    }
}

/// Takes the message of a panic, and drops the rest.
pub(crate) fn panic_message(payload: Box<dyn Any + Send>) -> Arc<str> {
    let message = match (payload.downcast_ref::<&str>(), payload.downcast_ref::<String>()) {
        (Some(message), _) => shortened(message),
        (None, Some(message)) => shortened(message),
        (None, None) => Arc::from("a panic without a message"),
    };
    if let Err(payload) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        // A payload whose drop panics with a payload of its own: better a leak than an endless game.
        Box::leak(payload);
    }
    message
}

fn shortened(message: &str) -> Arc<str> {
    if message.len() <= MESSAGE_BYTES_MAX {
        return Arc::from(message);
    }
    let end = (0..=MESSAGE_BYTES_MAX).rev().find(|&end| message.is_char_boundary(end)).unwrap_or(0);
    let kept = &message[..end];
    format!("{kept} .. and {} bytes more", message.len() - kept.len()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_knows_whether_panics_stay_in() {
        assert!(!panics_are_contained());
        assert_eq!(contained(|| contained(panics_are_contained)), Ok(Ok(true)));
        let panic = contained(|| std::panic::panic_any("out"));
        assert_eq!(panic, Err::<(), _>("out".into()));
        assert!(!panics_are_contained());
    }

    #[test]
    fn a_long_message_is_cut_between_characters() {
        let panic = contained(|| std::panic::panic_any("ä".repeat(1 << 20))).unwrap_err();
        assert!(panic.len() < MESSAGE_BYTES_MAX + 50 && panic.ends_with("bytes more"), "{}", panic.len());
        assert_eq!(&*contained(|| std::panic::panic_any(String::from("short"))).unwrap_err(), "short");
    }
}
