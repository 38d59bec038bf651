//! The table of guarantees in the README names tests that are there.
