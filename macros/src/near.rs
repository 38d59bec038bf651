//! Lists choices, and finds the one that was meant.

/// The choice that is a typing mistake away from `word`.
pub(crate) fn nearest<'a>(word: &str, choices: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let far = word.chars().count().div_ceil(3);
    choices
        .into_iter()
        .map(|choice| (distance(word, choice), choice))
        .filter(|(distance, _)| *distance <= far)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, choice)| choice)
}

/// ``unknown key `vresion`; did you mean `version`? expected one of: name, was, version, upcast``
pub(crate) fn unknown(what: &str, word: &str, choices: &[&str]) -> String {
    let meant = nearest(word, choices.iter().copied()).map(|choice| format!("did you mean `{choice}`? "));
    let list = match choices {
        [] => "none is expected here".to_owned(),
        [one] => format!("expected `{one}`"),
        _ => format!("expected one of: {}", choices.join(", ")),
    };
    format!("unknown {what} `{word}`; {}{list}", meant.unwrap_or_default())
}

/// ``no state `Locekd`; did you mean `Locked`? states are: Unlocked, Locked``
pub(crate) fn no_state(word: &str, states: &[String]) -> String {
    let meant = nearest(word, states.iter().map(String::as_str)).map(|state| format!("did you mean `{state}`? "));
    format!("no state `{word}`; {}states are: {}", meant.unwrap_or_default(), states.join(", "))
}

/// How many letters to insert, remove or replace to get from one word to the other (Levenshtein).
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (removed, letter) in from.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = removed + 1;
        for (at, other) in to.iter().enumerate() {
            let replaced = diagonal + usize::from(letter != *other);
            diagonal = row[at + 1];
            row[at + 1] = replaced.min(row[at] + 1).min(diagonal + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::symbol::{AGGREGATE_MARKERS, MACHINE_MARKERS};

    #[test]
    fn a_near_word_is_offered_and_a_far_one_is_not() {
        assert_eq!(nearest("vresion", ["name", "version"]), Some("version"));
        assert_eq!(nearest("nam", ["was", "name"]), Some("name"));
        assert_eq!(nearest("colour", ["name", "version"]), None);
    }

    #[test]
    fn common_attributes_are_no_markers_with_a_typing_mistake() {
        let attributes = [
            "allow",
            "cfg",
            "cfg_attr",
            "cold",
            "deny",
            "deprecated",
            "doc",
            "expect",
            "forbid",
            "inline",
            "must_use",
            "test",
            "track_caller",
            "warn",
            "instrument",
        ];
        let markers = [AGGREGATE_MARKERS, MACHINE_MARKERS].concat();
        for attribute in attributes {
            assert_eq!(nearest(attribute, markers.iter().copied()), None, "{attribute}");
        }
    }

    #[test]
    fn distances() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("abc", "abc"), 0);
    }
}
