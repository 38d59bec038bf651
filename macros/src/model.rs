//! What a block declares: events, commands, queries and deadlines, as far as they can be understood.
//!
//! Building reports only what leaves a hole in the model, such as a parameter without a name. All other rules are
//! checked on the finished model.

use proc_macro2::Ident;
use quote::{ToTokens, format_ident};
use syn::ext::IdentExt;
use syn::punctuated::Punctuated;
use syn::{Attribute, FnArg, LitStr, Meta, Pat, PatType, Path, ReturnType, Token, Type};

use crate::block::{Block, Method};
use crate::case;
use crate::crate_path::CratePath;
use crate::ctxt::Ctxt;
use crate::graph::{Cause, Graph, Way};
use crate::options::Options;
use crate::stored::Stored;
use crate::symbol::RESULT;
use crate::types::{arguments, arguments_of, is_context, is_no_step, unit, without_self};
use crate::words::{Words, bare_step, is_step, steps};

/// An aggregate, or a machine.
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
    /// The handlers that time calls.
    pub(crate) deadlines: Vec<Handler<'a>>,
    /// What makes a machine of an aggregate.
    pub(crate) graph: Option<Graph<'a>>,
    /// The methods in which the words of a handler are completed, no matter what is wrong with them.
    handlers: Vec<&'a Method>,
}

/// `#[event] fn deposited(&mut self, amount: u64)`
pub(crate) struct Event<'a> {
    pub(crate) member: Member<'a>,
    pub(crate) variant: Ident,
    pub(crate) stored: Stored,
}

/// A request, and who decides on it: one handler, or in a machine one for each of several sets of states.
pub(crate) struct Command<'a> {
    /// What it is called.
    pub(crate) ident: Ident,
    pub(crate) variant: Ident,
    /// At least one.
    pub(crate) handlers: Vec<Handler<'a>>,
}

/// `#[command] fn deposit(&self, amount: u64) -> Step<u64>`
pub(crate) struct Handler<'a> {
    pub(crate) member: Member<'a>,
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
    pub(crate) fn new(
        ctxt: &Ctxt,
        block: &'a Block,
        options: &'a Options,
        ty: Path,
        marked: &Marked<'a>,
        graph: Option<Graph<'a>>,
    ) -> Self {
        let ident = ident_of(&ty);
        let builder = Builder { ctxt, ty: &ty, crate_path: &options.crate_path, graph: graph.as_ref() };
        let events = marked.events.iter().filter_map(|event| builder.event(event)).collect();
        let (mut commands, mut deadlines) = (Vec::new(), Vec::new());
        for method in &marked.handlers {
            match graph.as_ref().map(|graph| graph.way_of(method)) {
                // Of an aggregate.
                None => builder.command(&mut commands, method, &method.sig.ident),
                Some(Some(Way { cause: Cause::Command(ident), .. })) => builder.command(&mut commands, method, ident),
                Some(Some(Way { cause: Cause::Deadline(_), .. })) => deadlines.push(builder.deadline(method)),
                // It couldn't be understood.
                Some(None) => {}
            }
        }
        let queries = marked.queries.iter().map(|method| builder.query(method)).collect();
        let handlers = marked.handlers.clone();
        Self { block, options, ty, ident, events, commands, queries, deadlines, graph, handlers }
    }

    pub(crate) fn members(&self) -> impl Iterator<Item = &Member<'a>> {
        let events = self.events.iter().map(|event| &event.member);
        let handlers = self.handlers().chain(&self.deadlines).map(|handler| &handler.member);
        let queries = self.queries.iter().map(|query| &query.member);
        events.chain(handlers).chain(queries)
    }

    /// The handlers of all commands.
    pub(crate) fn handlers(&self) -> impl Iterator<Item = &Handler<'a>> {
        self.commands.iter().flat_map(|command| &command.handlers)
    }

    /// Whether the words of a handler are completed in a method.
    pub(crate) fn is_handler(&self, method: &Method) -> bool {
        self.handlers.iter().any(|handler| std::ptr::eq(*handler, method))
    }

    pub(crate) fn words(&self, method: &Method) -> Words<'_> {
        words(&self.ty, &self.options.crate_path, self.graph.as_ref(), method)
    }

    /// The first `Step` in what a method returns that doesn't say who makes it.
    pub(crate) fn bare_step<'t>(&self, output: &'t ReturnType) -> Option<&'t Path> {
        let ReturnType::Type(_, ty) = output else { return None };
        let step = bare_step(ty, &self.options.crate_path)?;
        (step.segments.len() > 1 || !self.has_another_step()).then_some(step)
    }

    /// Whether `Step` is something else here, and handlers therefore say `annals::Step`.
    fn has_another_step(&self) -> bool {
        let steps = self.handlers.iter().flat_map(|handler| match &handler.sig.output {
            ReturnType::Type(_, ty) => steps(ty, &self.options.crate_path),
            ReturnType::Default => Vec::new(),
        });
        steps.map(|step| step.segments.len() > 1).reduce(|all, is_long| all && is_long) == Some(true)
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

    /// The type of a machine's states.
    pub(crate) fn state_enum(&self) -> Ident {
        self.generated("State")
    }

    /// The name under which entities are stored.
    pub(crate) fn stored_name(&self) -> LitStr {
        self.options.name.clone().unwrap_or_else(|| LitStr::new(&self.ident.to_string(), self.ident.span()))
    }

    fn generated(&self, what: &str) -> Ident {
        format_ident!("{}{what}", self.ident, span = self.ident.span())
    }
}

