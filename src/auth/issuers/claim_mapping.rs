//! Which claims of a token describe its user.

use serde_json::{Map, Value};

use crate::model::Role;

/// The names of the claims that describe a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimMapping {
    /// The claim with the username; `None`: the first of [`USERNAME_CLAIMS`] that the token has.
    pub username: Option<String>,
    /// The claim with the name that other users see.
    pub name: String,
    /// The claim and the value that make the user an admin; `None`: tokens do not decide about roles.
    pub admin: Option<(String, String)>,
}

/// The claims with the username, unless the operator names one.
const USERNAME_CLAIMS: [&str; 2] = ["preferred_username", "email"];

/// What a token says about its user.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ExternalProfile {
    /// The name for a new user, as the issuer spells it.
    pub username: String,
    /// The name that other users see, if the token has one.
    pub name: Option<String>,
    /// The email address, if the token has one that the issuer does not call unverified.
    pub email: Option<String>,
    /// The role, if tokens decide about it.
    pub role: Option<Role>,
}

impl ClaimMapping {
    /// The profile in the claims of a verified token. `subject` is the username of last resort.
    #[must_use]
    pub fn profile(&self, claims: &Map<String, Value>, subject: &str) -> ExternalProfile {
        let named = self.username.as_deref().map_or(&USERNAME_CLAIMS[..], |_| &[]);
        let names = self.username.as_deref().into_iter().chain(named.iter().copied());
        let username = names.into_iter().find_map(|name| text(claims, name));
        let is_unverified = find(claims, "email_verified") == Some(&Value::Bool(false));
        ExternalProfile {
            username: username.unwrap_or_else(|| subject.to_owned()),
            name: text(claims, &self.name),
            email: text(claims, "email").filter(|_| !is_unverified),
            role: self.admin.as_ref().map(|(name, value)| {
                if find(claims, name).is_some_and(|found| contains(found, value)) { Role::Admin } else { Role::Member }
            }),
        }
    }
}

/// The claim with this name. A name with dots is a claim of that name (`https://example.org/roles`), or a path into nested
/// claims (`realm_access.roles`).
fn find<'c>(claims: &'c Map<String, Value>, name: &str) -> Option<&'c Value> {
    claims.get(name).or_else(|| {
        name.match_indices('.').find_map(|(dot, _)| find(claims.get(&name[..dot])?.as_object()?, &name[dot + 1..]))
    })
}

fn text(claims: &Map<String, Value>, name: &str) -> Option<String> {
    find(claims, name)?.as_str().filter(|text| !text.trim().is_empty()).map(str::to_owned)
}

/// Whether a claim has the value, or is a list that contains it.
fn contains(claim: &Value, value: &str) -> bool {
    match claim {
        Value::String(text) => text == value,
        Value::Array(items) => items.iter().any(|item| !item.is_array() && contains(item, value)),
        Value::Bool(is_set) => value == if *is_set { "true" } else { "false" },
        Value::Number(number) => number.to_string() == value,
        Value::Null | Value::Object(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn profile(mapping: &ClaimMapping, claims: &Value) -> ExternalProfile {
        mapping.profile(claims.as_object().unwrap(), "subject")
    }

    fn mapping() -> ClaimMapping {
        ClaimMapping { username: None, name: "name".into(), admin: None }
    }

    #[test]
    fn the_username_is_the_first_claim_that_the_token_has() {
        let all = json!({ "preferred_username": "ada", "email": "ada@example.org", "nick": { "short": "al" } });
        assert_eq!(profile(&mapping(), &all).username, "ada");
        assert_eq!(profile(&mapping(), &json!({ "email": "ada@example.org" })).username, "ada@example.org");
        assert_eq!(profile(&mapping(), &json!({ "preferred_username": " ", "email": 7 })).username, "subject");
        let named = ClaimMapping { username: Some("nick.short".into()), ..mapping() };
        assert_eq!(profile(&named, &all).username, "al");
        assert_eq!(profile(&named, &json!({ "email": "ada@example.org" })).username, "subject");
    }

    #[test]
    fn an_unverified_email_address_is_ignored() {
        let claims = |verified| json!({ "email": "ada@example.org", "email_verified": verified });
        assert_eq!(profile(&mapping(), &claims(json!(false))).email, None);
        assert_eq!(profile(&mapping(), &claims(json!(true))).email.as_deref(), Some("ada@example.org"));
    }

    #[test]
    fn a_claim_or_a_nested_list_makes_an_admin() {
        let role = |name: &str, value: &str, claims: &Value| {
            profile(&ClaimMapping { admin: Some((name.into(), value.into())), ..mapping() }, claims).role
        };
        let claims = json!({
            "realm_access": { "roles": ["user", "tidings-admin"] },
            "https://example.org/roles": ["boss"], "role": "root", "is_admin": true, "deep": { "a.b": { "c": "x" } },
        });
        for (name, value) in [
            ("realm_access.roles", "tidings-admin"),
            ("https://example.org/roles", "boss"),
            ("role", "root"),
            ("is_admin", "true"),
            ("deep.a.b.c", "x"),
        ] {
            assert_eq!(role(name, value, &claims), Some(Role::Admin), "{name}={value}");
        }
        for (name, value) in [
            ("realm_access.roles", "admin"),
            ("realm_access", "tidings-admin"),
            ("role", "roo"),
            ("missing", "root"),
            ("realm_access.", "user"),
            ("", ""),
        ] {
            assert_eq!(role(name, value, &claims), Some(Role::Member), "{name}={value}");
        }
        assert_eq!(profile(&mapping(), &claims).role, None);
    }
}
