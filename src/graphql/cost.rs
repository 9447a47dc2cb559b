//! What an operation costs: how many fields are resolved for it, lists counted at the size they are
//! asked for, and what the database has to look at for a list.

use std::collections::HashMap;

use juniper::ScalarValue as _;

use super::{InputValue, Variables};

/// The fields that are lists of the size asked for.
const PAGED: [&str; 7] = ["users", "channels", "messages", "templates", "members", "comments", "notifications"];
/// The fields that are lists as long as they are.
const UNPAGED: [&str; 4] = ["organizations", "locations", "presence", "metrics"];
/// The size of a page if none is named, and what is assumed of the other lists.
const PAGE: u64 = 20;
/// What is assumed of the lists of the schema about itself: less than they have, for their items are in
/// memory, and the standard introspection query must fit.
const LOOKED_AT: [(&str, u64); 3] = [("types", 5), ("fields", 3), ("inputFields", 3)];

/// What lists cost besides their items: what the database has to look at for them does not depend on how many are asked
/// for.
const SEARCHED: [(&str, u64); 3] = [("users", 100), ("messages", 50), ("members", 20)];

/// What a field costs: what it costs itself, and its fields as often as it has items.
#[derive(Debug, Clone)]
pub struct Cost {
    /// The name, if it is a list.
    list: Option<&'static str>,
    itself: u64,
    times: Times,
    fields: Vec<Cost>,
}

/// How often a field's fields are resolved.
#[derive(Debug, Clone)]
pub enum Times {
    /// So often.
    Fixed(u64),
    /// As a variable says, or as often if it is not given.
    Variable(String, u64),
}

/// The pages that an operation's variables ask for where they are not given.
pub type Defaults<'a> = HashMap<&'a str, u64>;

impl Times {
    /// Of a field with this limit (`first` or `last`), if it names one.
    #[must_use]
    pub fn of(field: &str, limit: Option<&InputValue>, defaults: &Defaults<'_>) -> Self {
        match limit {
            _ if UNPAGED.contains(&field) => Self::Fixed(PAGE),
            _ if !PAGED.contains(&field) => Self::Fixed(1),
            Some(InputValue::Variable(name)) => {
                Self::Variable(name.clone(), defaults.get(name.as_str()).copied().unwrap_or(PAGE))
            }
            Some(value) => Self::Fixed(page(value)),
            None => Self::Fixed(PAGE),
        }
    }

    /// Of a field of the schema about itself.
    #[must_use]
    pub fn of_introspection(field: &str) -> Self {
        Self::Fixed(LOOKED_AT.iter().find(|(name, _)| *name == field).map_or(1, |(_, times)| *times))
    }
}

impl Cost {
    /// A field with fields.
    #[must_use]
    pub fn new(times: Times, fields: Vec<Self>) -> Self {
        Self { list: None, itself: 1, times, fields }
    }

    /// The same for a list that has to be searched for: users by a part of their names, the messages of all channels,
    /// the members of a channel by name. `is_root` says that it is a field of the query itself.
    #[must_use]
    pub fn of_list(self, field: &str, is_root: bool, has_argument: impl Fn(&str) -> bool) -> Self {
        let is_searched = match field {
            "users" => has_argument("search"),
            "messages" => is_root && !has_argument("channelId"),
            _ => true,
        };
        let searched = SEARCHED.iter().find(|(name, _)| is_searched && *name == field);
        let list = PAGED.iter().chain(&UNPAGED).find(|name| **name == field).copied();
        Self { list, itself: searched.map_or(1, |(_, cost)| *cost), ..self }
    }

    /// What these fields cost together with these variables.
    #[must_use]
    pub fn of_all(fields: &[Self], variables: &Variables) -> u64 {
        fields.iter().map(|field| field.with(variables)).fold(0, u64::saturating_add)
    }

    /// The lists that cost most, from the outermost to the innermost.
    #[must_use]
    pub fn dearest(fields: &[Self], variables: &Variables) -> Vec<&'static str> {
        let mut lists = Vec::new();
        let mut fields = fields;
        while let Some(dearest) = fields.iter().max_by_key(|field| field.with(variables)) {
            lists.extend(dearest.list);
            fields = &dearest.fields;
        }
        lists
    }

    /// How many fields these are.
    #[must_use]
    pub fn count(fields: &[Self]) -> usize {
        fields.iter().map(|field| 1 + Self::count(&field.fields)).sum()
    }

    fn with(&self, variables: &Variables) -> u64 {
        let times = match &self.times {
            Times::Fixed(times) => *times,
            Times::Variable(name, default) => variables.get(name).map_or(*default, page),
        };
        times.saturating_mul(Self::of_all(&self.fields, variables)).saturating_add(self.itself)
    }
}

/// The size of a page that is asked for; what is no number is refused later, and null is none named.
#[must_use]
pub fn page(value: &InputValue) -> u64 {
    let number = value.as_scalar().and_then(|scalar| scalar.downcast_type::<i32>());
    number.and_then(|number| u64::try_from(*number).ok()).unwrap_or(PAGE)
}
