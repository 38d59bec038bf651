//! The hot path alone, for a tool that counts instructions: `hot <commands for each caller>`.
//!
//! A thousand entities, ten callers each, one thread, a journal in memory.

use std::error::Error;

use annals::journal::MemoryJournal;
use annals::prelude::*;

#[path = "../notebook.rs"]
mod notebook;

use notebook::{Notebook, text};

const ENTITIES: u64 = 1_000;
const CALLERS: u64 = 10;

fn main() -> Result<(), Box<dyn Error>> {
    let commands: u64 = std::env::args().nth(1).map_or(Ok(10), |commands| commands.parse())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    runtime.block_on(async {
        let system = System::builder().shards(2).start(MemoryJournal::new())?;
        let callers: Vec<_> = (0..ENTITIES * CALLERS)
            .map(|caller| {
                let notebook = system.get::<Notebook>(format!("{:010}", caller % ENTITIES));
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
