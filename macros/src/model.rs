//! What a block declares: events, commands and queries, as far as they can be understood.
//!
//! Building reports only what leaves a hole in the model, such as a parameter without a name. All other rules are
//! checked on the finished model.

use proc_macro2::Ident;
use quote::format_ident;
use syn::ext::IdentExt;
use syn::punctuated::Punctuated;
use syn::{Attribute, FnArg, Meta, Pat, PatType, Path, ReturnType, Token, Type};

use crate::block::{Block, Method};
use crate::case;
use crate::crate_path::CratePath;
use crate::ctxt::Ctxt;
use crate::options::Options;
use crate::stored::Stored;
use crate::symbol::RESULT;
use crate::types::{arguments, arguments_of, is_context, is_no_step, unit, without_self};
use crate::words::{Words, is_step};

/// An aggregate.
pub(crate) struct Model<'a> {
    pub(crate) block: &'a Block,
    pub(crate) options: &'a Options,
    /// The type as the block names it.
    pub(crate) ty: Path,
    /// Its last word.
    pub(crate) ident: Ident,
    pub(crate) events: Vec<Event<'a>>,
    pub(crate) commands: Vec<Command<'a>>,
    pub(crate) queries: Vec<Query<'a>>,
    /// The methods in which the words of a handler are completed: the commands, and no matter what is wrong with them.
    handlers: Vec<&'a Method>,
}

/// `#[event] fn deposited(&mut self, amount: u64)`
pub(crate) struct Event<'a> {
    pub(crate) member: Member<'a>,
    pub(crate) variant: Ident,
    pub(crate) stored: Stored,
}

/// `#[command] fn deposit(&self, amount: u64) -> Step<u64>`
pub(crate) struct Command<'a> {
    pub(crate) member: Member<'a>,
    pub(crate) variant: Ident,
    /// Its first parameter `cx: &Context<Self>`, which the caller doesn't give.
    pub(crate) context: Option<&'a PatType>,
    pub(crate) answer: Answer,
}

/// `#[query] fn balance(&self) -> u64`
pub(crate) struct Query<'a> {
    pub(crate) member: Member<'a>,
    pub(crate) reply: Type,
}

/// What all marked methods have.
pub(crate) struct Member<'a> {
    pub(crate) method: &'a Method,
    pub(crate) fields: Vec<Field<'a>>,
}

/// A parameter, which becomes a field.
pub(crate) struct Field<'a> {
    /// The attributes that leave the method for the field.
    pub(crate) attrs: Vec<&'a Attribute>,
    pub(crate) ident: &'a Ident,
    /// As the method gives it.
    pub(crate) given: &'a Type,
    /// With the aggregate's name for `Self`.
    pub(crate) ty: Type,
}

/// What a handler returns, without `Self`, and each `Step` complete.
pub(crate) enum Answer {
    /// `Step<R>`
    Step { reply: Type },
    /// `Result<Step<R>, E>`
    Refusable { reply: Type, refusal: Box<Type> },
    /// An alias, it is hoped.
    Named(Type),
    /// Evidently no step.
    Wrong(Type),
    /// Nothing.
    Missing,
}

impl<'a> Model<'a> {
    pub(crate) fn new(ctxt: &Ctxt, block: &'a Block, options: &'a Options, ty: Path, marked: &Marked<'a>) -> Self {
        let ident = ty.segments.last().map_or_else(|| format_ident!("Self"), |last| last.ident.unraw());
        let builder = Builder { ctxt, ty: &ty, crate_path: &options.crate_path };
        let events = marked.events.iter().filter_map(|event| builder.event(event)).collect();
        let commands = marked.commands.iter().filter_map(|method| builder.command(method)).collect();
        let queries = marked.queries.iter().map(|method| builder.query(method)).collect();
        Self { block, options, ty, ident, events, commands, queries, handlers: marked.commands.clone() }
    }

    pub(crate) fn members(&self) -> impl Iterator<Item = &Member<'a>> {
        let events = self.events.iter().map(|event| &event.member);
        let commands = self.commands.iter().map(|command| &command.member);
        let queries = self.queries.iter().map(|query| &query.member);
        events.chain(commands).chain(queries)
    }

    /// Whether the words of a handler are completed in a method.
    pub(crate) fn is_handler(&self, method: &Method) -> bool {
        self.handlers.iter().any(|handler| std::ptr::eq(*handler, method))
    }

    pub(crate) fn words(&self) -> Words<'_> {
        Words { handler: &self.ty, crate_path: &self.options.crate_path }
    }

    /// The type of the events: generated, or the user's own.
    pub(crate) fn event_type(&self) -> Path {
        self.options.event.clone().unwrap_or_else(|| self.event_enum().into())
    }

    /// The generated type of the events.
    pub(crate) fn event_enum(&self) -> Ident {
        self.generated("Event")
    }

    pub(crate) fn command_type(&self) -> Ident {
        self.generated("Command")
    }

    pub(crate) fn ref_type(&self) -> Ident {
        self.generated("Ref")
    }

    fn generated(&self, what: &str) -> Ident {
        format_ident!("{}{what}", self.ident, span = self.ident.span())
    }
}

/// The marked methods of a block.
#[derive(Default)]
pub(crate) struct Marked<'a> {
    pub(crate) events: Vec<(&'a Method, &'a Attribute)>,
    pub(crate) commands: Vec<&'a Method>,
    pub(crate) queries: Vec<&'a Method>,
}

