//! How far the log is read, shown on a terminal.

use std::fs::File;
use std::io::{self, IsTerminal, Read};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

const STYLE: &str = "{wide_bar} {percent:>3} %, {elapsed}";

/// A bar on the error output while a file is read; nothing where that is no terminal.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// Counts, and shows nothing yet.
    pub(crate) fn new() -> Self {
        let bar = ProgressBar::hidden();
        if let Ok(style) = ProgressStyle::with_template(STYLE) {
            bar.set_style(style);
        }
        Self { bar }
    }

    /// Counts what is read of `file`.
    pub(crate) fn watch(&self, file: File) -> Box<dyn Read + Send> {
        // A pipe has no length: only the time is shown then.
        if let Ok(length) = file.metadata().map(|it| it.len()) {
            self.bar.set_length(length);
        }
        Box::new(self.bar.wrap_read(file))
    }

    /// Shows the bar, on a terminal.
    pub(crate) fn show(&self) {
        if io::stderr().is_terminal() {
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
        }
    }

    /// Takes the bar off the screen.
    pub(crate) fn end(&self) {
        self.bar.finish_and_clear();
    }
}
