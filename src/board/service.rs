//! The use cases of one instance: one service for each subject, over the same store and hub.

use std::net::IpAddr;
use std::sync::Arc;

use super::accounts::{Accounts, AuthServices};
use super::api_keys::ApiKeys;
use super::app_events::AppEvents;
use super::broadcasts::Broadcasts;
use super::channels::Channels;
use super::commands::Commands;
use super::comments::Comments;
use super::counts::SignInCounts;
use super::decision_caches::DecisionCaches;
use super::deletion::Deletion;
use super::event_log::EventLog;
use super::event_types::EventTypes;
use super::external_users::ExternalUsers;
use super::gauges::LatestMetrics;
use super::health::Health;
use super::invites::Invites;
use super::log_tailer::Watermark;
use super::messages::Messages;
use super::metrics::Metrics;
use super::notifications::Notifications;
use super::oidc_sign_in::OidcSignIn;
use super::organizations::Organizations;
use super::outbox::{OutboxCounts, OutboxMover};
use super::periodic::PeriodicWork;
use super::permissions::PermissionCache;
use super::policy::Policy;
use super::presence::Presence;
use super::reads::Reads;
use super::removal::Remover;
use super::retention::{Pruner, Retention};
use super::sessions::UserSessions;
use super::signals::Signals;
use super::templates::Templates;
use super::type_checks::TypeChecks;
use super::usernames::Usernames;
use super::users::UserManagement;
use super::view::InMemory;
use crate::capacity::RateLimiter;
use crate::hub::Hub;
use crate::model::{ApiKeyId, MemoryBudget, UserId};
use crate::store::Store;

/// How many users may be notified per minute because one author mentioned them.
pub const MENTIONS_PER_MINUTE: u32 = 120;

/// The limits on what one user may write.
pub struct WriteLimits {
    /// Limits mutations per user.
    pub mutations: RateLimiter<UserId>,
    /// Limits mutations per API key.
    pub key_mutations: RateLimiter<ApiKeyId>,
    /// Limits the users that one author notifies by mentions.
    pub mentions: RateLimiter<UserId>,
    /// Limits new names of channels per user.
    pub channel_names: RateLimiter<UserId>,
    /// Limits uses of refresh tokens per address.
    pub renewals: RateLimiter<IpAddr>,
}

/// The use cases of one instance.
pub struct Board {
    /// Accounts.
    pub accounts: Accounts,
    /// API keys.
    pub api_keys: Arc<ApiKeys>,
    /// The users of other issuers; `None`: no other issuer is trusted.
    pub external_users: Option<Arc<ExternalUsers>>,
    /// Signing in at another issuer; `None`: the web client does not offer it.
    pub oidc_sign_in: Option<Arc<OidcSignIn>>,
    /// The deletion of users.
    pub deletion: Deletion,
    /// Invitations.
    pub invites: Invites,
    /// Users and their profiles.
    pub users: UserManagement,
    /// Sessions.
    pub sessions: Arc<UserSessions>,
    /// Channels, their members, and what users have read in them.
    pub channels: Channels,
    /// Messages and tickets.
    pub messages: Messages,
    /// Comments.
    pub comments: Comments,
    /// Templates.
    pub templates: Templates,
    /// Notifications and announcements.
    pub notifications: Notifications,
    /// Organizations and locations.
    pub organizations: Organizations,
    /// Application events.
    pub app_events: AppEvents,
    /// Types of application events.
    pub event_types: EventTypes,
    /// What became of the rows of the outbox that this instance has moved.
    pub outbox_counts: Arc<OutboxCounts>,
    /// Signals to the users who follow a channel now.
    pub signals: Arc<Signals>,
    /// Data that programs send to a channel.
    pub broadcasts: Broadcasts,
    /// Metrics.
    pub metrics: Metrics,
    /// Who is present.
    pub presence: Arc<Presence>,
    /// Usernames by id.
    pub usernames: Usernames,
    /// Reads for viewers.
    pub reads: Arc<Reads>,
    /// The limits on mutations that run at the same time.
    pub commands: Arc<Commands>,
    /// The positions in the log.
    pub log: EventLog,
    /// Health checks of the database.
    pub health: Health,
    /// The removal of deleted rows.
    pub remover: Arc<Remover>,
    /// The settings that decide what users may do.
    pub policy: Arc<Policy>,
    /// The memory budget of responses that are being built or sent.
    pub response_memory: Arc<MemoryBudget>,
    /// The memory budget of pages of the log and of notifications that subscriptions have not consumed yet.
    pub page_memory: Arc<MemoryBudget>,
    store: Arc<Store>,
    hub: Hub,
    permissions: Arc<PermissionCache>,
    latest_metrics: Arc<LatestMetrics>,
    type_checks: Arc<TypeChecks>,
}

