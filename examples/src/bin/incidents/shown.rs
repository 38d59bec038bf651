//! Text from a log, fit for a terminal.

/// How much of a ticket's number is shown.
pub(crate) const TICKET_CHARS_MAX: usize = 40;

/// Escapes what a terminal would obey instead of showing it, and leaves away what is beyond `chars_max`.
pub(crate) fn shown(text: &str, chars_max: usize) -> String {
    let mut chars = text.chars();
    let mut shown = String::new();
    for char in chars.by_ref().take(chars_max) {
        match char {
            '\'' | '"' | '\\' => shown.push(char),
            char => shown.extend(char.escape_debug()),
        }
    }
    if chars.next().is_some() {
        shown.push_str("..");
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stay_as_they_are() {
        assert_eq!(shown("Group 5, \"größte\" \\ 'nächste'", 40), "Group 5, \"größte\" \\ 'nächste'");
    }

    #[test]
    fn what_a_terminal_would_obey_is_escaped() {
        assert_eq!(shown("a\u{1b}[31m\0\r\u{7}\u{202e}b", 40), "a\\u{1b}[31m\\0\\r\\u{7}\\u{202e}b");
    }

    #[test]
    fn what_is_too_long_is_cut() {
        assert_eq!(shown("größer", 4), "größ..");
        assert_eq!(shown("größer", 6), "größer");
    }
}
