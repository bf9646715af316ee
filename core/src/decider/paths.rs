//! Paths that a domain names itself, beside those that every aggregate has.
//!
//! Owns what such a path may be. Refuses to know methods and answers: what is there is one of the
//! things that every aggregate has, on a path of its own.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::{AggregateSpec, CommandKind};

/// One path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Path {
    /// `/issues/{id}/transitions`. The id that a path names is not in the body.
    pub path: &'static str,
    /// What is there.
    pub serves: Serves,
}

/// What a path leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Serves {
    /// `POST`: the command of this name in [`AggregateSpec::commands`].
    Command(&'static str),
    /// `GET`: the state, now or as of then.
    State,
    /// `GET`: the events.
    Events,
    /// `GET`: the latest snapshot.
    LatestSnapshot,
    /// `POST`: takes a snapshot.
    TakeSnapshot,
}

/// First segments of paths that are not a domain's.
const TAKEN: [&str; 13] = [
    "",
    "commands",
    "queries",
    "events",
    "snapshots",
    "projections",
    "effects",
    "partitions",
    "stats",
    "health",
    "log",
    "metrics",
    "p",
];

/// Says what is wrong with an aggregate's own paths.
pub(crate) fn check(spec: &AggregateSpec, paths: &[Path]) -> Result<(), String> {
    for own in paths {
        let wrong = |what: &str| Err(format!("the path `{}` {what}", own.path));
        let Some(rest) = own.path.strip_prefix('/') else {
            return wrong("must start with /");
        };
        let segments: Vec<&str> = rest.split('/').collect();
        let first = segments.first().copied().unwrap_or_default();
        if TAKEN.contains(&first) || first.contains(['{', '.', '~']) {
            return wrong("starts with a name that is taken");
        }
        let ids = segments.iter().filter(|segment| **segment == "{id}").count();
        let plain = segments.iter().filter(|segment| {
            segment.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
                && !segment.is_empty()
        });
        if plain.count().saturating_add(ids) != segments.len() {
            return wrong("is made of something else than `{id}` and a-z 0-9 -");
        }
        match own.serves {
            Serves::Command(name) => {
                let command = spec.commands.iter().find(|command| command.name == name);
                if command.is_none_or(|command| command.kind == CommandKind::Internal) {
                    return wrong("leads to a command that clients do not give");
                }
                if ids > 1 {
                    return wrong("names `{id}` twice");
                }
            }
            _ if ids != 1 => return wrong("must name `{id}`, once"),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decider::Aggregate;
    use crate::domains::bank::Account;

    #[test]
    fn a_path_is_plain_free_and_leads_somewhere() {
        let checked = |path, serves| check(&Account::SPEC, &[Path { path, serves }]);
        for (path, serves) in [
            ("/accounts/{id}", Serves::State),
            ("/accounts", Serves::Command("OpenAccount")),
            ("/accounts/{id}/deposits", Serves::Command("Deposit")),
            ("/old-accounts/{id}/events", Serves::Events),
        ] {
            assert_eq!(checked(path, serves), Ok(()), "{path}");
        }
        for (path, serves) in [
            ("accounts/{id}", Serves::State),
            ("/accounts", Serves::State),
            ("/accounts/{id}/{id}", Serves::Command("Deposit")),
            ("/accounts/{name}", Serves::State),
            ("/Accounts/{id}", Serves::State),
            ("/accounts//{id}", Serves::State),
            ("/queries/{id}", Serves::State),
            ("/{id}", Serves::State),
            ("/openapi.json/{id}", Serves::State),
            ("/accounts", Serves::Command("Rob")),
            ("/accounts/{id}", Serves::Command("DebitForTransfer")),
        ] {
            assert!(checked(path, serves).is_err(), "{path}");
        }
    }
}
