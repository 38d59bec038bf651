//! Names of methods as names of variants, and back.

use proc_macro2::Ident;
use syn::ext::IdentExt;

/// `digit_entered` becomes `DigitEntered`.
///
/// There is none if the result is no name: that of `_1` would be `1`, that of `self_` the keyword `Self`.
pub(crate) fn variant(method: &Ident) -> Option<Ident> {
    let mut camel = String::new();
    for word in method.unraw().to_string().split('_') {
        let mut letters = word.chars();
        camel.extend(letters.next().into_iter().flat_map(char::to_uppercase));
        camel.push_str(letters.as_str());
    }
    let mut variant: Ident = syn::parse_str(&camel).ok()?;
    variant.set_span(method.span());
    Some(variant)
}

/// `DigitEntered` becomes `digit_entered`, `HTTPServer` becomes `http_server`.
pub(crate) fn snake(variant: &str) -> String {
    let letters: Vec<char> = variant.chars().collect();
    let mut snake = String::new();
    for (at, letter) in letters.iter().enumerate() {
        let before = at.checked_sub(1).map(|at| letters[at]);
        let after_small = before.is_some_and(|before| !before.is_uppercase() && before != '_');
        let ends_capitals =
            before.is_some_and(char::is_uppercase) && letters.get(at + 1).is_some_and(|after| after.is_lowercase());
        if letter.is_uppercase() && (after_small || ends_capitals) {
            snake.push('_');
        }
        snake.extend(letter.to_lowercase());
    }
    snake
}

#[cfg(test)]
mod tests {
    use quote::format_ident;

    use super::*;

    #[test]
    fn a_method_becomes_a_variant_and_back() {
        for (method, camel) in [("deposited", "Deposited"), ("digit_entered", "DigitEntered"), ("x2y", "X2y")] {
            assert_eq!(variant(&format_ident!("{method}")).map(|ident| ident.to_string()), Some(camel.to_owned()));
            assert_eq!(snake(camel), method);
        }
        assert_eq!(variant(&format_ident!("r#type")).map(|ident| ident.to_string()), Some("Type".to_owned()));
    }

    #[test]
    fn what_can_not_be_a_variant_is_none() {
        for method in ["_1", "self_", "__"] {
            assert_eq!(variant(&format_ident!("{method}")), None);
        }
    }

    #[test]
    fn capitals_stay_together() {
        assert_eq!(snake("HTTPServer"), "http_server");
        assert_eq!(snake("Pay1"), "pay1");
        assert_eq!(snake("ÄnderungGemeldet"), "änderung_gemeldet");
    }
}
