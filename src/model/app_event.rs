//! Application events: what programs publish with a type of their own, and the filter by type.

use std::sync::Arc;

use super::{ChannelId, Cursor, Event, EventKey, EventKind, Timestamp, UserId, Weight};

/// The longest type of an application event, in characters.
pub const MAX_APP_TYPE: usize = 64;

/// The most patterns of one filter.
const MAX_PATTERNS: usize = 100;

/// Whether a text is a type of application events: 1 to 64 of the characters `A-Z a-z 0-9 . _ -`.
#[must_use]
pub fn is_app_type(text: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    (1..=MAX_APP_TYPE).contains(&text.len()) && text.bytes().all(is_allowed)
}

/// An application event. The log is its only storage, so it exists until it is pruned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppEvent {
    /// The position of the event in the log.
    pub cursor: Cursor,
    /// When the event was recorded.
    pub at: Timestamp,
    /// The user who published the event.
    pub actor: Option<UserId>,
    /// The channel of the event.
    pub channel: ChannelId,
    /// The type, which the publisher chose.
    pub app_type: Arc<str>,
    /// The data, as JSON text.
    pub data: Arc<str>,
    /// The idempotency key that the publisher gave.
    pub key: Option<Arc<EventKey>>,
}

impl AppEvent {
    /// The application event that the log records as `event`; `None` if that is of another kind.
    #[must_use]
    pub fn of(event: &Event) -> Option<Self> {
        if event.kind != EventKind::AppEvent {
            return None;
        }
        Some(Self {
            cursor: event.cursor,
            at: event.at,
            actor: event.actor,
            channel: event.channel?,
            app_type: event.app_type.clone()?,
            data: event.payload.clone()?,
            key: event.key.clone(),
        })
    }
}

impl Weight for AppEvent {
    fn weight(&self) -> usize {
        let key = self.key.as_ref().map_or(0, |key| key.weight());
        size_of::<Self>() + self.app_type.len() + self.data.len() + key
    }
}

/// The types of application events that a reader wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypeFilter(Arc<[TypePattern]>);

/// A type, or the beginning of types.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TypePattern {
    /// This type.
    Exact(String),
    /// All types that begin with this text, which ends with a dot.
    Prefix(String),
}

impl TypeFilter {
    /// Parses patterns: types, and beginnings of types that end with `.*`. Returns `None` for an empty list, which
    /// restricts nothing.
    ///
    /// # Errors
    /// A sentence for the client, if there are more than 100 patterns, or one is not valid.
    pub fn parse(patterns: &[String]) -> Result<Option<Self>, String> {
        if patterns.len() > MAX_PATTERNS {
            return Err(format!("types has {} patterns; at most {MAX_PATTERNS} are allowed", patterns.len()));
        }
        let patterns: Arc<[TypePattern]> =
            patterns.iter().map(|text| TypePattern::parse(text)).collect::<Result<_, _>>()?;
        Ok(Some(Self(patterns)).filter(|filter| !filter.0.is_empty()))
    }

    /// Whether a reader wants this type.
    #[must_use]
    pub fn matches(&self, app_type: &str) -> bool {
        self.0.iter().any(|pattern| match pattern {
            TypePattern::Exact(wanted) => wanted == app_type,
            TypePattern::Prefix(prefix) => app_type.starts_with(prefix.as_str()),
        })
    }

    /// The patterns. There is at least one.
    #[must_use]
    pub fn patterns(&self) -> &[TypePattern] {
        &self.0
    }
}

impl TypePattern {
    fn parse(text: &str) -> Result<Self, String> {
        let prefix = text.strip_suffix('*').filter(|prefix| prefix.ends_with('.'));
        match prefix {
            Some(prefix) if prefix.len() > 1 && is_app_type(prefix) => Ok(Self::Prefix(prefix.to_owned())),
            None if is_app_type(text) => Ok(Self::Exact(text.to_owned())),
            _ => Err(format!(
                "{:?} is neither a type of events (1 to {MAX_APP_TYPE} of A-Z a-z 0-9 . _ -) nor the beginning of types \
                 followed by .*",
                text.chars().take(MAX_APP_TYPE).collect::<String>()
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(patterns: &[&str]) -> Result<Option<TypeFilter>, String> {
        TypeFilter::parse(&patterns.iter().map(|pattern| (*pattern).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn a_pattern_selects_a_type_or_the_types_below_a_dot() {
        let wanted = filter(&["paid", "order.*"]).unwrap().unwrap();
        for (app_type, is_wanted) in [
            ("paid", true),
            ("paid.late", false),
            ("order.shipped", true),
            ("order.", true),
            ("order", false),
            ("orders", false),
            ("Order.shipped", false),
        ] {
            assert_eq!(wanted.matches(app_type), is_wanted, "{app_type}");
        }
    }

    #[test]
    fn an_empty_list_restricts_nothing() {
        assert_eq!(filter(&[]), Ok(None));
    }

    #[test]
    fn other_characters_and_other_places_of_the_star_are_refused() {
        let long = "x".repeat(65);
        for pattern in ["", "*", ".*", ".*.*", "a*", "a.*b", "a b", "ä", "a/b", long.as_str()] {
            assert!(filter(&[pattern]).is_err(), "{pattern}");
        }
        assert!(filter(&["x"; 101]).is_err());
    }
}
