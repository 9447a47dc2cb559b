//! An independent model of the visibility rules, written from the documented behaviour and not from the server's code.

use std::collections::{BTreeMap, BTreeSet};

/// The number of users; user 0 is always an admin.
pub const USERS: usize = 4;

/// The index of a user, or `None` for the anonymous reader.
pub type Reader = Option<usize>;

/// The kind of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    Channel,
    Message,
    Comment,
    Template,
}

/// The kind and id of an object.
pub type Key = (Kind, String);

/// The visible objects, with one text of each.
pub type VisibleObjects = BTreeMap<Key, String>;

/// A user with an organization and a location.
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

/// The state of an object. It is kept after the object is deleted.
#[derive(Debug)]
pub struct Object {
    pub text: String,
    pub is_deleted: bool,
    pub rule: Rule,
}

/// Who may see an object.
#[derive(Debug, Clone)]
pub enum Rule {
    Channel {
        is_private: bool,
        members: BTreeSet<usize>,
        members_publish: bool,
    },
    /// Also for an application event.
    Message {
        channel: String,
        author: usize,
        locations: Vec<usize>,
    },
    Comment {
        message: String,
        author: usize,
    },
    Template {
        author: usize,
        locations: Vec<usize>,
    },
}

/// All objects and users of one case.
#[derive(Debug, Default)]
pub struct Model {
    pub users: Vec<User>,
    pub organizations: Vec<String>,
    pub locations: Vec<Location>,
    pub objects: BTreeMap<Key, Object>,
    /// The application events by their data.
    pub published: BTreeMap<String, Rule>,
}

impl Model {
    /// Whether the reader may see the object, or could see it before its deletion.
    pub fn can_see(&self, reader: Reader, key: &Key) -> bool {
        match &self.objects[key].rule {
            Rule::Channel { is_private, .. } => !is_private || self.belongs_to(reader, &key.1),
            rule => self.allows(reader, rule),
        }
    }

    /// Whether a rule that is not one of a channel lets the reader see its object.
    pub fn allows(&self, reader: Reader, rule: &Rule) -> bool {
        match rule {
            Rule::Channel { .. } => unreachable!("the rule of a channel needs its id"),
            Rule::Message { channel, author, locations } => {
                self.can_see(reader, &(Kind::Channel, channel.clone())) && self.is_addressed(reader, *author, locations)
            }
            Rule::Comment { message, .. } => self.can_see(reader, &(Kind::Message, message.clone())),
            Rule::Template { author, locations } => reader.is_some() && self.is_addressed(reader, *author, locations),
        }
    }

    /// Whether the reader could see the channel if it were private.
    pub fn belongs_to(&self, reader: Reader, channel: &str) -> bool {
        let Rule::Channel { members, .. } = &self.objects[&(Kind::Channel, channel.to_owned())].rule else {
            unreachable!("a channel has a channel rule")
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

    /// The objects that exist and that the reader may see.
    pub fn visible(&self, reader: Reader) -> VisibleObjects {
        let existing = self.objects.iter().filter(|(key, object)| !object.is_deleted && self.can_see(reader, key));
        existing.map(|(key, object)| (key.clone(), object.text.clone())).collect()
    }

    /// The channel to which an event of this object belongs.
    pub fn channel_of(&self, key: &Key) -> Option<String> {
        match &self.objects[key].rule {
            Rule::Channel { .. } => Some(key.1.clone()),
            rule => self.channel_in(rule),
        }
    }

    /// The channel that a rule of another object names.
    pub fn channel_in(&self, rule: &Rule) -> Option<String> {
        match rule {
            Rule::Message { channel, .. } => Some(channel.clone()),
            Rule::Comment { message, .. } => self.channel_of(&(Kind::Message, message.clone())),
            Rule::Channel { .. } | Rule::Template { .. } => None,
        }
    }

    /// Whether the channel that a rule of another object names was deleted.
    pub fn is_channel_deleted(&self, rule: &Rule) -> bool {
        let channel = self.channel_in(rule).map(|channel| (Kind::Channel, channel));
        channel.is_some_and(|channel| self.objects[&channel].is_deleted)
    }

    /// An existing object, by its index from the newest.
    pub fn pick(&self, kind: Kind, number: u8) -> Option<Key> {
        let existing = self.objects.iter().filter(|((of, _), object)| *of == kind && !object.is_deleted);
        let mut keys: Vec<&Key> = existing.map(|(key, _)| key).collect();
        keys.sort_by_key(|(_, id)| std::cmp::Reverse(id.parse::<u64>().ok()));
        (!keys.is_empty()).then(|| keys[usize::from(number) % keys.len()].clone())
    }

    /// Whether `key` is `place` or is contained in it.
    pub fn is_in(&self, key: &Key, place: &Key) -> bool {
        let outer = match &self.objects[key].rule {
            Rule::Message { channel, .. } => Some((Kind::Channel, channel.clone())),
            Rule::Comment { message, .. } => Some((Kind::Message, message.clone())),
            Rule::Channel { .. } | Rule::Template { .. } => None,
        };
        key == place || outer.is_some_and(|outer| self.is_in(&outer, place))
    }

    /// Marks an object, and every object in it, as deleted.
    pub fn delete(&mut self, key: &Key) {
        let inside: Vec<Key> = self.objects.keys().filter(|other| self.is_in(other, key)).cloned().collect();
        for key in inside {
            self.objects.get_mut(&key).expect("the model has the object").is_deleted = true;
        }
    }
}
