//! What effects write into, for tests to read.

use tokio::sync::watch;

/// Keeps lines in the order in which they were written.
#[derive(Debug)]
pub struct Diary(watch::Sender<Vec<String>>);

impl Default for Diary {
    fn default() -> Self {
        Self(watch::Sender::new(Vec::new()))
    }
}

impl Diary {
    /// Writes a line.
    pub fn write(&self, line: impl Into<String>) {
        self.0.send_modify(|lines| lines.push(line.into()));
    }

    /// All lines so far.
    pub fn lines(&self) -> Vec<String> {
        self.0.borrow().clone()
    }

    /// Waits until there are so many lines.
    pub async fn full(&self, lines: usize) {
        // The sender lives as long as the diary.
        let _ = self.0.subscribe().wait_for(|written| written.len() >= lines).await;
    }
}
