//! Tokens as one would write them: `Result<Step<u64>, E>`, where their own `Display` has a space between any two.

use proc_macro2::{Delimiter, Spacing, TokenStream, TokenTree};
use quote::ToTokens;

pub(crate) fn spell(tokens: impl ToTokens) -> String {
    let mut text = String::new();
    spell_onto(&mut text, tokens.into_token_stream());
    text
}

fn spell_onto(text: &mut String, tokens: TokenStream) {
    for token in tokens {
        match token {
            TokenTree::Group(group) => {
                if group.delimiter() == Delimiter::Bracket && text.ends_with(char::is_alphanumeric) {
                    text.push(' ');
                }
                let (open, close) = match group.delimiter() {
                    Delimiter::Parenthesis => ("(", ")"),
                    Delimiter::Brace => (" { ", " }"),
                    Delimiter::Bracket => ("[", "]"),
                    Delimiter::None => ("", ""),
                };
                text.push_str(open);
                spell_onto(text, group.stream());
                text.push_str(close);
            }
            TokenTree::Punct(punct) => match (punct.as_char(), punct.spacing()) {
                (',' | ';', _) => text.extend([punct.as_char(), ' ']),
                ('=' | '+' | '-', _) => text.extend([' ', punct.as_char()]),
                // The second half of an arrow.
                ('>', Spacing::Alone) if text.ends_with(" -") => text.push_str("> "),
                // Of a parameter, and not the half of a `::`.
                (':', Spacing::Alone) if !text.ends_with(':') => text.push_str(": "),
                (other, _) => text.push(other),
            },
            word => {
                if text.ends_with(|before: char| before.is_alphanumeric() || "_=+".contains(before)) {
                    text.push(' ');
                }
                text.push_str(&word.to_string());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use quote::quote;

    use super::*;

    #[test]
    fn types_look_as_they_are_written() {
        for (tokens, text) in [
            (quote!(&str), "&str"),
            (quote!(&'static [u8]), "&'static [u8]"),
            (quote!(Result<Step<u64>, E>), "Result<Step<u64>, E>"),
            (quote!(std::borrow::Cow<'_, str>), "std::borrow::Cow<'_, str>"),
            (quote!(impl Into<u64> + Send), "impl Into<u64> + Send"),
            (quote!(&mut dyn Fn(u8) -> u16), "&mut dyn Fn(u8) -> u16"),
            (quote!(impl Iterator<Item = u8>), "impl Iterator<Item = u8>"),
            (quote!(at: u64, to: std::net::IpAddr), "at: u64, to: std::net::IpAddr"),
        ] {
            assert_eq!(spell(tokens), text);
        }
    }
}
