//! Who may see what, as the users know it. Written from what the words mean, and from nothing else.

use std::collections::{BTreeMap, BTreeSet};

/// So many users are there; the first is an admin for ever.
pub const USERS: usize = 4;

/// Who reads: the number of a user, or nobody who is signed in.
pub type Reader = Option<usize>;

/// Of what kind an object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    Channel,
    Message,
    Comment,
    Template,
}

/// An object.
pub type Key = (Kind, String);

/// What somebody sees: the objects, and a text of each.
pub type Things = BTreeMap<Key, String>;

/// A user; who is in which organization and location.
#[derive(Debug, Clone, Default)]
pub struct User {
    pub id: String,
    pub is_admin: bool,
    pub organization: Option<usize>,
    pub location: Option<usize>,
}

#[derive(Debug)]
pub struct Location {
    pub id: String,
    pub organization: usize,
}

/// What is known of an object; it stays known when it is gone.
#[derive(Debug)]
pub struct Object {
    pub text: String,
    pub is_gone: bool,
    pub rule: Rule,
}

/// Whom an object is for.
#[derive(Debug)]
pub enum Rule {
    Channel { is_private: bool, members: BTreeSet<usize> },
    Message { channel: String, author: usize, locations: Vec<usize> },
    Comment { message: String, author: usize },
    Template { author: usize, locations: Vec<usize> },
}

/// An installation.
#[derive(Debug, Default)]
pub struct Model {
    pub users: Vec<User>,
    pub organizations: Vec<String>,
    pub locations: Vec<Location>,
    pub objects: BTreeMap<Key, Object>,
}

impl Model {
    /// Whether the object is, or was, there for the reader.
    pub fn sees(&self, reader: Reader, key: &Key) -> bool {
        match &self.objects[key].rule {
            Rule::Channel { is_private, .. } => !is_private || self.belongs_to(reader, &key.1),
            Rule::Message { channel, author, locations } => {
                self.sees(reader, &(Kind::Channel, channel.clone())) && self.is_addressed(reader, *author, locations)
            }
            Rule::Comment { message, .. } => self.sees(reader, &(Kind::Message, message.clone())),
            Rule::Template { author, locations } => reader.is_some() && self.is_addressed(reader, *author, locations),
        }
    }

    /// Whether the reader would see the channel if it were private.
    pub fn belongs_to(&self, reader: Reader, channel: &str) -> bool {
        let Rule::Channel { members, .. } = &self.objects[&(Kind::Channel, channel.to_owned())].rule else {
            unreachable!("a channel has the rule of one")
        };
        reader.is_some_and(|user| self.users[user].is_admin || members.contains(&user))
    }

    fn is_addressed(&self, reader: Reader, author: usize, locations: &[usize]) -> bool {
        if locations.is_empty() {
            return true;
        }
        let Some(number) = reader else { return false };
        let user = &self.users[number];
        user.is_admin
            || number == author
            || locations.iter().any(|location| {
                user.location == Some(*location) || user.organization == Some(self.locations[*location].organization)
            })
    }

    /// Everything that is there for the reader.
    pub fn visible(&self, reader: Reader) -> Things {
        let there = self.objects.iter().filter(|(key, object)| !object.is_gone && self.sees(reader, key));
        there.map(|(key, object)| (key.clone(), object.text.clone())).collect()
    }

    /// The channel that something happens in when it happens to this.
    pub fn channel_of(&self, key: &Key) -> Option<String> {
        match &self.objects[key].rule {
            Rule::Channel { .. } => Some(key.1.clone()),
            Rule::Message { channel, .. } => Some(channel.clone()),
            Rule::Comment { message, .. } => self.channel_of(&(Kind::Message, message.clone())),
            Rule::Template { .. } => None,
        }
    }

    /// An object that is there, by how new it is.
    pub fn pick(&self, kind: Kind, number: u8) -> Option<Key> {
        let there = self.objects.iter().filter(|((of, _), object)| *of == kind && !object.is_gone);
        let mut keys: Vec<&Key> = there.map(|(key, _)| key).collect();
        keys.sort_by_key(|(_, id)| std::cmp::Reverse(id.parse::<u64>().ok()));
        (!keys.is_empty()).then(|| keys[usize::from(number) % keys.len()].clone())
    }

    /// Whether it is that, or in it.
    pub fn is_in(&self, key: &Key, place: &Key) -> bool {
        let outer = match &self.objects[key].rule {
            Rule::Message { channel, .. } => Some((Kind::Channel, channel.clone())),
            Rule::Comment { message, .. } => Some((Kind::Message, message.clone())),
            Rule::Channel { .. } | Rule::Template { .. } => None,
        };
        key == place || outer.is_some_and(|outer| self.is_in(&outer, place))
    }

    /// It is gone, and what is in it.
    pub fn delete(&mut self, key: &Key) {
        let inside: Vec<Key> = self.objects.keys().filter(|other| self.is_in(other, key)).cloned().collect();
        for key in inside {
            self.objects.get_mut(&key).expect("it is known").is_gone = true;
        }
    }
}
