//! The graph of a machine, as far as it can be understood: states, the ways between them, deadlines and hooks.
//!
//! Reading reports what leaves a hole in the graph, such as a name that is no state. All other rules are checked on the
//! finished graph.

use proc_macro2::Ident;
use syn::ext::IdentExt;
use syn::{Attribute, Path, parse_quote};

use crate::arrow::{self, Arrow};
use crate::attr::word_of;
use crate::block::Method;
use crate::case;
use crate::ctxt::Ctxt;
use crate::duration::Duration;
use crate::model::is_conditional;
use crate::near;
use crate::options::Options;
use crate::states::{State, States};
use crate::symbol::{AFTER, ENTER, IGNORE, ON, REJECT, STAY};

/// The states of a machine and what leads from one to another.
pub(crate) struct Graph<'a> {
    /// The module of the markers.
    pub(crate) module: Ident,
    pub(crate) states: Vec<State>,
    /// One for each handler, in the order of their declaration.
    pub(crate) ways: Vec<Way<'a>>,
    pub(crate) hooks: Vec<Hook<'a>>,
    /// Whether all of it could be understood. Otherwise what seems to be missing may be there.
    pub(crate) clean: bool,
}

/// `#[on(A => B)] fn buy(&self) -> Step`: what one handler may do.
pub(crate) struct Way<'a> {
    pub(crate) method: &'a Method,
    /// The type that stands for the handler: `order_fsm::on::Buy`.
    pub(crate) maker: Path,
    /// Its last word.
    pub(crate) marker: Ident,
    pub(crate) cause: Cause,
    pub(crate) from: Vec<Place>,
    pub(crate) to: Vec<Target>,
    /// The states of `#[ignore(..)]`.
    pub(crate) ignored: Vec<Place>,
    /// The states of `#[reject(..)]`.
    pub(crate) rejected: Vec<Place>,
    /// Whether its arrow could be understood.
    pub(crate) clean: bool,
    /// The names in its arrow that are no states.
    pub(crate) unknown: Vec<Ident>,
}

/// What makes a machine go a way.
pub(crate) enum Cause {
    Command(Ident),
    /// None if it can't be read.
    Deadline(Option<Duration>),
}

/// A state where it is named.
#[derive(Clone)]
pub(crate) struct Place {
    /// The name, or the `_` that stands for it.
    pub(crate) token: Ident,
    /// Its index among the states.
    pub(crate) state: usize,
}

/// Where a way leads.
pub(crate) enum Target {
    State(Place),
    Stay(Ident),
}

/// `#[enter(A)] fn announce(fx: &Effects<Self>)`
pub(crate) struct Hook<'a> {
    pub(crate) method: &'a Method,
    pub(crate) on_enter: bool,
    pub(crate) states: Vec<Place>,
}

impl<'a> Graph<'a> {
    /// Reads the graph. `ways` and `hooks` are the marked methods, with the marker that counts.
    pub(crate) fn read(
        ctxt: &Ctxt,
        options: &Options,
        machine: &Ident,
        ways: &[(&'a Method, &'a Attribute)],
        hooks: &[(&'a Method, &'a Attribute)],
    ) -> Self {
        let module = options.module.clone().unwrap_or_else(|| {
            let name = format!("{}_fsm", case::snake(&machine.unraw().to_string()));
            Ident::new(&name, machine.span())
        });
        let (states, clean) = match &options.states {
            Some(States { list, clean, .. }) => {
                let is_word = |state: &State| state.ident == STAY;
                (list.clone(), *clean && !list.is_empty() && !list.iter().any(is_word))
            }
            None => (Vec::new(), false),
        };
        let mut graph = Self { module, states, ways: Vec::new(), hooks: Vec::new(), clean };
        for (method, marker) in ways {
            let way = graph.way(ctxt, method, marker);
            graph.ways.extend(way);
        }
        graph.narrow_the_rest();
        for (method, marker) in hooks {
            let states = arrow::list(ctxt, marker);
            let states = graph.places(ctxt, states, goes_on);
            graph.hooks.push(Hook { method, on_enter: word_of(marker) == ENTER, states });
        }
        graph
    }

