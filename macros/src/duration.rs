//! Durations as they are written in attributes: `30s`, `5min`, `60d`, or the path of a constant.

use proc_macro2::TokenStream;
use quote::ToTokens;
use syn::parse::ParseStream;
use syn::{Error, LitInt, Path};

use crate::spell::spell;
use crate::symbol::UNITS;

pub(crate) enum Duration {
    Literal {
        literal: LitInt,
        length: Length,
    },
    /// A constant of the user's.
    Constant(Path),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Length {
    Millis(u64),
    Secs(u64),
}

impl Duration {
    /// Reads all of the input. `zero` is what is said of no time at all.
    pub(crate) fn parse(input: ParseStream<'_>, zero: &str) -> syn::Result<Self> {
        let all: TokenStream = input.fork().parse()?;
        let wrong = || Error::new_spanned(&all, expected(&spell(&all)));
        let duration = if input.peek(LitInt) {
            let literal: LitInt = input.parse()?;
            if !input.is_empty() {
                return Err(wrong());
            }
            Self::Literal { length: length(&literal, zero)?, literal }
        } else {
            input.call(Path::parse_mod_style).map(Self::Constant).map_err(|_| wrong())?
        };
        if input.is_empty() { Ok(duration) } else { Err(wrong()) }
    }

    /// As it is written, without the way to a constant.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Literal { literal, .. } => literal.to_string(),
            Self::Constant(path) => path.segments.last().map(|last| last.ident.to_string()).unwrap_or_default(),
        }
    }
}

impl ToTokens for Duration {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        match self {
            Self::Literal { literal, .. } => literal.to_tokens(tokens),
            Self::Constant(path) => path.to_tokens(tokens),
        }
    }
}

fn length(literal: &LitInt, zero: &str) -> syn::Result<Length> {
    let wrong = || Error::new(literal.span(), expected(&literal.to_string()));
    let unit = literal.suffix();
    let secs_of_unit = match unit {
        "ms" | "s" => 1,
        "min" => 60,
        "h" => 60 * 60,
        "d" => 24 * 60 * 60,
        _ => return Err(wrong()),
    };
    let number: u64 = literal.base10_digits().parse().map_err(|_| wrong())?;
    if number == 0 {
        return Err(Error::new(literal.span(), zero));
    }
    if unit == "ms" {
        return Ok(Length::Millis(number));
    }
    number.checked_mul(secs_of_unit).map(Length::Secs).ok_or_else(wrong)
}

fn expected(found: &str) -> String {
    format!(
        "expected a duration such as `30s`, `5min`, `60d`, or the path of a `Duration` constant; found `{found}`; units \
         are: {}",
        UNITS.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> syn::Result<Length> {
        length(&syn::parse_str(text).expect("a literal"), "no time")
    }

    #[test]
    fn a_number_with_a_unit_is_a_duration() {
        for (text, expected) in [
            ("250ms", Length::Millis(250)),
            ("30s", Length::Secs(30)),
            ("5min", Length::Secs(300)),
            ("2h", Length::Secs(7_200)),
            ("1_000d", Length::Secs(86_400_000)),
        ] {
            assert_eq!(read(text).ok(), Some(expected), "{text}");
        }
    }

    #[test]
    fn nothing_too_much_and_other_units_are_refused() {
        for text in ["0s", "30", "30minuts", "30u64", "999999999999999999d"] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
