//! What users see of the macros: programs that must compile, and mistakes with what the compiler says of them.
//!
//! The cases are in `tests/ui/<macro>/{pass,fail}`. Each mistake in `fail` has its accepted twin in `pass`.
