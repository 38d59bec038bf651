//! Rows go behind the commit, a crash in between changes nothing, and a lost floor is told.

use super::*;
