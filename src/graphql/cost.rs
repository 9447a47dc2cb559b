//! The cost of an operation: the number of fields that it resolves at most, plus the rows that the database scans for
//! lists. A list counts with its requested page size.

use std::collections::HashMap;

use juniper::ScalarValue as _;

use super::values::{InputValue, Variables};

/// The list fields with page arguments.
const PAGINATED_FIELDS: [&str; 8] =
    ["users", "channels", "messages", "appEvents", "templates", "members", "comments", "notifications"];
/// The list fields without page arguments. They return all items.
const UNPAGINATED_FIELDS: [&str; 10] = [
    "organizations",
    "locations",
    "presence",
    "metrics",
    "apiKeys",
    "eventTypes",
    "sessions",
    "invites",
    "createUsers",
    "publishMany",
];
/// The page size without a page argument, and the assumed length of a list without page arguments.
const DEFAULT_PAGE_SIZE: u64 = 20;
/// The assumed lengths of lists in introspection. The real lists are longer. But their items are in memory, and the
/// standard introspection query must stay below the cost limit.
const INTROSPECTION_LIST_LENGTHS: [(&str, u64); 3] = [("types", 5), ("fields", 3), ("inputFields", 3)];

/// The cost of list fields without their items. The database scans rows for these lists, and the number of scanned rows
/// does not depend on the page size.
const SCAN_COSTS: [(&str, u64); 4] = [("users", 100), ("messages", 50), ("appEvents", 50), ("members", 20)];

/// The cost of a field: its own cost, plus the cost of its subfields for each of its items.
#[derive(Debug, Clone)]
pub struct Cost {
    /// The name of the field, if the field is a list.
    list: Option<&'static str>,
    own: u64,
    item_count: ItemCount,
    fields: Vec<Cost>,
}

/// The number of items of a field, which is the number of times that its subfields are resolved.
#[derive(Debug, Clone)]
pub enum ItemCount {
    /// A number that does not depend on variables.
    Fixed(u64),
    /// The value of the variable with this name, or the number if the request has no such variable.
    Variable(String, u64),
}

/// The default values of variables, as page sizes.
pub type DefaultPageSizes<'a> = HashMap<&'a str, u64>;

impl ItemCount {
    /// The number of items of a field. `limit` is the value of its argument `first` or `last`, if the document has it.
    #[must_use]
    pub fn of(field: &str, limit: Option<&InputValue>, defaults: &DefaultPageSizes<'_>) -> Self {
        match limit {
            _ if UNPAGINATED_FIELDS.contains(&field) => Self::Fixed(DEFAULT_PAGE_SIZE),
            _ if !PAGINATED_FIELDS.contains(&field) => Self::Fixed(1),
            Some(InputValue::Variable(name)) => {
                Self::Variable(name.clone(), defaults.get(name.as_str()).copied().unwrap_or(DEFAULT_PAGE_SIZE))
            }
            Some(value) => Self::Fixed(page_size(value)),
            None => Self::Fixed(DEFAULT_PAGE_SIZE),
        }
    }

    /// The assumed number of items of an introspection field.
    #[must_use]
    pub fn of_introspection(field: &str) -> Self {
        let known = INTROSPECTION_LIST_LENGTHS.iter().find(|(name, _)| *name == field);
        Self::Fixed(known.map_or(1, |(_, length)| *length))
    }
}

impl Cost {
    /// The cost of a field with these subfields. Its own cost is 1.
    #[must_use]
    pub fn new(item_count: ItemCount, fields: Vec<Self>) -> Self {
        Self { list: None, own: 1, item_count, fields }
    }

    /// Adds the list name and the scan cost of a list field. The database scans for a search in users, for the messages
    /// of all channels and for the members of a channel. `is_root` is true for a root field of the operation.
    #[must_use]
    pub fn of_list(self, field: &str, is_root: bool, has_argument: impl Fn(&str) -> bool) -> Self {
        let is_scanned = match field {
            "users" => has_argument("search"),
            "messages" => is_root && !has_argument("channelId"),
            // The database scans the events of other types.
            "appEvents" => has_argument("types"),
            _ => true,
        };
        let scan = SCAN_COSTS.iter().find(|(name, _)| is_scanned && *name == field);
        let list = PAGINATED_FIELDS.iter().chain(&UNPAGINATED_FIELDS).find(|name| **name == field).copied();
        Self { list, own: scan.map_or(1, |(_, cost)| *cost), ..self }
    }

    /// The total cost of these fields with these variables.
    #[must_use]
    pub fn total(fields: &[Self], variables: &Variables) -> u64 {
        fields.iter().map(|field| field.evaluate(variables)).fold(0, u64::saturating_add)
    }

    /// The names of the nested lists that cause most of the cost, from the outermost to the innermost.
    #[must_use]
    pub fn most_expensive_lists(fields: &[Self], variables: &Variables) -> Vec<&'static str> {
        let mut lists = Vec::new();
        let mut fields = fields;
        while let Some(field) = fields.iter().max_by_key(|field| field.evaluate(variables)) {
            lists.extend(field.list);
            fields = &field.fields;
        }
        lists
    }

    /// The number of fields, with their subfields.
    #[must_use]
    pub fn count(fields: &[Self]) -> usize {
        fields.iter().map(|field| 1 + Self::count(&field.fields)).sum()
    }

    /// The cost of the field with these variables.
    fn evaluate(&self, variables: &Variables) -> u64 {
        let items = match &self.item_count {
            ItemCount::Fixed(items) => *items,
            ItemCount::Variable(name, default) => variables.get(name).map_or(*default, page_size),
        };
        items.saturating_mul(Self::total(&self.fields, variables)).saturating_add(self.own)
    }
}

/// The page size in the value of `first` or `last`. `null` means the default page size. A value that is not a number
/// counts as the default, too: it is refused later.
#[must_use]
pub fn page_size(value: &InputValue) -> u64 {
    let number = value.as_scalar().and_then(|scalar| scalar.downcast_type::<i32>());
    number.and_then(|number| u64::try_from(*number).ok()).unwrap_or(DEFAULT_PAGE_SIZE)
}
