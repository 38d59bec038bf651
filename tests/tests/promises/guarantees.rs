//! The table of guarantees in the README names tests that are there.

use std::fs;

use proc_macro2::{Ident, TokenTree};
use syn::{Item, ItemFn, ItemMacro, Path};

use crate::root;
use crate::sources::{Source, all, functions};

/// What the README calls the table's section.
const SECTION: &str = "### What happens when\n";

#[test]
fn every_guarantee_names_tests_that_are_there() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let (_, section) = readme.split_once(SECTION).expect("the README has the section");
    let rows: Vec<&str> = section.lines().skip_while(|line| !line.starts_with('|')).collect();
    let rows = rows.iter().take_while(|line| line.starts_with('|')).skip(2);
    let sources = all();
    let tests: Vec<(&str, &ItemFn)> =
        sources.iter().flat_map(|source| functions(source).map(|function| (source.path.as_str(), function))).collect();
    let (mut wrong, mut count) = (Vec::new(), 0);
    for row in rows {
        count += 1;
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [fault, _, _, _, shown_by] = cells.as_slice() else {
            wrong.push(format!("a row has {} cells: {row}", cells.len()));
            continue;
        };
        // What stands between two ticks.
        let named: Vec<&str> = shown_by.split('`').skip(1).step_by(2).collect();
        if named.is_empty() {
            wrong.push(format!("{fault}: no test"));
        }
        for name in named {
            let found = name.split_once("::").is_some_and(|(path, name)| {
                let is_written =
                    |(file, test): &(&str, &ItemFn)| is_in(file, path) && test.sig.ident == name && is_run(test, file);
                tests.iter().any(is_written)
                    || sources.iter().any(|source| is_in(&source.path, path) && made(source).any(|made| made == name))
            });
            if !found {
                wrong.push(format!("{fault}: there is no test `{name}`"));
            }
        }
    }
    assert!(count > 20, "only {count} rows were found");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The tests that a macro of a file makes in it, by the names that it is given.
fn made(source: &Source) -> impl Iterator<Item = Ident> {
    let macros = source.items.iter().filter_map(|item| match item {
        Item::Macro(item) => Some(item),
        _ => None,
    });
    let makes_tests = |name: &Path| {
        let is_it = |item: &ItemMacro| item.ident.as_ref().is_some_and(|ident| name.is_ident(ident));
        macros
            .clone()
            .any(|item| is_it(item) && item.mac.tokens.to_string().replace(' ', "").contains("#[test]fn$name"))
    };
    let calls = macros.clone().filter(move |item| makes_tests(&item.mac.path));
    let names = calls.flat_map(|item| item.mac.tokens.clone()).filter_map(|token| match token {
        TokenTree::Ident(name) => Some(name),
        TokenTree::Group(_) | TokenTree::Punct(_) | TokenTree::Literal(_) => None,
    });
    names.collect::<Vec<_>>().into_iter()
}

/// Whether a path ends with another one.
fn is_in(file: &str, end: &str) -> bool {
    file == end || file.strip_suffix(end).is_some_and(|before| before.ends_with('/'))
}

/// Whether a function is a test; those of a suite are called by others.
fn is_run(function: &ItemFn, file: &str) -> bool {
    let has_mark =
        |attribute: &syn::Attribute| attribute.path().segments.last().is_some_and(|segment| segment.ident == "test");
    file.contains("conformance") || function.attrs.iter().any(has_mark)
}
