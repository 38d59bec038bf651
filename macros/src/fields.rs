//! Fields as they are described to the runtime: what they are called in code, and how their types are written.

use syn::ext::IdentExt;
use syn::visit_mut::{self, VisitMut};
use syn::{AngleBracketedGenericArguments, Fields, ParenthesizedGenericArguments, Type, TypeFnPtr, TypeTuple};

use crate::spell::spell;

/// `amount: u64`
#[derive(Debug, PartialEq)]
pub(crate) struct Described {
    pub(crate) name: String,
    pub(crate) ty: String,
}

/// The fields in the order of their declaration; `0`, `1`, .. where they have no names.
pub(crate) fn described(fields: &Fields) -> Vec<Described> {
    let described = fields.iter().enumerate().map(|(index, field)| {
        let name = field.ident.as_ref().map_or_else(|| index.to_string(), |ident| ident.unraw().to_string());
        Described { name, ty: canonical(&field.ty) }
    });
    described.collect()
}

/// A type in one spelling, however its lines are broken: without the commas that end lists.
fn canonical(ty: &Type) -> String {
    let mut ty = ty.clone();
    WithoutLastCommas.visit_type_mut(&mut ty);
    spell(ty)
}

struct WithoutLastCommas;

impl VisitMut for WithoutLastCommas {
    fn visit_type_tuple_mut(&mut self, tuple: &mut TypeTuple) {
        visit_mut::visit_type_tuple_mut(self, tuple);
        // That of `(u8,)` makes the tuple.
        if tuple.elems.len() > 1 {
            tuple.elems.pop_punct();
        }
    }

    fn visit_angle_bracketed_generic_arguments_mut(&mut self, list: &mut AngleBracketedGenericArguments) {
        visit_mut::visit_angle_bracketed_generic_arguments_mut(self, list);
        list.args.pop_punct();
    }

    fn visit_parenthesized_generic_arguments_mut(&mut self, list: &mut ParenthesizedGenericArguments) {
        visit_mut::visit_parenthesized_generic_arguments_mut(self, list);
        list.inputs.pop_punct();
    }

    fn visit_type_fn_ptr_mut(&mut self, function: &mut TypeFnPtr) {
        visit_mut::visit_type_fn_ptr_mut(self, function);
        function.inputs.pop_punct();
    }
}

#[cfg(test)]
mod tests {
    use syn::{ItemStruct, parse_quote};

    use super::*;

    fn of(item: &ItemStruct) -> Vec<(String, String)> {
        described(&item.fields).into_iter().map(|field| (field.name, field.ty)).collect()
    }

    fn pair(name: &str, ty: &str) -> (String, String) {
        (name.to_owned(), ty.to_owned())
    }

    #[test]
    fn names_are_those_of_the_code_and_types_as_they_are_written() {
        let named = parse_quote!(
            struct A {
                r#type: u8,
                lines: Vec<(String, [u8; 32])>,
                at: std::time::Duration,
            }
        );
        let expected =
            [pair("type", "u8"), pair("lines", "Vec<(String, [u8; 32])>"), pair("at", "std::time::Duration")];
        assert_eq!(of(&named), expected);
        assert_eq!(
            of(&parse_quote!(
                struct A(u8, pub Box<Self>);
            )),
            [pair("0", "u8"), pair("1", "Box<Self>")]
        );
        assert_eq!(
            of(&parse_quote!(
                struct A;
            )),
            []
        );
    }

    #[test]
    fn broken_lines_are_no_other_type() {
        for (broken, one_line) in [
            (parse_quote!(HashMap<String, Vec<u8,>,>), "HashMap<String, Vec<u8>>"),
            (parse_quote!((u8, u16,)), "(u8, u16)"),
            (parse_quote!((u8,)), "(u8, )"),
            (parse_quote!(fn(u8, u16) -> u32), "fn(u8, u16) -> u32"),
            (parse_quote!(Box<dyn Fn(u8) -> u32>), "Box<dyn Fn(u8) -> u32>"),
        ] {
            assert_eq!(canonical(&broken), one_line);
        }
    }
}
