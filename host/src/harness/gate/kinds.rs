//! Differences between two guests: their kinds, and which of them are meant.
//!
//! Owns the names by which `--allow` knows them.

use std::collections::BTreeMap;
use std::str::FromStr;

/// What sort of difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A decision makes other events, or none.
    Decision,
    /// What was taken is refused.
    Refused,
    /// What was refused is taken.
    Allowed,
    /// A process manager asks for something else.
    Reactions,
    /// Rows of a raised revision differ.
    Rows,
    /// Rows differ under the same revision.
    Revision,
    /// What an older module recorded is read otherwise.
    Upcaster,
    /// The guest traps.
    Trap,
}

impl Kind {
    const ALL: [Self; 8] = [
        Self::Decision,
        Self::Refused,
        Self::Allowed,
        Self::Reactions,
        Self::Rows,
        Self::Revision,
        Self::Upcaster,
        Self::Trap,
    ];

    /// Its name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Decision => "decision",
            Self::Refused => "refused",
            Self::Allowed => "allowed",
            Self::Reactions => "reactions",
            Self::Rows => "rows",
            Self::Revision => "revision",
            Self::Upcaster => "upcaster",
            Self::Trap => "trap",
        }
    }
}

/// Differences that are meant: all of a kind, or those of one name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allow {
    kind: Kind,
    name: Option<String>,
}

impl FromStr for Allow {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (kind, name) = match text.split_once(':') {
            Some((kind, name)) => (kind, Some(name.to_string())),
            None => (text, None),
        };
        let found = Kind::ALL.into_iter().find(|one| one.name() == kind);
        let kind = found.ok_or_else(|| {
            let names: Vec<&str> = Kind::ALL.iter().map(|kind| kind.name()).collect();
            format!("`{kind}` is no kind of difference; these are: {}", names.join(", "))
        })?;
        Ok(Self { kind, name })
    }
}

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// What sort.
    pub kind: Kind,
    /// Of what: a command, a manager, a view.
    pub name: String,
    /// Where it shows; not known of some rows.
    pub position: Option<u64>,
    /// What it is, for people.
    pub what: String,
    /// How the two differ, a line each.
    pub lines: Vec<String>,
}

/// All of one kind and name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Group {
    /// How many.
    pub count: u64,
    /// The first ones.
    pub examples: Vec<Difference>,
}

/// What was found, in the order of kinds and names.
#[derive(Debug, Default)]
pub struct Differences {
    groups: BTreeMap<(Kind, String), Group>,
    examples_max: usize,
}

impl Differences {
    /// None yet; of each group so many are kept.
    pub fn new(examples_max: usize) -> Self {
        Self { groups: BTreeMap::new(), examples_max }
    }

    /// One more, or several of which this is the first.
    pub fn add(&mut self, difference: Difference, count: u64) {
        let group = self.groups.entry((difference.kind, difference.name.clone())).or_default();
        group.count += count;
        if group.examples.len() < self.examples_max {
            group.examples.push(difference);
        }
    }

    /// Each group, and whether it is meant.
    pub fn all(&self, allowed: &[Allow]) -> Vec<(Kind, &str, &Group, bool)> {
        let all = self.groups.iter();
        let all = all.map(|((kind, name), group)| {
            let meant = |allow: &Allow| {
                allow.kind == *kind && allow.name.as_ref().is_none_or(|one| one == name)
            };
            (*kind, name.as_str(), group, allowed.iter().any(meant))
        });
        all.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{Allow, Difference, Differences, Kind};

    #[test]
    fn a_difference_is_allowed_by_kind_or_by_name() {
        let mut all = Differences::new(2);
        for (name, position) in [("Deposit", 3), ("Deposit", 4), ("Deposit", 9), ("Withdraw", 5)] {
            let (kind, what, lines) = (Kind::Decision, String::new(), Vec::new());
            let position = Some(position);
            all.add(Difference { kind, name: name.into(), position, what, lines }, 1);
        }
        let meant = |allow: &[&str]| -> Vec<(String, u64, usize, bool)> {
            let allow: Vec<Allow> =
                allow.iter().map(|text| text.parse().expect("parses")).collect();
            let groups = all.all(&allow).into_iter();
            groups
                .map(|(_, name, g, meant)| (name.into(), g.count, g.examples.len(), meant))
                .collect()
        };
        let told = |deposit, withdraw| {
            vec![("Deposit".into(), 3, 2, deposit), ("Withdraw".into(), 1, 1, withdraw)]
        };
        assert_eq!(meant(&[]), told(false, false));
        assert_eq!(meant(&["decision:Withdraw", "rows"]), told(false, true));
        assert_eq!(meant(&["decision"]), told(true, true));
        assert!("decisions".parse::<Allow>().is_err());
    }
}