/// The marked methods of a block.
#[derive(Default)]
pub(crate) struct Marked<'a> {
    pub(crate) events: Vec<(&'a Method, &'a Attribute)>,
    /// Those of commands and of deadlines.
    pub(crate) handlers: Vec<&'a Method>,
    pub(crate) queries: Vec<&'a Method>,
    /// The handlers of a machine, and what says when they are called.
    pub(crate) ways: Vec<(&'a Method, &'a Attribute)>,
    pub(crate) hooks: Vec<(&'a Method, &'a Attribute)>,
}

/// The last word of the block's type.
pub(crate) fn ident_of(ty: &Path) -> Ident {
    ty.segments.last().map_or_else(|| format_ident!("Self"), |last| last.ident.unraw())
}

/// The words of a method's body: the handler is the aggregate, or the method's own marker.
fn words<'w>(ty: &'w Path, crate_path: &'w CratePath, graph: Option<&'w Graph<'_>>, method: &Method) -> Words<'w> {
    let way = graph.and_then(|graph| graph.way_of(method));
    Words { handler: way.map_or(ty, |way| &way.maker), crate_path, graph }
}

impl Command<'_> {
    /// The handler whose parameters and reply are those of the command.
    pub(crate) fn first(&self) -> &Handler<'_> {
        &self.handlers[0]
    }

    /// The name as it is sent and told.
    pub(crate) fn name(&self) -> String {
        self.ident.unraw().to_string()
    }

    /// The docs of the first handler that has any.
    pub(crate) fn docs(&self) -> impl Iterator<Item = &Attribute> {
        let members = || self.handlers.iter().map(|handler| &handler.member);
        members().find(|member| member.docs().next().is_some()).into_iter().flat_map(Member::docs)
    }
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

/// The `#[cfg]`s of a method, as text.
fn conditions(member: &Member<'_>) -> Vec<String> {
    member.cfgs().map(|attr| attr.to_token_stream().to_string()).collect()
}

struct Builder<'b> {
    ctxt: &'b Ctxt,
    ty: &'b Path,
    crate_path: &'b CratePath,
    graph: Option<&'b Graph<'b>>,
}

impl Builder<'_> {
    fn event<'a>(&self, (method, marker): &(&'a Method, &'a Attribute)) -> Option<Event<'a>> {
        let member = self.member(method, None);
        let stored = Stored::read(self.ctxt, &method.sig.ident, member.name(), &[*marker], member.is_conditional());
        Some(Event { variant: self.variant(member.ident())?, member, stored })
    }

    /// Puts the handler to the others of its command. Those that a `#[cfg]` may leave out are with their like only.
    fn command<'a>(&self, commands: &mut Vec<Command<'a>>, method: &'a Method, ident: &Ident) {
        let context = parameters(method).next().filter(|first| is_context(&first.ty));
        let handler = Handler { member: self.member(method, context), context, answer: self.answer(method) };
        let Some(variant) = self.variant(ident) else { return };
        let machine = self.graph.is_some();
        let cfgs = conditions(&handler.member);
        let same = |command: &&mut Command<'_>| command.ident == *ident && conditions(&command.first().member) == cfgs;
        match commands.iter_mut().find(same).filter(|_| machine) {
            Some(command) => command.handlers.push(handler),
            None => commands.push(Command { ident: ident.clone(), variant, handlers: vec![handler] }),
        }
    }

    /// Nobody gives a deadline anything, so parameters become no fields.
    fn deadline<'a>(&self, method: &'a Method) -> Handler<'a> {
        let context = parameters(method).next().filter(|first| is_context(&first.ty));
        Handler { member: Member { method, fields: Vec::new() }, context, answer: self.answer(method) }
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
    fn variant(&self, ident: &Ident) -> Option<Ident> {
        let variant = case::variant(ident);
        if variant.is_none() {
            self.ctxt.error(ident, format!("`{ident}` can't be the name of a variant in CamelCase; rename it"));
        }
        variant
    }

    fn answer(&self, method: &Method) -> Answer {
        let ReturnType::Type(_, given) = &method.sig.output else { return Answer::Missing };
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
        words(self.ty, self.crate_path, self.graph, method).complete_type(&mut ty);
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
