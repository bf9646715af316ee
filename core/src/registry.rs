//! The registry: which domains a module is made of.
//!
//! Owns the list and what may not be in it. A new domain is one line in [`Registry::standard`], or
//! a registry of the user's own.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::decider::{
    self, Aggregate, AggregateSpec, AnyAggregate, CommandKind, CommandSpec, Serves,
};
use crate::domains;
use crate::ids;
use crate::process::{self, AnyProcessManager, ProcessManager};
use crate::projection::{self, AnyProjection, Projection};
use crate::upcast;

/// What a module is made of.
pub struct Registry {
    /// Version of the module, as `describe` and `/health` tell it.
    pub version: &'static str,
    /// Its kinds of streams.
    pub aggregates: Vec<Box<dyn AnyAggregate>>,
    /// Its read models.
    pub projections: Vec<Box<dyn AnyProjection>>,
    /// What reacts to events.
    pub managers: Vec<Box<dyn AnyProcessManager>>,
}

impl core::fmt::Debug for Registry {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let names = self.aggregates.iter().map(|a| a.spec().aggregate_type);
        f.debug_list()
            .entries(names)
            .entries(self.projections.iter().map(|p| p.spec().name))
            .finish()
    }
}

/// Names in paths that are taken.
const RESERVED: [&str; 4] = ["id", "stream", "live", "ws"];

impl Registry {
    /// The domains this repository ships.
    pub fn standard() -> Self {
        let mut registry = Self::new(env!("CARGO_PKG_VERSION"));
        domains::bank::register(&mut registry);
        domains::issues::register(&mut registry);
        domains::subscriptions::register(&mut registry);
        domains::topics::register(&mut registry);
        #[cfg(feature = "faults")]
        domains::faults::register(&mut registry);
        registry
    }

    /// An empty registry.
    pub const fn new(version: &'static str) -> Self {
        Self { version, aggregates: Vec::new(), projections: Vec::new(), managers: Vec::new() }
    }

    /// The same with one more kind of streams.
    #[must_use]
    pub fn aggregate<A: Aggregate>(mut self) -> Self {
        self.aggregates.push(decider::erase::<A>());
        self
    }

    /// The same with one more read model.
    #[must_use]
    pub fn projection<P: Projection>(mut self) -> Self {
        self.projections.push(projection::erase::<P>());
        self
    }

    /// The same with one more process manager.
    #[must_use]
    pub fn manager<M: ProcessManager>(mut self) -> Self {
        self.managers.push(process::erase::<M>());
        self
    }

    /// Says what is wrong with it: names that are taken, claimed twice, not allowed, or of nothing.
    pub fn check(&self) -> Result<(), String> {
        let mut names: Vec<(&str, &str)> = Vec::new();
        for aggregate in &self.aggregates {
            let spec = aggregate.spec();
            upcast::check(spec, aggregate.upcasts())?;
            decider::check_paths(spec, aggregate.paths())?;
            if RESERVED.contains(&spec.name) || spec.name.starts_with('~') {
                return Err(format!("the aggregate name `{}` is reserved", spec.name));
            }
            let starts = spec.aggregate_type.starts_with(|c: char| c.is_ascii_uppercase());
            let taken = spec.aggregate_type == ids::TOPIC;
            if !starts || taken || spec.aggregate_type.contains(':') {
                return Err(format!(
                    "the type `{}` must start with A-Z, hold no colon and not be that of topics",
                    spec.aggregate_type
                ));
            }
            if let Some(event) =
                spec.events.iter().find(|event| event.is_empty() || event.starts_with('~'))
            {
                return Err(format!(
                    "the event `{event}` of `{}` must have a name that does not start with ~",
                    spec.aggregate_type
                ));
            }
            names.push(("aggregate", spec.name));
            names.push(("view", spec.aggregate_type));
            for command in spec.commands {
                if command.path.is_empty() != (command.kind == CommandKind::Internal) {
                    return Err(format!(
                        "the command `{}` needs a path, unless it is internal: then it has none",
                        command.name
                    ));
                }
            }
            let paths = spec.commands.iter().map(|command| command.path);
            names.extend(paths.filter(|path| !path.is_empty()).map(|path| ("command", path)));
            names.extend(aggregate.paths().iter().map(|own| match own.serves {
                Serves::Command(_) | Serves::TakeSnapshot => ("POST path", own.path),
                Serves::State | Serves::Events | Serves::LatestSnapshot => ("GET path", own.path),
            }));
        }
        for spec in self.projections.iter().map(|p| p.spec()) {
            if !spec.name.starts_with(|c: char| c.is_ascii_uppercase()) {
                return Err(format!("the projection `{}` must start with A-Z", spec.name));
            }
            names.push(("view", spec.name));
        }
        for spec in self.managers.iter().map(|m| m.spec()) {
            if !spec.name.starts_with(|c: char| c.is_ascii_uppercase()) {
                return Err(format!("the process manager `{}` must start with A-Z", spec.name));
            }
            for (aggregate_type, event) in spec.reacts_to {
                let known = self.by_type(aggregate_type).map(|(_, aggregate)| aggregate.spec());
                if !known.is_some_and(|known| known.events.contains(event)) {
                    return Err(format!(
                        "the process manager `{}` reacts to `{event}` of `{aggregate_type}`, which is not registered",
                        spec.name
                    ));
                }
            }
            names.push(("process manager", spec.name));
        }
        // There are few.
        let earlier = |index: usize| names.get(..index).unwrap_or_default();
        match names.iter().enumerate().find(|(index, name)| earlier(*index).contains(name)) {
            Some((_, (kind, name))) => Err(format!("the {kind} name `{name}` is claimed twice")),
            _ => Ok(()),
        }
    }

    /// The aggregate of a type, and its index.
    pub fn by_type(&self, aggregate_type: &str) -> Option<(usize, &dyn AnyAggregate)> {
        self.find(|spec| spec.aggregate_type == aggregate_type)
    }

    /// The aggregate of a name in paths, and its index.
    pub fn by_name(&self, name: &str) -> Option<(usize, &dyn AnyAggregate)> {
        self.find(|spec| spec.name == name)
    }

    fn find(&self, wanted: impl Fn(&AggregateSpec) -> bool) -> Option<(usize, &dyn AnyAggregate)> {
        let mut all = self.aggregates.iter().enumerate();
        all.find(|(_, a)| wanted(a.spec())).map(|(index, a)| (index, a.as_ref()))
    }

    /// The command of a name in paths, and the aggregate that takes it.
    pub fn command(&self, path: &str) -> Option<(&'static AggregateSpec, &'static CommandSpec)> {
        self.aggregates.iter().find_map(|a| {
            let spec = a.spec();
            spec.commands.iter().find(|command| command.path == path).map(|command| (spec, command))
        })
    }
}