impl Board {
    /// Creates the use cases over an open store. A running `LogTailer` must publish the store's commits to `hub`.
    #[must_use]
    pub fn new(
        store: Arc<Store>,
        hub: Hub,
        caches: DecisionCaches,
        progress: Arc<Watermark>,
        (mut auth, limits): (AuthServices, WriteLimits),
        policy: Policy,
    ) -> Self {
        let DecisionCaches { permissions, event_types } = caches;
        let type_checks = Arc::new(TypeChecks::new(event_types));
        let size = policy.response_memory;
        let response_memory = MemoryBudget::new(size, 3 * (size / 8));
        let page_memory = MemoryBudget::new(size / 4, size / 16);
        let (policy, mention_limit) = (Arc::new(policy), Arc::new(limits.mentions));
        let (presence, metrics) = (Arc::new(Presence::default()), Arc::new(LatestMetrics::default()));
        let remover = Arc::new(Remover::new(store.clone()));
        let commands = Arc::new(Commands::new(store.clone(), progress, (limits.mutations, limits.key_mutations)));
        let api_keys = Arc::new(ApiKeys::new(commands.clone(), store.clone(), permissions.clone()));
        let external_users = auth
            .issuers
            .clone()
            .map(|issuers| Arc::new(ExternalUsers::new(issuers, commands.clone(), store.clone(), permissions.clone())));
        let in_memory = InMemory { policy: policy.clone(), presence: presence.clone(), metrics: metrics.clone() };
        let reads = Arc::new(Reads { store: store.clone(), in_memory });
        let sessions = Arc::new(UserSessions {
            commands: commands.clone(),
            tokens: auth.tokens.clone(),
            renewals: limits.renewals,
            last_seen: Arc::default(),
        });
        let oidc = auth.oidc.take().zip(external_users.clone());
        let oidc_sign_in = oidc.map(|(flow, users)| Arc::new(OidcSignIn::new(flow, users, sessions.clone())));
        let users = UserManagement { commands: commands.clone(), passwords: auth.passwords.clone() };
        Self {
            accounts: Accounts {
                commands: commands.clone(),
                store: store.clone(),
                permissions: permissions.clone(),
                policy: policy.clone(),
                auth,
                sessions: sessions.clone(),
                counts: SignInCounts::default(),
                api_keys: api_keys.clone(),
                external_users: external_users.clone(),
            },
            api_keys,
            external_users,
            oidc_sign_in,
            sessions,
            users,
            deletion: Deletion { commands: commands.clone(), remover: remover.clone() },
            invites: Invites { commands: commands.clone(), policy: policy.clone() },
            channels: Channels {
                commands: commands.clone(),
                reads: reads.clone(),
                policy: policy.clone(),
                name_limit: limits.channel_names,
                remover: remover.clone(),
            },
            messages: Messages {
                commands: commands.clone(),
                policy: policy.clone(),
                mention_limit: mention_limit.clone(),
                remover: remover.clone(),
            },
            comments: Comments { commands: commands.clone(), policy: policy.clone(), mention_limit },
            templates: Templates { commands: commands.clone(), policy: policy.clone() },
            notifications: Notifications {
                commands: commands.clone(),
                reads: reads.clone(),
                policy: policy.clone(),
                page_memory: page_memory.clone(),
            },
            organizations: Organizations { commands: commands.clone(), policy: policy.clone() },
            app_events: AppEvents::new(commands.clone(), reads.clone(), policy.clone(), type_checks.clone()),
            event_types: EventTypes {
                commands: commands.clone(),
                store: store.clone(),
                types: type_checks.types().clone(),
            },
            outbox_counts: Arc::default(),
            signals: Arc::new(Signals::new(store.clone())),
            broadcasts: Broadcasts { commands: commands.clone(), policy: policy.clone() },
            metrics: Metrics { commands: commands.clone(), latest: metrics.clone() },
            presence,
            usernames: Usernames::new(store.clone(), hub.clone(), permissions.clone()),
            reads,
            commands,
            log: EventLog { store: store.clone(), hub: hub.clone() },
            health: Health::new(store.clone()),
            remover,
            policy,
            response_memory,
            page_memory,
            store,
            hub,
            permissions,
            latest_metrics: metrics,
            type_checks,
        }
    }

    /// The store, for the log reader and for metrics. Reads for clients go through [`Self::reads`].
    #[must_use]
    pub fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// The hub, for subscriptions.
    #[must_use]
    pub fn hub(&self) -> &Hub {
        &self.hub
    }

    /// A number that grows when the names of a user change. What shows names is cached for one number.
    #[must_use]
    pub fn user_revision(&self) -> u64 {
        self.permissions.user_revision()
    }

    /// Creates the task that prunes the log.
    #[must_use]
    pub fn pruner(&self, retention: Retention) -> Pruner {
        let (store, remover, last_seen) = (self.store.clone(), self.remover.clone(), self.sessions.last_seen.clone());
        Pruner { store, remover, api_keys: self.api_keys.clone(), last_seen, retention }
    }

    /// Creates the task that moves the rows of the outbox into the log.
    #[must_use]
    pub fn outbox_mover(&self) -> OutboxMover {
        OutboxMover::new(self.store.clone(), self.type_checks.clone(), self.outbox_counts.clone())
    }

    /// Creates the task that exchanges presence with the other instances and refreshes the metrics.
    #[must_use]
    pub fn periodic_work(&self) -> PeriodicWork {
        let (presence, metrics) = (self.presence.clone(), self.latest_metrics.clone());
        PeriodicWork::new(self.store.clone(), self.hub.clone(), presence, metrics)
    }
}
