//! Tokens of other issuers: JWTs that an identity provider has signed, and the keys that verify them.
//!
//! The key decides which algorithms are allowed, and never the token alone. The keys come from the address that the
//! operator or the issuer's discovery document names, and never from the token (`jku`, `x5u`, `jwk`, `x5c`). Clients get
//! one message for every failed check; the log and the counters name the check.

mod claim_mapping;
mod code_flow;
mod failed_check;
mod key_set;
mod key_source;
mod sign_in_ticket;
mod token_parts;
mod trusted_issuers;
mod web_client;

pub use claim_mapping::{ClaimMapping, ExternalProfile};
pub use code_flow::{CodeFlow, CodeFlowSettings, SignInStart};
pub use failed_check::FailedCheck;
pub use sign_in_ticket::TICKET_LIFETIME;
pub use trusted_issuers::{IssuerCounts, TrustSettings, TrustedIssuers, VerifiedToken};
