//! The settings for tokens of other issuers.

use std::fmt;
use std::str::FromStr;

use clap::Args;

use super::secret::Secret;
use super::secret_file;

/// Issuers whose tokens are accepted, and the claims that describe their users.
#[derive(Debug, Clone, PartialEq, Eq, Args)]
#[command(next_help_heading = "Other issuers")]
pub struct IssuerSettings {
    /// Issuers whose tokens are accepted: URLs, exactly as in the claim iss, separated by commas [default: none]
    #[arg(long = "oidc-issuers", env = "TIDINGS_OIDC_ISSUERS", value_name = "URLS")]
    #[arg(default_value = "", hide_default_value = true)]
    pub issuers: Issuers,

    /// Audience that their tokens must have in the claim aud; required with --oidc-issuers [default: none]
    #[arg(long = "oidc-audience", env = "TIDINGS_OIDC_AUDIENCE", value_name = "TEXT")]
    audience: Option<String>,

    /// Address of the public keys of the only issuer, as a JWK Set [default: as the issuer's discovery document says]
    #[arg(long = "jwks-url", env = "TIDINGS_JWKS_URL", value_name = "URL")]
    jwks_url: Option<String>,

    /// Claim with the username of a new user; a path has dots [default: preferred_username, then email, then sub]
    #[arg(long = "oidc-username-claim", env = "TIDINGS_OIDC_USERNAME_CLAIM", value_name = "CLAIM")]
    username_claim: Option<String>,

    /// Claim with the name that other users see; a path has dots.
    #[arg(long = "oidc-name-claim", env = "TIDINGS_OIDC_NAME_CLAIM", value_name = "CLAIM", default_value = "name")]
    pub name_claim: String,

    /// Claim and value that make a user an admin, like realm_access.roles=tidings-admin; a list must contain the value
    /// [default: none, tokens do not decide about roles]
    #[arg(long = "oidc-admin", env = "TIDINGS_OIDC_ADMIN", value_name = "CLAIM=VALUE")]
    pub admin: Option<AdminClaim>,

    /// Id of this server as a client of the first issuer, so that users of the web client can sign in there
    /// [default: none]
    #[arg(long = "oidc-client-id", env = "TIDINGS_OIDC_CLIENT_ID", value_name = "TEXT")]
    client_id: Option<String>,

    /// Secret of this client. Prefer the variable: other users of the machine can read flags [default: none]
    #[arg(long = "oidc-client-secret", env = "TIDINGS_OIDC_CLIENT_SECRET", value_name = "SECRET")]
    client_secret: Option<Secret>,

    /// File that contains the secret of the client, instead of --oidc-client-secret.
    #[arg(long = "oidc-client-secret-file", env = "TIDINGS_OIDC_CLIENT_SECRET_FILE", value_name = "FILE")]
    #[arg(value_parser = secret_file::client_secret, conflicts_with = "client_secret")]
    client_secret_file: Option<Secret>,
}

/// A list of issuers, in the spelling of their tokens.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Issuers(Vec<String>);

/// The claim and the value that make a user an admin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminClaim {
    /// The claim, or a path to it.
    pub claim: String,
    /// The value, or an item of a list.
    pub value: String,
}

impl IssuerSettings {
    /// The settings for tokens of these issuers for this audience. The claims have their default names.
    #[must_use]
    pub fn new(issuers: Issuers, audience: &str) -> Self {
        Self { issuers, audience: Some(audience.to_owned()), ..Self::default() }
    }

    /// The same, with the keys of the only issuer at this address.
    #[must_use]
    pub fn with_jwks_url(self, url: &str) -> Self {
        Self { jwks_url: Some(url.to_owned()), ..self }
    }

    /// The same, with sign-in as this client.
    #[must_use]
    pub fn with_client(self, id: &str, secret: Secret) -> Self {
        Self { client_id: Some(id.to_owned()), client_secret: Some(secret), ..self }
    }

    /// The id of the client, if users can sign in at the first issuer.
    #[must_use]
    pub fn client_id(&self) -> Option<&str> {
        present(self.client_id.as_ref())
    }

    /// The secret of the client, from whichever setting has it.
    #[must_use]
    pub fn client_secret(&self) -> Option<&Secret> {
        self.client_secret.as_ref().or(self.client_secret_file.as_ref())
    }

    /// The audience, if there is one.
    #[must_use]
    pub fn audience(&self) -> Option<&str> {
        present(self.audience.as_ref())
    }

    /// The address of the keys, if it is not the issuer who names it.
    #[must_use]
    pub fn jwks_url(&self) -> Option<&str> {
        present(self.jwks_url.as_ref())
    }

    /// The claim with the username, if it is not one of the default claims.
    #[must_use]
    pub fn username_claim(&self) -> Option<&str> {
        present(self.username_claim.as_ref())
    }