    fn way(&mut self, ctxt: &Ctxt, method: &'a Method, attr: &Attribute) -> Option<Way<'a>> {
        let ident = &method.sig.ident;
        let Some(marker) = case::variant(ident) else {
            ctxt.error(ident, format!("`{ident}` can't be the name of a type in CamelCase; rename it"));
            self.clean = false;
            return None;
        };
        let (cause, arrow) = match word_of(attr).as_str() {
            ON => {
                let (arrow, command) = arrow::on(ctxt, attr);
                (Cause::Command(command.unwrap_or_else(|| ident.clone())), arrow)
            }
            AFTER => {
                let (duration, arrow) = arrow::after(ctxt, attr);
                (Cause::Deadline(duration), arrow)
            }
            // `#[command]` doesn't say in which states, which is reported.
            _ => (Cause::Command(ident.clone()), None),
        };
        let clean = std::mem::replace(&mut self.clean, arrow.is_some());
        let Arrow { from, to } = arrow.unwrap_or_default();
        let is_unknown = |name: &&Ident| self.index_of(name).is_none();
        let unknown = from.iter().chain(&to).filter(is_unknown).cloned().collect();
        let from = self.places(ctxt, Some(from), goes_on);
        let to = to.into_iter().filter_map(|target| self.target(ctxt, target)).collect();
        let arrow_is_clean = std::mem::replace(&mut self.clean, clean);
        self.clean &= arrow_is_clean;
        let ignored = self.places_of(ctxt, method, IGNORE);
        let rejected = self.places_of(ctxt, method, REJECT);
        let module = &self.module;
        let maker = parse_quote!(#module::on::#marker);
        Some(Way { method, maker, marker, cause, from, to, ignored, rejected, clean: arrow_is_clean, unknown })
    }

    /// The states of the `#[ignore(..)]` or the `#[reject(..)]` of a handler.
    fn places_of(&mut self, ctxt: &Ctxt, method: &Method, word: &str) -> Vec<Place> {
        let mut places = Vec::new();
        for attr in method.markers.iter().filter(|marker| word_of(marker) == word) {
            let states = arrow::list(ctxt, attr);
            places.extend(self.places(ctxt, states, |_| true));
        }
        places
    }

    /// Beside an `#[on]`, `_` is each state that nothing else is said of.
    fn narrow_the_rest(&mut self) {
        let said: Vec<(Ident, usize)> = self
            .ways
            .iter()
            .filter_map(|way| Some((way.command()?, way)))
            .flat_map(|(command, way)| {
                let beside = way.ignored.iter().chain(&way.rejected).filter(|place| place.token != "_");
                way.from.iter().chain(beside).map(|place| (command.clone(), place.state))
            })
            .collect();
        for way in &mut self.ways {
            let Cause::Command(command) = &way.cause else { continue };
            let is_rest = |place: &Place| {
                place.token != "_" || said.iter().all(|(other, state)| other != command || *state != place.state)
            };
            way.ignored.retain(is_rest);
            way.rejected.retain(is_rest);
        }
    }

    /// The states of a list; `_` is each of the `rest`.
    fn places(&mut self, ctxt: &Ctxt, tokens: Option<Vec<Ident>>, rest: impl Fn(&State) -> bool) -> Vec<Place> {
        self.clean &= tokens.is_some();
        let mut places = Vec::new();
        for token in tokens.unwrap_or_default() {
            if token == "_" {
                let rest = self.states.iter().enumerate().filter(|(_, state)| rest(state));
                places.extend(rest.map(|(state, _)| Place { token: token.clone(), state }));
            } else {
                places.extend(self.place(ctxt, token));
            }
        }
        places
    }

    fn target(&mut self, ctxt: &Ctxt, token: Ident) -> Option<Target> {
        if token == STAY {
            return Some(Target::Stay(token));
        }
        if token == "_" {
            ctxt.error(&token, "a way leads to a state that has a name: write it, or `stay`");
            self.clean = false;
            return None;
        }
        self.place(ctxt, token).map(Target::State)
    }

    fn place(&mut self, ctxt: &Ctxt, token: Ident) -> Option<Place> {
        let state = self.index_of(&token);
        if state.is_none() {
            self.clean = false;
            self.report_no_state(ctxt, &token);
        }
        Some(Place { token, state: state? })
    }

    /// Without any state, that is the mistake.
    pub(crate) fn report_no_state(&self, ctxt: &Ctxt, token: &Ident) {
        if token == STAY {
            ctxt.error(token, "`stay` is no state: it stands behind the `=>`");
        } else if !self.states.is_empty() {
            ctxt.error(token, near::no_state(&token.unraw().to_string(), &self.names()));
        }
    }

    pub(crate) fn index_of(&self, name: &Ident) -> Option<usize> {
        self.states.iter().position(|state| state.ident == *name)
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.states.iter().map(State::name).collect()
    }

    pub(crate) fn way_of(&self, method: &Method) -> Option<&Way<'a>> {
        self.ways.iter().find(|way| std::ptr::eq(way.method, method))
    }

    /// The deadlines of a state: one, if there is no mistake and no `#[cfg]`.
    pub(crate) fn deadlines_of(&self, state: usize) -> impl Iterator<Item = &Way<'a>> {
        self.ways.iter().filter(move |way| way.command().is_none() && way.begins_in(state))
    }
}

/// What `_` is, but beside an `#[on]`: a state that isn't terminal.
fn goes_on(state: &State) -> bool {
    !state.is_terminal()
}

impl Way<'_> {
    /// The command, if it is none of a deadline.
    pub(crate) fn command(&self) -> Option<&Ident> {
        match &self.cause {
            Cause::Command(command) => Some(command),
            Cause::Deadline(_) => None,
        }
    }

    pub(crate) fn begins_in(&self, state: usize) -> bool {
        self.from.iter().any(|place| place.state == state)
    }

    pub(crate) fn stays(&self) -> bool {
        self.to.iter().any(|target| matches!(target, Target::Stay(_)))
    }

    /// The states to which it leads by name.
    pub(crate) fn targets(&self) -> impl Iterator<Item = &Place> {
        self.to.iter().filter_map(|target| match target {
            Target::State(place) => Some(place),
            Target::Stay(_) => None,
        })
    }

    pub(crate) fn cfgs(&self) -> impl Iterator<Item = &Attribute> {
        self.method.attrs.iter().filter(|attr| is_conditional(attr))
    }

    pub(crate) fn is_conditional(&self) -> bool {
        self.cfgs().next().is_some()
    }
}

impl Hook<'_> {
    pub(crate) fn cfgs(&self) -> impl Iterator<Item = &Attribute> {
        self.method.attrs.iter().filter(|attr| is_conditional(attr))
    }
}
