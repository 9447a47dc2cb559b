//! The enums of the schema, each the twin of one of the model.

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
    /// What somebody may do in general.
    Role {
        /// An ordinary user.
        Member,
        /// May read and moderate everything.
        Admin
    }
    /// Who may read a channel.
    Visibility {
        /// Everybody.
        Public,
        /// Its members.
        Private
    }
    /// How far a ticket is.
    TicketStatus {
        /// Nobody works on it yet.
        Open,
        /// Somebody works on it.
        InProgress,
        /// Done, as far as the assignee is concerned.
        Resolved,
        /// Done for everybody.
        Closed
    }
    /// How urgent something is.
    Priority {
        /// Can wait.
        Low,
        /// The usual.
        Medium,
        /// Soon.
        High,
        /// Now.
        Urgent
    }
}
