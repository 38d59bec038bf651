//! How far a command has come, shown on a terminal.

use std::io::{self, IsTerminal};

use annals::journal::Progress;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A bar on the error output; nothing where that is no terminal.
#[derive(Debug)]
pub(crate) struct Bar {
    bar: ProgressBar,
    doing: &'static str,
}

impl Bar {
    pub(crate) fn new() -> Self {
        let bar = ProgressBar::hidden();
        if let Ok(style) = ProgressStyle::with_template("{msg} {wide_bar} {pos}, {elapsed}") {
            bar.set_style(style);
        }
        if io::stderr().is_terminal() {
            bar.set_draw_target(ProgressDrawTarget::stderr());
        }
        Self { bar, doing: "" }
    }

    pub(crate) fn tell(&mut self, progress: Progress) {
        if self.doing != progress.doing {
            self.doing = progress.doing;
            self.bar.set_message(progress.doing);
            self.bar.reset();
            match progress.of {
                Some(of) => self.bar.set_length(of),
                None => self.bar.unset_length(),
            }
        }
        self.bar.set_position(progress.done);
    }
}

impl Drop for Bar {
    /// Takes the bar off the screen.
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
