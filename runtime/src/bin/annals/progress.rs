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
        let is_seen = io::stderr().is_terminal();
        Self::on(if is_seen { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() })
    }

    fn on(target: ProgressDrawTarget) -> Self {
        let bar = ProgressBar::hidden();
        if let Ok(style) = ProgressStyle::with_template("{msg} {wide_bar} {pos}, {elapsed}") {
            bar.set_style(style);
        }
        bar.set_draw_target(target);
        Self { bar, doing: "" }
    }

    pub(crate) fn tell(&mut self, progress: Progress) {
        self.show(progress.doing, progress.done, progress.of);
    }

    fn show(&mut self, doing: &'static str, done: u64, of: Option<u64>) {
        if self.doing != doing {
            self.doing = doing;
            self.bar.set_message(doing);
            self.bar.reset();
            match of {
                Some(of) => self.bar.set_length(of),
                None => self.bar.unset_length(),
            }
        }
        self.bar.set_position(done);
    }
}

impl Drop for Bar {
    /// Takes the bar off the screen.
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use indicatif::TermLike;

    use super::*;

    /// A terminal of 60 columns that keeps each line that was drawn; a cleared one is empty.
    #[derive(Debug, Clone, Default)]
    struct Screen(Arc<Mutex<Vec<String>>>);

    impl Screen {
        fn last(&self) -> String {
            self.0.lock().unwrap().iter().rev().find(|line| !line.is_empty()).cloned().unwrap_or_default()
        }

        fn draw(&self, text: &str) -> io::Result<()> {
            self.0.lock().unwrap().push(text.trim_end().to_owned());
            Ok(())
        }
    }

    impl TermLike for Screen {
        fn width(&self) -> u16 {
            60
        }

        fn move_cursor_up(&self, _: usize) -> io::Result<()> {
            Ok(())
        }

        fn move_cursor_down(&self, _: usize) -> io::Result<()> {
            Ok(())
        }

        fn move_cursor_right(&self, _: usize) -> io::Result<()> {
            Ok(())
        }

        fn move_cursor_left(&self, _: usize) -> io::Result<()> {
            Ok(())
        }

        fn write_line(&self, text: &str) -> io::Result<()> {
            self.draw(text)
        }

        fn write_str(&self, text: &str) -> io::Result<()> {
            self.draw(text)
        }

        fn clear_line(&self) -> io::Result<()> {
            self.draw("")
        }

        fn flush(&self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_is_being_done_is_drawn_with_how_much_of_it_is_done_and_taken_off_the_screen() {
        let screen = Screen::default();
        let mut bar = Bar::on(ProgressDrawTarget::term_like(Box::new(screen.clone())));
        bar.show("groups", 3, Some(12));
        let line = screen.last();
        assert!(line.starts_with("groups ") && line.contains(" 3, "), "{line}");
        let quarter = line.matches('█').count();
        bar.show("groups", 12, Some(12));
        let whole = screen.last().matches('█').count();
        assert!(quarter > 0 && (quarter * 4).abs_diff(whole) <= 4, "{quarter} columns of {whole}");
        bar.show("streams", 1, None);
        let line = screen.last();
        assert!(line.starts_with("streams ") && line.contains(" 1, "), "{line}");
        drop(bar);
        assert_eq!(screen.0.lock().unwrap().last().unwrap(), "", "the bar is still there");
    }
}
