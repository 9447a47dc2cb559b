//! The authorization code flow of OpenID Connect, with PKCE: a browser signs in at an issuer and returns with a code.
//!
//! The server stores nothing meanwhile. The browser keeps a random *ticket* in a cookie. The state, the nonce and the PKCE
//! verifier are derived from it with the secret of the installation, so any instance can finish the sign-in.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use openidconnect::core::{CoreAuthenticationFlow, CoreClient, CoreClientAuthMethod, CoreProviderMetadata};
use openidconnect::{
    AuthType, AuthorizationCode, ClientId, ClientSecret, CsrfToken, HttpRequest, IssuerUrl, Nonce, PkceCodeChallenge,
    PkceCodeVerifier, RedirectUrl, Scope, TokenResponse as _,
};

use super::sign_in_ticket::SignInTicket;
use super::trusted_issuers::{TrustedIssuers, VerifiedToken};
use super::web_client::{WebClient, check_address};
use crate::error::{Error, Result};
use crate::model::Timestamp;

/// How long the discovery document is used.
const METADATA_AGE: Duration = Duration::from_secs(600);
/// How long no further request is sent after one has failed.
const RETRY: Duration = Duration::from_secs(5);
/// The longest authorization code, in bytes.
const MAX_CODE_BYTES: usize = 4_096;

/// The settings of the client that this server is for the issuer.
#[derive(Clone)]
pub struct CodeFlowSettings {
    /// The id of the client at the issuer.
    pub client_id: String,
    /// The secret of the client; `None` for a public client.
    pub client_secret: Option<String>,
    /// The address to which the issuer sends the browser back.
    pub redirect_url: String,
    /// The secret that tickets are derived with.
    pub ticket_secret: Vec<u8>,
}

/// Signs users in at the first trusted issuer.
pub struct CodeFlow {
    issuers: Arc<TrustedIssuers>,
    issuer: IssuerUrl,
    client_id: ClientId,
    client_secret: Option<ClientSecret>,
    redirect: RedirectUrl,
    ticket_secret: Vec<u8>,
    client: WebClient,
    metadata: tokio::sync::Mutex<Option<(Instant, Option<CoreProviderMetadata>)>>,
}

/// A sign-in that begins.
pub struct SignInStart {
    /// The address at the issuer to which the browser goes.
    pub url: String,
    /// The text that the browser keeps in a cookie until it returns.
    pub ticket: String,
}

impl CodeFlow {
    /// Signs users in at the first of these issuers, as this client.
    ///
    /// # Errors
    /// One line for the operator if a setting is not usable.
    pub fn new(issuers: Arc<TrustedIssuers>, settings: CodeFlowSettings) -> Result<Self, String> {
        let first = issuers.first().ok_or("TIDINGS_OIDC_CLIENT_ID: needs an issuer in TIDINGS_OIDC_ISSUERS")?;
        let issuer = IssuerUrl::new(first.to_owned()).map_err(|error| format!("TIDINGS_OIDC_ISSUERS: {error}"))?;
        let redirect =
            RedirectUrl::new(settings.redirect_url).map_err(|error| format!("TIDINGS_PUBLIC_URL: {error}"))?;
        Ok(Self {
            issuer,
            issuers,
            client_id: ClientId::new(settings.client_id),
            client_secret: settings.client_secret.map(ClientSecret::new),
            redirect,
            ticket_secret: settings.ticket_secret,
            client: WebClient::new()?,
            metadata: tokio::sync::Mutex::default(),
        })
    }

    /// The host of the issuer, to name it to users.
    #[must_use]
    pub fn issuer_host(&self) -> &str {
        self.issuer.url().host_str().unwrap_or_default()
    }

    /// Begins a sign-in.
    ///
    /// # Errors
    /// `UNAVAILABLE` if the issuer does not answer.
    pub async fn start(&self, now: Timestamp) -> Result<SignInStart> {
        let metadata = self.metadata().await?;
        let ticket = SignInTicket::new(now);
        let challenge = PkceCodeChallenge::from_code_verifier_sha256(&self.verifier(&ticket));
        let (state, nonce) = (ticket.state(&self.ticket_secret), ticket.nonce(&self.ticket_secret));
        let client = CoreClient::from_provider_metadata(metadata, self.client_id.clone(), None);
        let client = client.set_redirect_uri(self.redirect.clone());
        let (url, ..) = client
            .authorize_url(CoreAuthenticationFlow::AuthorizationCode, || CsrfToken::new(state), || Nonce::new(nonce))
            .add_scopes(["profile", "email"].map(|scope| Scope::new(scope.into())))
            .set_pkce_challenge(challenge)
            .url();
        check_address(url.as_str()).map_err(|error| unavailable("the address to sign in at is not secure", &error))?;
        Ok(SignInStart { url: url.into(), ticket: ticket.text(&self.ticket_secret) })
    }