impl Member<'_> {
    pub(crate) fn ident(&self) -> &Ident {
        &self.method.sig.ident
    }

    /// The name as it is sent and stored.
    pub(crate) fn name(&self) -> String {
        self.ident().unraw().to_string()
    }

    pub(crate) fn docs(&self) -> impl Iterator<Item = &Attribute> {
        self.method.attrs.iter().filter(|attr| attr.path().is_ident("doc"))
    }

    /// What decides whether the method is there at all: it decides so for all that is made of it.
    pub(crate) fn cfgs(&self) -> impl Iterator<Item = &Attribute> {
        self.method.attrs.iter().filter(|attr| is_conditional(attr))
    }

    /// Whether the method may not be there.
    pub(crate) fn is_conditional(&self) -> bool {
        self.cfgs().next().is_some()
    }
}

/// `#[cfg(..)]`, or a `#[cfg_attr(.., cfg(..))]`.
pub(crate) fn is_conditional(attr: &Attribute) -> bool {
    if attr.path().is_ident("cfg") {
        return true;
    }
    attr.path().is_ident("cfg_attr")
        && attr
            .parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated)
            .is_ok_and(|parts| parts.iter().skip(1).any(|meta| meta.path().is_ident("cfg")))
}

struct Builder<'b> {
    ctxt: &'b Ctxt,
    ty: &'b Path,
    crate_path: &'b CratePath,
}

impl Builder<'_> {
    fn event<'a>(&self, (method, marker): &(&'a Method, &'a Attribute)) -> Option<Event<'a>> {
        let member = self.member(method, None);
        let stored = Stored::read(self.ctxt, &method.sig.ident, member.name(), &[*marker], member.is_conditional());
        Some(Event { variant: self.variant(&member)?, member, stored })
    }

    fn command<'a>(&self, method: &'a Method) -> Option<Command<'a>> {
        let context = parameters(method).next().filter(|first| is_context(&first.ty));
        let member = self.member(method, context);
        Some(Command { variant: self.variant(&member)?, member, context, answer: self.answer(&method.sig.output) })
    }

    fn query<'a>(&self, method: &'a Method) -> Query<'a> {
        let reply = match &method.sig.output {
            ReturnType::Type(_, ty) => without_self(ty, self.ty),
            ReturnType::Default => unit(),
        };
        Query { member: self.member(method, None), reply }
    }

    fn member<'a>(&self, method: &'a Method, context: Option<&'a PatType>) -> Member<'a> {
        let fields = parameters(method)
            .filter(|parameter| !context.is_some_and(|context| std::ptr::eq(context, *parameter)))
            .filter_map(|parameter| self.field(parameter))
            .collect();
        Member { method, fields }
    }

    /// A parameter becomes a field, so it is one name: `amount: u64`, `mut amount: u64`.
    fn field<'a>(&self, parameter: &'a PatType) -> Option<Field<'a>> {
        match &*parameter.pat {
            Pat::Ident(pat) if pat.by_ref.is_none() && pat.subpat.is_none() => Some(Field {
                attrs: parameter.attrs.iter().filter(|attr| leaves_for_field(attr)).collect(),
                ident: &pat.ident,
                given: &parameter.ty,
                ty: without_self(&parameter.ty, self.ty),
            }),
            pattern => {
                self.ctxt.error(
                    pattern,
                    "a parameter becomes a field and needs a name: write one, and take it apart in the body",
                );
                None
            }
        }
    }

    /// A method becomes a variant, so its name has a form in CamelCase.
    fn variant(&self, member: &Member<'_>) -> Option<Ident> {
        let ident = member.ident();
        let variant = case::variant(ident);
        if variant.is_none() {
            self.ctxt.error(ident, format!("`{ident}` can't be the name of a variant in CamelCase; rename it"));
        }
        variant
    }

    fn answer(&self, output: &ReturnType) -> Answer {
        let ReturnType::Type(_, given) = output else { return Answer::Missing };
        let mut ty = without_self(given, self.ty);
        if is_no_step(&ty) {
            return Answer::Wrong(ty);
        }
        if let Some(reply) = self.reply(&ty) {
            return Answer::Step { reply };
        }
        if let Some([step, refusal]) = arguments_of(&ty, RESULT).as_deref()
            && let Some(reply) = self.reply(step)
        {
            return Answer::Refusable { reply, refusal: Box::new((*refusal).clone()) };
        }
        Words { handler: self.ty, crate_path: self.crate_path }.complete_type(&mut ty);
        Answer::Named(ty)
    }

    /// The `R` of a `Step<R>`.
    fn reply(&self, ty: &Type) -> Option<Type> {
        let Type::Path(path) = ty else { return None };
        if path.qself.is_some() || !is_step(&path.path, self.crate_path) {
            return None;
        }
        match arguments(&path.path)?.as_slice() {
            [] => Some(unit()),
            [reply] => Some((*reply).clone()),
            _ => None,
        }
    }
}

/// The parameters after `self`.
pub(crate) fn parameters(method: &Method) -> impl Iterator<Item = &PatType> {
    method.sig.inputs.iter().filter_map(|input| match input {
        FnArg::Typed(parameter) => Some(parameter),
        FnArg::Receiver(_) => None,
    })
}

/// `cfg` and the lints of a parameter stay with it; `#[serde(default)]` and docs are meant for the field.
pub(crate) fn leaves_for_field(attr: &Attribute) -> bool {
    !["cfg", "allow", "expect", "warn", "deny", "forbid"].iter().any(|word| attr.path().is_ident(word))
}
