//! Rules for the names that a block makes, and for where its events come from.

use syn::ext::IdentExt;
use syn::{Ident, PatType, Path, Type};

use crate::check::has_mut_self;
use crate::ctxt::Ctxt;
use crate::model::{Member, Model, parameters};
use crate::spell::spell;
use crate::symbol::{ENUM_DERIVES, EVENT_DERIVE, REF_METHODS};

pub(crate) fn check(ctxt: &Ctxt, model: &Model<'_>) {
    check_methods_differ(ctxt, model);
    check_variants_differ(ctxt, model.events.iter().map(|event| (event.member.ident(), &event.variant, &event.member)));
    check_variants_differ(
        ctxt,
        model.commands.iter().map(|command| (&command.ident, &command.variant, &command.first().member)),
    );
    check_ref_has_room(ctxt, model);
    check_derives(ctxt, &model.options.derives);
    if let Some(event) = &model.options.event {
        check_events_in_one_place(ctxt, model, event);
        check_own_apply(ctxt, model, event);
    }
}

/// A name is declared once, unless a `#[cfg]` chooses between two.
fn check_methods_differ(ctxt: &Ctxt, model: &Model<'_>) {
    let mut seen: Vec<&Member<'_>> = Vec::new();
    for member in model.members() {
        let ident = member.ident();
        match seen.iter().find(|first| first.ident() == ident && always(first, member)) {
            Some(first) => {
                let name = member.name();
                ctxt.collision(
                    ident,
                    format!("`{name}` is declared twice; rename one"),
                    first.ident(),
                    format!("`{name}` is first declared here"),
                );
            }
            None => seen.push(member),
        }
    }
}

/// Two names must not become one in CamelCase.
fn check_variants_differ<'m>(ctxt: &Ctxt, variants: impl Iterator<Item = (&'m Ident, &'m Ident, &'m Member<'m>)>) {
    let mut seen: Vec<(&Ident, &Ident, &Member<'_>)> = Vec::new();
    for (ident, variant, member) in variants {
        let twin =
            seen.iter().find(|(first, other, earlier)| *other == variant && *first != ident && always(earlier, member));
        match twin {
            Some((first, ..)) => {
                let [first_name, name] = [first, ident].map(IdentExt::unraw);
                ctxt.collision(
                    ident,
                    format!("`{first_name}` and `{name}` both become the variant `{variant}`; rename one"),
                    first,
                    format!("`{first_name}` becomes `{variant}`, too"),
                );
            }
            None => seen.push((ident, variant, member)),
        }
    }
}

/// Whether both methods are there in all builds.
fn always(first: &Member<'_>, second: &Member<'_>) -> bool {
    !first.is_conditional() && !second.is_conditional()
}

/// A command or query must not hide what every ref has.
fn check_ref_has_room(ctxt: &Ctxt, model: &Model<'_>) {
    let commands = model.commands.iter().map(|command| ("command", &command.ident));
    let queries = model.queries.iter().map(|query| ("query", query.member.ident()));
    for (kind, ident) in commands.chain(queries) {
        let name = ident.unraw().to_string();
        if REF_METHODS.contains(&name.as_str()) {
            ctxt.error(
                ident,
                format!("`{name}` is a method of every ref, and this {kind} would hide it; rename the {kind}"),
            );
        }
    }
}

/// `derive(..)` adds to what the enums derive.
fn check_derives(ctxt: &Ctxt, derives: &[Path]) {
    for (index, path) in derives.iter().enumerate() {
        let word = last_word(path);
        if ENUM_DERIVES.contains(&word.as_str()) || word == EVENT_DERIVE {
            ctxt.error(path, format!("`{word}` is derived in any case; remove it"));
        } else if let Some(first) = derives[..index].iter().find(|first| last_word(first) == word) {
            ctxt.collision(
                path,
                format!("`{word}` is derived twice; remove one"),
                first,
                format!("`{word}` is first derived here"),
            );
        }
    }
}

fn last_word(path: &Path) -> String {
    path.segments.last().map(|last| last.ident.to_string()).unwrap_or_default()
}

/// With `event = BankEvent` that enum has the events, and no method is one.
fn check_events_in_one_place(ctxt: &Ctxt, model: &Model<'_>, event: &Path) {
    for method in model.events.iter().map(|event| &event.member) {
        let event = spell(event);
        ctxt.error(
            method.ident(),
            format!("the events are those of `{event}`: make this a variant of it, or remove `event = {event}`"),
        );
    }
}

/// With `event = BankEvent` the block has the fold, as a method of its own.
///
/// Without it the generated call would find the trait's `apply`, which is the caller.
fn check_own_apply(ctxt: &Ctxt, model: &Model<'_>, event: &Path) {
    let expected = format!("fn apply(&mut self, event: {})", spell(event));
    let Some(apply) = model.block.methods().find(|method| method.sig.ident.unraw() == "apply") else {
        ctxt.error(event, format!("`{}` needs `{expected}` in this block, to change its data", model.ident));
        return;
    };
    let given: Vec<&PatType> = parameters(apply).collect();
    if !has_mut_self(&apply.sig) || !matches!(given.as_slice(), [event] if !matches!(*event.ty, Type::Reference(_))) {
        ctxt.error(&apply.sig, format!("the runtime calls this with each event: write `{expected}`"));
    }
}
