//! The hot path alone, for a tool that counts instructions: `hot <commands for each caller>`.
//!
//! A thousand entities, ten callers each, one thread, a journal in memory.

use std::error::Error;

use annals::journal::MemoryJournal;
use annals::prelude::*;

#[path = "../notebook.rs"]
mod notebook;

use notebook::{Notebook, text};


fn main() -> Result<(), Box<dyn Error>> {
    let commands: u64 = std::env::args().nth(1).map_or(Ok(10), |commands| commands.parse())?;
    let number = |index, default| std::env::args().nth(index).map_or(Ok(default), |number| number.parse());
    let (entities, callers): (u64, u64) = (number(2, 1_000)?, number(3, 10)?);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    runtime.block_on(async {
        let system = System::builder().shards(2).start(MemoryJournal::new())?;
        let callers: Vec<_> = (0..entities * callers)
            .map(|caller| {
                let notebook = system.get::<Notebook>(format!("{:010}", caller % entities));
                tokio::spawn(async move {
                    let text = text();
                    for _ in 0..commands {
                        notebook.note(text.clone()).await?;
                    }
                    Ok::<_, annals::CallError<annals::Never>>(())
                })
            })
            .collect();
        for caller in callers {
            caller.await??;
        }
        system.shutdown().await?;
        Ok(())
    })
}