    /// Checks that issuers have an audience, that keys belong to one issuer, and that a client has an issuer and an
    /// address to which browsers return.
    ///
    /// # Errors
    /// One line that names the setting.
    pub fn check(&self, public_url: Option<&str>) -> Result<(), String> {
        let missing = match (self.client_id(), public_url) {
            (Some(_), _) if self.issuers.is_empty() => Some("TIDINGS_OIDC_ISSUERS"),
            (Some(_), None) => Some("TIDINGS_PUBLIC_URL, the address to which the issuer sends browsers back"),
            _ => None,
        };
        if let Some(missing) = missing {
            return Err(format!("--oidc-client-id (TIDINGS_OIDC_CLIENT_ID): needs {missing}"));
        }
        // Without this check, a token for any other service of the issuer would be accepted.
        if !self.issuers.is_empty() && self.audience().is_none() {
            return Err(
                "--oidc-audience (TIDINGS_OIDC_AUDIENCE): required with TIDINGS_OIDC_ISSUERS; tokens must name it \
                 in the claim aud"
                    .into(),
            );
        }
        // Otherwise the ID tokens of the web client, which are for the browser only, would be access tokens.
        if self.client_id().is_some() && self.client_id() == self.audience() {
            return Err("--oidc-audience (TIDINGS_OIDC_AUDIENCE): must differ from TIDINGS_OIDC_CLIENT_ID".into());
        }
        // Otherwise each issuer could sign tokens in the name of the others.
        if self.jwks_url().is_some() && self.issuers.0.len() != 1 {
            return Err(format!(
                "--jwks-url (TIDINGS_JWKS_URL): needs exactly one issuer in TIDINGS_OIDC_ISSUERS, which has {}",
                self.issuers.0.len()
            ));
        }
        Ok(())
    }
}

/// Compose passes an unset variable on as an empty one.
fn present(text: Option<&String>) -> Option<&str> {
    text.map(|text| text.trim()).filter(|text| !text.is_empty())
}

impl Issuers {
    /// Whether there is no issuer.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The issuers.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

/// Parses URLs that are separated by commas. A slash at the end belongs to the name of an issuer, so it stays.
impl FromStr for Issuers {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut issuers = Vec::new();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let rest = part.strip_prefix("https://").or_else(|| part.strip_prefix("http://")).unwrap_or_default();
            let is_plain = |c: char| c.is_ascii_graphic() && !"?#@\"<>\\^`{|}".contains(c);
            if rest.is_empty() || rest.starts_with('/') || !rest.chars().all(is_plain) {
                return Err(format!("'{part}' is not the URL of an issuer, like https://id.example/realms/main"));
            }
            if !issuers.iter().any(|known| known == part) {
                issuers.push(part.to_owned());
            }
        }
        Ok(Self(issuers))
    }
}

impl fmt::Display for Issuers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(","))
    }
}

impl FromStr for AdminClaim {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // The name of a claim may be a URL, whose query can contain `=`, but a value rarely does.
        let parts = text.trim().rsplit_once('=').map(|(claim, value)| (claim.trim(), value.trim()));
        let (claim, value) =
            parts.filter(|(claim, value)| !claim.is_empty() && !value.is_empty()).ok_or_else(|| {
                format!("'{text}' is not a claim and a value, like role=admin or realm_access.roles=admin")
            })?;
        Ok(Self { claim: claim.to_owned(), value: value.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(issuers: &str, audience: &str, jwks_url: &str) -> IssuerSettings {
        let (issuers, jwks_url) = (issuers.parse().unwrap(), Some(jwks_url.to_owned()));
        IssuerSettings { jwks_url, ..IssuerSettings::new(issuers, audience) }
    }

    #[test]
    fn issuers_keep_their_spelling() {
        let issuers: Issuers = "https://a.example/, https://b.example,https://b.example,".parse().unwrap();
        assert_eq!(issuers.iter().collect::<Vec<_>>(), ["https://a.example/", "https://b.example"]);
        for bad in
            ["a.example", "https://", "https:///x", "https://a.example?x=1", "https://a b", "https://u@a.example"]
        {
            assert!(bad.parse::<Issuers>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_claim_has_a_value() {
        let admin = |text: &str| text.parse::<AdminClaim>().map(|admin| (admin.claim, admin.value));
        assert_eq!(admin("realm_access.roles=boss"), Ok(("realm_access.roles".into(), "boss".into())));
        assert_eq!(admin("https://a.example/x?y=z=1"), Ok(("https://a.example/x?y=z".into(), "1".into())));
        for bad in ["", "admin", "=admin", "role=", "role= "] {
            assert!(admin(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn issuers_need_an_audience_and_keys_need_one_issuer() {
        assert_eq!(IssuerSettings::default().check(None), Ok(()));
        assert_eq!(settings("https://a.example", "tidings", "").check(None), Ok(()));
        assert_eq!(settings("https://a.example", "tidings", "https://a.example/keys").check(None), Ok(()));
        for (issuers, audience, jwks_url) in [
            ("https://a.example", " ", ""),
            ("https://a.example,https://b.example", "tidings", "https://a.example/keys"),
            ("", "tidings", "https://a.example/keys"),
        ] {
            assert!(settings(issuers, audience, jwks_url).check(None).is_err(), "{issuers} {audience} {jwks_url}");
        }
    }

    #[test]
    fn the_audience_of_access_tokens_is_not_the_client() {
        let with =
            |audience: &str| settings("https://a.example", audience, "").with_client("web", "secret".parse().unwrap());
        let check = |audience| with(audience).check(Some("https://tidings.example"));
        assert_eq!(check("tidings"), Ok(()));
        assert!(check("web").unwrap_err().contains("TIDINGS_OIDC_AUDIENCE"));
    }

    #[test]
    fn a_client_needs_an_issuer_and_a_public_address() {
        let client = |issuers: &str| settings(issuers, "tidings", "").with_client("web", "secret".parse().unwrap());
        assert_eq!(client("https://a.example").check(Some("https://tidings.example")), Ok(()));
        assert!(client("https://a.example").check(None).unwrap_err().contains("TIDINGS_PUBLIC_URL"));
        assert!(client("").check(Some("https://tidings.example")).unwrap_err().contains("TIDINGS_OIDC_ISSUERS"));
    }
}
