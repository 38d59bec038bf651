//! Rules for the types of marked methods: what travels to an entity, or is stored, owns its data and has one shape.

use syn::visit::{self, Visit};
use syn::{
    Lifetime, ParenthesizedGenericArguments, ReturnType, Signature, TraitBound, Type, TypeFnPtr, TypeImplTrait,
    TypeReference,
};

use crate::ctxt::Ctxt;
use crate::model::{Answer, Field, Model};
use crate::spell::spell;
use crate::types::{is_context, mentions_effects};

pub(crate) fn check(ctxt: &Ctxt, model: &Model<'_>) {
    for event in &model.events {
        check_no_parameters(ctxt, &event.member.method.sig, "an event has one shape");
        for field in &event.member.fields {
            check_owned(ctxt, field, "stored types own their data", Static::Borrows);
        }
    }
    for handler in model.handlers() {
        check_no_parameters(ctxt, &handler.member.method.sig, "a command has one shape");
        for field in &handler.member.fields {
            check_owned(ctxt, field, "commands own their data", Static::Owns);
        }
        check_owned_answer(ctxt, &handler.answer);
    }
    for deadline in &model.deadlines {
        check_no_parameters(ctxt, &deadline.member.method.sig, "a deadline has one shape");
    }
    for query in &model.queries {
        check_no_parameters(ctxt, &query.member.method.sig, "a query has one shape");
        for field in &query.member.fields {
            check_owned(ctxt, field, "queries own their data", Static::Owns);
        }
        check_owned_reply(ctxt, &query.member.method.sig);
    }
}

/// Parameters become fields of an enum that has no parameters of its own.
fn check_no_parameters(ctxt: &Ctxt, sig: &Signature, why: &str) {
    let generics = &sig.generics;
    if !generics.params.is_empty() {
        ctxt.error(generics, format!("{why}; it can't be generic: name the types"));
    } else if let Some(clause) = &generics.where_clause {
        ctxt.error(clause, format!("{why}; it can't have conditions: remove them"));
    }
    ReportImplTraits { ctxt, why }.visit_signature(sig);
}

struct ReportImplTraits<'a> {
    ctxt: &'a Ctxt,
    why: &'a str,
}

impl<'a> Visit<'a> for ReportImplTraits<'_> {
    fn visit_type_impl_trait(&mut self, ty: &'a TypeImplTrait) {
        self.ctxt.error(ty, format!("{}; it can't be generic: name a type for `{}`", self.why, spell(ty)));
    }
}

/// What is stored, or travels to an entity, outlives whom it came from.
fn check_owned(ctxt: &Ctxt, field: &Field<'_>, why: &str, with_static: Static) {
    // Where a context or effects may be, another rule says so.
    if !is_context(field.given) && !mentions_effects(field.given) {
        report_borrowed(ctxt, field.given, why, with_static);
    }
}

/// A reply leaves the entity, whose data goes on changing.
fn check_owned_reply(ctxt: &Ctxt, sig: &Signature) {
    if let ReturnType::Type(_, ty) = &sig.output {
        report_borrowed(ctxt, ty, "a reply leaves the entity and owns its data", Static::Owns);
    }
}

/// So does that of a command, and what it is refused with.
fn check_owned_answer(ctxt: &Ctxt, answer: &Answer) {
    match answer {
        Answer::Step { reply } => report_borrowed(ctxt, reply, "a reply owns its data", Static::Owns),
        Answer::Refusable { reply, refusal } => {
            report_borrowed(ctxt, reply, "a reply owns its data", Static::Owns);
            report_borrowed(ctxt, refusal, "a refusal owns its data", Static::Owns);
        }
        Answer::Named(ty) => report_borrowed(ctxt, ty, "a reply owns its data", Static::Owns),
        Answer::Wrong(_) | Answer::Missing => {}
    }
}

/// Whether `&'static str` counts as owned: not where it is read back from bytes.
#[derive(Clone, Copy, PartialEq)]
enum Static {
    Owns,
    Borrows,
}

fn report_borrowed(ctxt: &Ctxt, ty: &Type, why: &str, with_static: Static) {
    let mut find = Borrowed { with_static, whole: ty, found: None };
    find.visit_type(ty);
    if let Some(found) = find.found {
        let remedy = owned(found).map_or_else(|| "an owned type".to_owned(), |ty| format!("`{ty}`"));
        ctxt.error(found, format!("{why}; `{}` borrows: use {remedy}", spell(found)));
    }
}

/// The type to write for a borrowed one.
fn owned(ty: &Type) -> Option<String> {
    let Type::Reference(reference) = ty else { return None };
    match &*reference.elem {
        Type::Path(path) if path.path.is_ident("str") => Some("String".to_owned()),
        Type::Slice(slice) => Some(format!("Vec<{}>", spell(&slice.elem))),
        Type::Path(path) => Some(spell(path)),
        _ => None,
    }
}

/// Finds the first part of a type that borrows.
struct Borrowed<'a> {
    with_static: Static,
    /// To blame for a lifetime among parameters.
    whole: &'a Type,
    found: Option<&'a Type>,
}

impl Borrowed<'_> {
    fn borrows(&self, lifetime: Option<&Lifetime>) -> bool {
        self.with_static == Static::Borrows || lifetime.is_none_or(|lifetime| lifetime.ident != "static")
    }
}

impl<'a> Visit<'a> for Borrowed<'a> {
    fn visit_type(&mut self, ty: &'a Type) {
        if let Type::Reference(TypeReference { lifetime, .. }) = ty
            && self.found.is_none()
            && self.borrows(lifetime.as_ref())
        {
            self.found = Some(ty);
        }
        visit::visit_type(self, ty);
    }

    fn visit_lifetime(&mut self, lifetime: &'a Lifetime) {
        if self.found.is_none() && lifetime.ident != "static" {
            self.found = Some(self.whole);
        }
    }

    // A function takes references whose lifetimes are its caller's matter.
    fn visit_type_fn_ptr(&mut self, _: &'a TypeFnPtr) {}
    fn visit_parenthesized_generic_arguments(&mut self, _: &'a ParenthesizedGenericArguments) {}
    fn visit_trait_bound(&mut self, bound: &'a TraitBound) {
        if bound.lifetimes.is_none() {
            visit::visit_trait_bound(self, bound);
        }
    }
}
