//! The deadlines that are armed, folded from the order rows.

use super::Shared;
use crate::id::Offset;
use crate::journal::due::Deadlines;
use crate::journal::{Armed, ReadError, lock};

impl Shared {
    pub(super) fn armed(&self) -> Result<Vec<Armed>, ReadError> {
        let end = *lock(&self.durable);
        let mut deadlines = Deadlines::default();
        let mut near = Offset(1);
        for group in 1..=end.group {
            let row = self.with_engine(|engine| self.group(engine, group, near))?;
            for run in &row.runs {
                deadlines.apply(run.stream, run.due);
            }
            near = Offset(row.mark.offset.0 + 1);
        }
        Ok(deadlines.armed())
    }
}
