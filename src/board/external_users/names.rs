//! The profile of an issuer in the form in which it is stored. Issuers have other rules for names, so a text that is not
//! acceptable is changed or left out, and never refused.

use sha2::{Digest as _, Sha256};

use crate::auth::ExternalProfile;
use crate::board::policy::MAX_USERNAME;
use crate::board::validate;
use crate::model::{ExternalIdentity, Role, User};

/// The longest part of a username that comes from the issuer, in characters. The rest is for a suffix.
const MAX_BASE: usize = MAX_USERNAME - 10;
/// The username if the issuer's one has no usable character.
const FALLBACK: &str = "user";

/// What is stored of a profile.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct StoredProfile {
    /// The username of a new user, without a suffix.
    pub username: String,
    /// The name that other users see, if the issuer has an acceptable one.
    pub display_name: Option<String>,
    /// The email address, if the issuer has one.
    pub email: Option<String>,
    /// The role, if the issuer decides about it.
    pub role: Option<Role>,
}

impl StoredProfile {
    /// The profile in the form in which it is stored.
    pub fn of(profile: &ExternalProfile) -> Self {
        let max = MAX_USERNAME * 2;
        let name = profile.name.as_ref().map(|name| name.trim().chars().take(max).collect::<String>());
        Self {
            username: username(&profile.username),
            display_name: name.and_then(|name| validate::name("name", &name, max).ok()),
            email: profile.email.as_ref().and_then(|email| validate::email("email", email).ok()),
            role: profile.role,
        }
    }

    /// Whether the user has another name, email address or role. What the profile does not have is not compared.
    pub fn differs_from(&self, user: &User) -> bool {
        self.display_name.as_ref().is_some_and(|name| *name != user.display_name)
            || (self.email.is_some() && self.email != user.email)
            || self.role.is_some_and(|role| role != user.role)
    }

    /// The usernames that a new user with this identity may get, in order of preference. The last one is unique.
    pub fn usernames(&self, identity: &ExternalIdentity) -> Vec<String> {
        let base = &self.username;
        let digest = Sha256::digest(format!("{}\0{}", identity.issuer, identity.subject));
        let unique: String = digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
        let numbered = (2..=4).map(|number| format!("{base}-{number}"));
        std::iter::once(base.clone()).chain(numbered).chain([format!("{base}-{unique}")]).collect()
    }
}

/// A valid username that resembles the text. Of an email address it is the part before the `@`.
fn username(text: &str) -> String {
    let text = text.trim();
    let local = text.split_once('@').map_or(text, |(local, _)| local);
    let text = if local.is_empty() { text } else { local };
    let short: String = text.chars().take(MAX_BASE).collect();
    let is_usable = |c: char| c.is_alphanumeric() || ".-_".contains(c);
    let replaced: String = short.chars().map(|c| if is_usable(c) { c } else { '-' }).collect();
    let valid = |text: &str| validate::username("username", text.trim_matches('-'), MAX_BASE).ok();
    valid(&short).or_else(|| valid(&replaced)).unwrap_or_else(|| FALLBACK.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_becomes_a_valid_username() {
        for (text, expected) in [
            ("Ada", "ada"),
            ("ada@example.org", "ada"),
            ("@example.org", "example.org"),
            ("auth0|5f7c8ec7c33c6c004bbafe82", "auth0-5f7c8ec7c33c6c004bbafe82"),
            (" Ada Lovelace ", "ada-lovelace"),
            ("Žofie", "žofie"),
            ("", "user"),
            ("|||", "user"),
            ("\u{202e}", "user"),
        ] {
            assert_eq!(username(text), expected, "{text}");
        }
        assert_eq!(username(&"x".repeat(1_000)).len(), MAX_BASE);
    }

    #[test]
    fn each_identity_has_usernames_of_its_own() {
        let profile = ExternalProfile { username: "ada".into(), name: None, email: None, role: None };
        let profile = StoredProfile::of(&profile);
        let of = |subject: &str| {
            profile.usernames(&ExternalIdentity { issuer: "https://id.example".into(), subject: subject.into() })
        };
        assert_eq!(of("1")[..4], ["ada", "ada-2", "ada-3", "ada-4"]);
        assert_ne!(of("1")[4], of("2")[4]);
        assert!(of("1").iter().all(|name| validate::username("username", name, MAX_USERNAME).is_ok()));
    }

    #[test]
    fn unacceptable_names_and_addresses_are_left_out() {
        let profile = |name: &str, email: &str| {
            let profile = ExternalProfile {
                username: "ada".into(),
                name: Some(name.into()),
                email: Some(email.into()),
                role: None,
            };
            let StoredProfile { display_name, email, .. } = StoredProfile::of(&profile);
            (display_name, email)
        };
        assert_eq!(profile("a\nb", "nobody"), (None, None));
        assert_eq!(profile(" Ada ", "a@example.org"), (Some("Ada".into()), Some("a@example.org".into())));
        assert_eq!(profile(&"x".repeat(1_000), "").0.map(|name| name.len()), Some(MAX_USERNAME * 2));
    }
}
