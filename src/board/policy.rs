//! Settings that decide what users may do and how large objects may be.

use super::idempotency::MAX_KEY;
use super::validate;

/// The longest username, in characters. A display name may have twice as many.
pub const MAX_USERNAME: usize = 50;

/// The longest description of a channel, in characters.
pub const MAX_DESCRIPTION: usize = 2_000;

/// The largest number of locations of an organization, and of locations that one text is shared with.
pub const MAX_LOCATIONS: usize = 1_000;

/// The policy of one installation: settings that decide what users may do and how large objects may be.
#[derive(Debug, Clone)]
pub struct Policy {
    /// Whether clients may create accounts themselves.
    pub registration_open: bool,
    /// The address under which clients reach the server, without a slash at its end, for links.
    pub public_url: String,
    /// Whether the first account of an empty installation that a client registers is an admin.
    pub first_user_admin: bool,
    /// Whether anonymous clients may read public channels.
    pub anonymous_read: bool,
    /// The longest title, in characters.
    pub max_title: usize,
    /// The longest text of a message, a comment or a notification, in characters.
    pub max_content: usize,
    /// Memory for responses that are being built or sent, in bytes. Pages of the log may take another quarter of it.
    pub response_memory: usize,
}

/// The size in memory of the largest object of each type that the policy allows, in bytes.
#[derive(Debug, Clone, Copy)]
pub struct Largest {
    /// Bytes of a message.
    pub message: usize,
    /// Bytes of a comment.
    pub comment: usize,
    /// Bytes of a channel.
    pub channel: usize,
    /// Bytes of a template.
    pub template: usize,
    /// Bytes of a notification.
    pub notification: usize,
    /// Bytes of an application event.
    pub app_event: usize,
    /// Bytes of a user.
    pub user: usize,
    /// Bytes of an organization, or of a location.
    pub place: usize,
}

impl Policy {
    /// The largest objects that these limits allow.
    #[must_use]
    pub fn largest(&self) -> Largest {
        // UTF-8 takes at most four bytes for a character.
        let (title, content) = (4 * self.max_title, 4 * self.max_content);
        let (fixed, audience) = (256, 24 * MAX_LOCATIONS);
        Largest {
            message: fixed + title + content + audience,
            comment: fixed + content,
            channel: fixed + title + 4 * MAX_DESCRIPTION,
            template: fixed + title + content + audience,
            notification: fixed + title + content,
            app_event: fixed + validate::MAX_PAYLOAD + 4 * MAX_KEY,
            user: fixed + 3 * 4 * MAX_USERNAME,
            place: fixed + title,
        }
    }
}
