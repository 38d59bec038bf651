//! The sources as trees: which of them are tests, and which aren't.

use std::fs;
use std::path::{Path, PathBuf};

use syn::{Attribute, Item, ItemFn, Meta};

use crate::{files, root};

/// The items of one file or module.
pub(crate) struct Source {
    /// Of the file, from the workspace's root on.
    pub(crate) path: String,
    pub(crate) is_test: bool,
    pub(crate) items: Vec<Item>,
}

/// All modules of the runtime and of the tests, and the journal suites as tests, wherever they are.
pub(crate) fn all() -> Vec<Source> {
    let mut sources = Vec::new();
    walk(&root().join("runtime/src/lib.rs"), &root().join("runtime/src"), false, &mut sources);
    for directory in ["tests/tests", "runtime/tests", "examples/tests", "interleavings/tests"] {
        for path in files(&root().join(directory)) {
            let items = parse(&path).items;
            add(&path, true, items, None, &mut sources);
        }
    }
    sources
}

fn parse(path: &Path) -> syn::File {
    syn::parse_file(&fs::read_to_string(path).unwrap()).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn walk(file: &Path, children: &Path, is_test: bool, sources: &mut Vec<Source>) {
    let is_suite = file.components().any(|part| part.as_os_str() == "conformance" || part.as_os_str() == "suite");
    let is_suite = is_suite || file.ends_with("suite.rs") || file.ends_with("conformance.rs");
    add(file, is_test || is_suite, parse(file).items, Some(children), sources);
}

fn add(file: &Path, is_test: bool, items: Vec<Item>, children: Option<&Path>, sources: &mut Vec<Source>) {
    let mut kept = Vec::new();
    for item in items {
        let Item::Mod(module) = item else {
            kept.push(item);
            continue;
        };
        let is_test = is_test || is_only_tested(&module.attrs);
        let name = module.ident.to_string();
        match (module.content, children) {
            (Some((_, items)), children) => {
                add(file, is_test, items, children.map(|children| children.join(&name)).as_deref(), sources);
            }
            (None, Some(children)) => {
                let flat = children.join(format!("{name}.rs"));
                let file = if flat.exists() { flat } else { children.join(&name).join("mod.rs") };
                walk(&file, &children.join(&name), is_test, sources);
            }
            // Found by itself.
            (None, None) => {}
        }
    }
    let path = file.strip_prefix(root()).map(PathBuf::from).unwrap_or_default();
    sources.push(Source { path: path.display().to_string(), is_test, items: kept });
}

/// Whether `#[cfg(test)]` or `#[cfg(all(test, ..))]` is there.
fn is_only_tested(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        Meta::List(list) if list.path.is_ident("cfg") => {
            let condition = list.tokens.to_string().replace(' ', "");
            condition == "test" || condition.starts_with("all(test,")
        }
        Meta::List(_) | Meta::Path(_) | Meta::NameValue(_) => false,
    })
}

/// The functions of a source that are part of tests: all of a test module, and elsewhere none.
pub(crate) fn functions(source: &Source) -> impl Iterator<Item = &ItemFn> {
    let items = if source.is_test { source.items.as_slice() } else { &[] };
    items.iter().filter_map(|item| match item {
        Item::Fn(function) => Some(function),
        _ => None,
    })
}
