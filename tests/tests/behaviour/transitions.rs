//! Transitions.
