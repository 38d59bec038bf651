//! Collects the mistakes of one block, so that all are reported at once.

use std::cell::RefCell;
use std::fmt::Display;

use quote::ToTokens;
use syn::Error;

/// Every mistake found so far. It must end in [`Ctxt::finish`]; dropping it unread is a bug.
pub(crate) struct Ctxt {
    errors: RefCell<Option<Vec<Error>>>,
}

impl Ctxt {
    pub(crate) fn new() -> Self {
        Self { errors: RefCell::new(Some(Vec::new())) }
    }

    /// Reports a mistake in these tokens.
    pub(crate) fn error(&self, tokens: impl ToTokens, message: impl Display) {
        self.push(Error::new_spanned(tokens, message));
    }

    /// Reports a collision: the message at `second`, and at `first` what it collides with.
    pub(crate) fn collision(
        &self,
        second: impl ToTokens,
        message: impl Display,
        first: impl ToTokens,
        note: impl Display,
    ) {
        let mut collision = Error::new_spanned(second, message);
        collision.combine(Error::new_spanned(first, note));
        self.push(collision);
    }

    pub(crate) fn push(&self, error: Error) {
        self.errors.borrow_mut().as_mut().expect("mistakes are collected before `finish`").push(error);
    }

    /// Keeps the value, or reports why there is none.
    pub(crate) fn ok<T>(&self, result: syn::Result<T>) -> Option<T> {
        result.map_err(|error| self.push(error)).ok()
    }

    /// Ends the collecting.
    ///
    /// # Errors
    ///
    /// All mistakes as one, if there is any, from the top of the source to its end.
    pub(crate) fn finish(self) -> syn::Result<()> {
        let mut errors = self.errors.take().unwrap_or_default();
        errors.sort_by_key(position);
        let all = errors.into_iter().reduce(|mut all, error| {
            all.combine(error);
            all
        });
        all.map_or(Ok(()), Err)
    }
}

/// Line and column of a mistake. A test outside of the compiler has none.
fn position(error: &Error) -> (usize, usize) {
    if !proc_macro::is_available() {
        return (0, 0);
    }
    let start = error.span().unwrap().start();
    (start.line(), start.column())
}

impl Drop for Ctxt {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert!(self.errors.get_mut().is_none(), "the mistakes were never looked at");
        }
    }
}
