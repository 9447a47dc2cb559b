//! Access rules, checked over real connections.

mod api_keys;
mod matrix;
mod sign_in;

mod location_sharing;
mod revocation;
mod secrets;
