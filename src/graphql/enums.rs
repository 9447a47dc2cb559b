//! The GraphQL enums. Each has the same variants as the enum of the same name in `model`.

use juniper::GraphQLEnum;

use crate::model;

macro_rules! enums {
    ($($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident),+ })+) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, GraphQLEnum)]
        pub enum $name { $($(#[$vdoc])* $variant),+ }

        impl From<model::$name> for $name {
            fn from(value: model::$name) -> Self {
                match value { $(model::$name::$variant => Self::$variant),+ }
            }
        }

        impl From<$name> for model::$name {
            fn from(value: $name) -> Self {
                match value { $($name::$variant => Self::$variant),+ }
            }
        }
    )+};
}

enums! {
    /// The role of a user.
    Role {
        /// A user without special permissions.
        Member,
        /// A user who may read everything, and change and delete the content of all users.
        Admin
    }
    /// What happens with the texts of a deleted user.
    ContentPolicy {
        /// They stay, without the name of the user.
        Keep,
        /// They are deleted, and so is what quotes them: notifications and broadcasts of the user.
        Erase
    }
    /// What uses an account.
    UserKind {
        /// A person.
        Person,
        /// A program.
        Service
    }
    /// Which users may read a channel.
    Visibility {
        /// Every reader of the server may read the channel.
        Public,
        /// Only the members of the channel and admins may read it.
        Private
    }
    /// What an API key may be used for.
    ApiScope {
        /// Queries and subscriptions.
        Read,
        /// The mutations that the user may make without being an admin, but not those of the user's own account.
        Write,
        /// Publishing events.
        Publish,
        /// Everything that the user may do as an admin. Includes the other scopes.
        Admin
    }
    /// Which users may publish application events in a channel.
    ChannelPublishing {
        /// Only admins and API keys.
        Keys,
        /// The members of the channel, too.
        Members
    }
    /// The status of a ticket.
    TicketStatus {
        /// No user works on the ticket yet.
        Open,
        /// A user works on the ticket.
        InProgress,
        /// The assignee has finished the work.
        Resolved,
        /// The ticket needs no further work.
        Closed
    }
    /// The priority of a ticket or a notification.
    Priority {
        /// Low priority.
        Low,
        /// Normal priority. This is the default.
        Medium,
        /// High priority.
        High,
        /// The highest priority: it needs attention at once.
        Urgent
    }
}
