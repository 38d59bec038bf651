//! The user's code panics wherever it runs: who is told what, and that nothing else is touched.