    /// Finishes a sign-in: exchanges the code for an ID token, and verifies it. `ticket` is the text of the cookie, and
    /// `state` what the issuer has sent back.
    ///
    /// # Errors
    /// `UNAUTHENTICATED` if the browser has not begun this sign-in within ten minutes, or the issuer refuses the code, or
    /// the ID token is not valid. `UNAVAILABLE` if the issuer does not answer.
    pub async fn finish(&self, ticket: &str, state: &str, code: &str, now: Timestamp) -> Result<VerifiedToken> {
        let ticket = SignInTicket::parse(ticket, &self.ticket_secret, now).filter(|ticket| {
            // Texts of different browsers do not reveal anything about each other, so the time does not matter.
            ticket.state(&self.ticket_secret) == state && code.len() <= MAX_CODE_BYTES
        });
        let ticket = ticket.ok_or_else(|| {
            Error::Unauthenticated("this sign-in was not begun in this browser, or it took too long".into())
        })?;
        let id_token = self.exchange(code, self.verifier(&ticket)).await?;
        let nonce = ticket.nonce(&self.ticket_secret);
        let verified = self.issuers.verify_id_token(&id_token, self.client_id.as_str(), &nonce, now).await?;
        // Another trusted issuer must not sign users of this one in.
        if Some(verified.identity.issuer.as_str()) != self.issuers.first() {
            return Err(Error::Unauthenticated("the token is of another issuer".into()));
        }
        Ok(verified)
    }

    /// The ID token for an authorization code.
    async fn exchange(&self, code: &str, verifier: PkceCodeVerifier) -> Result<String> {
        let metadata = self.metadata().await?;
        let methods = metadata.token_endpoint_auth_methods_supported();
        let has = |method| methods.is_some_and(|methods| methods.contains(&method));
        let only_body = has(CoreClientAuthMethod::ClientSecretPost) && !has(CoreClientAuthMethod::ClientSecretBasic);
        let secret = self.client_secret.clone();
        let client = CoreClient::from_provider_metadata(metadata, self.client_id.clone(), secret)
            .set_redirect_uri(self.redirect.clone())
            .set_auth_type(if only_body { AuthType::RequestBody } else { AuthType::BasicAuth });
        let request = client.exchange_code(AuthorizationCode::new(code.to_owned()));
        let request = request.map_err(|error| unavailable("the issuer has no token endpoint", &error))?;
        let web = self.client.clone();
        let send = move |request: HttpRequest| {
            let web = web.clone();
            async move { web.send(request).await }
        };
        let response = request.set_pkce_verifier(verifier).request_async(&send).await.map_err(|error| {
            tracing::debug!(error = causes(&error), "the issuer refused an authorization code");
            Error::Unauthenticated("the issuer did not accept the sign-in".into())
        })?;
        let id_token = response.id_token().ok_or_else(|| {
            tracing::debug!("the issuer returned no ID token");
            Error::Unauthenticated("the issuer did not say who signed in".into())
        })?;
        Ok(id_token.to_string())
    }

    /// The discovery document of the issuer. One request at a time fetches it.
    async fn metadata(&self) -> Result<CoreProviderMetadata> {
        let busy = || Error::Unavailable("the issuer does not answer; try again later".into());
        let mut known = self.metadata.lock().await;
        match &*known {
            Some((at, Some(metadata))) if at.elapsed() < METADATA_AGE => return Ok(metadata.clone()),
            Some((at, None)) if at.elapsed() < RETRY => return Err(busy()),
            _ => {}
        }
        let web = self.client.clone();
        let send = move |request: HttpRequest| {
            let web = web.clone();
            async move { web.send(request).await }
        };
        let fetched = CoreProviderMetadata::discover_async(self.issuer.clone(), &send).await;
        let metadata = fetched.inspect_err(|error| {
            tracing::warn!(issuer = self.issuer.as_str(), error = causes(error), "users cannot sign in at the issuer");
        });
        *known = Some((Instant::now(), metadata.as_ref().ok().cloned()));
        metadata.map_err(|_| busy())
    }

    fn verifier(&self, ticket: &SignInTicket) -> PkceCodeVerifier {
        PkceCodeVerifier::new(ticket.verifier(&self.ticket_secret))
    }
}

fn unavailable(what: &str, error: &dyn fmt::Display) -> Error {
    tracing::warn!(%error, "{what}");
    Error::Unavailable("the issuer cannot be used to sign in".into())
}

/// The error and its causes. They contain neither the code nor the secret.
fn causes(error: &dyn std::error::Error) -> String {
    let mut texts = vec![error.to_string()];
    let mut cause = error.source();
    while let Some(error) = cause {
        texts.push(error.to_string());
        cause = error.source();
    }
    texts.join(": ")
}

impl fmt::Debug for CodeFlow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CodeFlow").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}
