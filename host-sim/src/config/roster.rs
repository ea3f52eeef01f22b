//! Rosters: who the roles of a deployment are, and where they listen. A roster is public, and the same for all.

use std::{fmt::Write as _, fs, path::Path};

use ringlet_core::{Role, net::secure::PublicIdentity, session::handshake::Actor};
use serde::Deserialize;

use super::toml_error::one_line;
use crate::{
    data::identity_file::{parse_public, public_text},
    error::Failure,
};

/// A role in a roster.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    /// The public identity, as text.
    identity: String,
    /// Where the role listens (host:port), if it does.
    address: Option<String>,
}

/// The roles, as a file names them.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entries {
    p0: Option<Entry>,
    p1: Option<Entry>,
    dealer: Option<Entry>,
    assistant: Option<Entry>,
}

/// A member of a roster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its role.
    pub actor: Actor,
    /// Its public identity.
    pub identity: PublicIdentity,
    /// Where it listens (host:port), if it does.
    pub address: Option<String>,
}

/// The roles of a deployment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roster(pub Vec<Member>);

/// The name of a role's table in a roster.
pub fn table(actor: Actor) -> &'static str {
    match actor {
        Actor::Party(Role::P0) => "p0",
        Actor::Party(Role::P1) => "p1",
        Actor::Dealer => "dealer",
        Actor::Assistant => "assistant",
    }
}

impl Roster {
    /// Reads a roster.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        let wrong = |why: String| {
            Failure::new(
                format!("{} is no roster: {}", path.display(), why.trim()),
                "make one with `ringlet init`",
            )
        };
        let text = fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
        Roster::parse(&text).map_err(wrong)
    }

    fn parse(text: &str) -> Result<Self, String> {
        let Entries {
            p0,
            p1,
            dealer,
            assistant,
        } = toml::from_str(text).map_err(|error| one_line(text, &error))?;
        let entries = [
            (Actor::Party(Role::P0), p0),
            (Actor::Party(Role::P1), p1),
            (Actor::Dealer, dealer),
            (Actor::Assistant, assistant),
        ];
        let mut members = Vec::<Member>::new();
        for (actor, entry) in entries {
            let Some(entry) = entry else { continue };
            let identity = parse_public(&entry.identity)
                .map_err(|why| format!("the identity of {actor} is damaged: {why}"))?;
            if let Some(same) = members.iter().find(|member| member.identity == identity) {
                return Err(format!("{} and {actor} have one identity", same.actor));
            }
            members.push(Member {
                actor,
                identity,
                address: entry.address,
            });
        }
        Ok(Roster(members))
    }

    /// The role of this name, if the roster has it.
    pub fn member(&self, actor: Actor) -> Option<&Member> {
        self.0.iter().find(|member| member.actor == actor)
    }

    /// The roster as a file.
    pub fn text(&self) -> String {
        let mut text =
            String::from("# The roles of a deployment. It is public, and the same for all.\n");
        for member in &self.0 {
            let identity = public_text(member.identity);
            // Writing to a string does not fail.
            let _ = write!(
                text,
                "\n[{}]\nidentity = \"{identity}\"\n",
                table(member.actor)
            );
            if let Some(address) = &member.address {
                let _ = writeln!(text, "address = {}", toml::Value::from(address.as_str()));
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_roster_is_read_as_it_is_written() {
        let member = |actor, byte, address: Option<&str>| Member {
            actor,
            identity: PublicIdentity([byte; 32]),
            address: address.map(str::to_owned),
        };
        let roster = Roster(vec![
            member(Actor::Party(Role::P0), 1, Some("10.0.0.1:7001")),
            member(Actor::Party(Role::P1), 2, None),
            member(Actor::Dealer, 3, Some("dealer.example:\"7\"")),
        ]);
        assert_eq!(Roster::parse(&roster.text()), Ok(roster.clone()));
        let same = roster.text().replace(
            &public_text(PublicIdentity([2; 32])),
            &public_text(PublicIdentity([1; 32])),
        );
        let error = Roster::parse(&same).expect_err("one identity twice");
        assert_eq!(error, "party p0 and party p1 have one identity");
        assert!(Roster::parse("[p2]\nidentity = \"x\"\n").is_err());
        assert!(Roster::parse("[p0]\nidentity = \"ringlet1x\"\n").is_err());
    }
}
