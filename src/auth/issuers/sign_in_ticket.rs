//! The ticket that a browser keeps while its user signs in at an issuer.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac as _};
use sha2::Sha256;

use crate::model::Timestamp;

/// How long a user may take to sign in.
pub const TICKET_LIFETIME: Duration = Duration::from_secs(600);

/// A random text with an expiry. What the issuer gets to see is derived from it, and does not reveal it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignInTicket {
    random: String,
    expires_at: Timestamp,
}

impl SignInTicket {
    /// A new ticket.
    pub fn new(now: Timestamp) -> Self {
        let expires_at = Timestamp::from_seconds(now.after(TICKET_LIFETIME).seconds());
        Self { random: URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>()), expires_at }
    }

    /// The text of the ticket, which only this installation can make.
    pub fn text(&self, secret: &[u8]) -> String {
        format!("{}.{}.{}", self.random, self.expires_at.seconds(), self.derived(secret, "ticket"))
    }

    /// The ticket with this text, if this installation has made it and it has not expired.
    pub fn parse(text: &str, secret: &[u8], now: Timestamp) -> Option<Self> {
        let mut parts = text.split('.');
        let (random, seconds, tag) = (parts.next()?, parts.next()?, parts.next()?);
        let expires_at = Timestamp::from_seconds(seconds.parse().ok()?);
        let ticket = Self { random: random.to_owned(), expires_at };
        let tag = URL_SAFE_NO_PAD.decode(tag).ok()?;
        let is_ours = ticket.mac(secret, "ticket")?.verify_slice(&tag).is_ok();
        (is_ours && parts.next().is_none() && now < expires_at).then_some(ticket)
    }

    /// The parameter `state`, which the issuer sends back.
    pub fn state(&self, secret: &[u8]) -> String {
        self.derived(secret, "state")
    }

    /// The claim `nonce` of the ID token.
    pub fn nonce(&self, secret: &[u8]) -> String {
        self.derived(secret, "nonce")
    }

    /// The PKCE code verifier: 43 characters.
    pub fn verifier(&self, secret: &[u8]) -> String {
        self.derived(secret, "verifier")
    }

    fn derived(&self, secret: &[u8], purpose: &str) -> String {
        let bytes = self.mac(secret, purpose).map(|mac| mac.finalize().into_bytes());
        URL_SAFE_NO_PAD.encode(bytes.unwrap_or_default())
    }

    /// `None` for a key that HMAC does not accept. It accepts every length.
    fn mac(&self, secret: &[u8], purpose: &str) -> Option<Hmac<Sha256>> {
        let mut mac = Hmac::<Sha256>::new_from_slice(secret).ok()?;
        // The purpose keeps the texts apart from each other, and from the signatures of session tokens.
        mac.update(format!("tidings sign-in {purpose}\0{}\0{}", self.random, self.expires_at.seconds()).as_bytes());
        Some(mac)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_800_000_000_000_000);
    const SECRET: &[u8] = b"only for tests";

    #[test]
    fn a_ticket_is_parsed_until_it_expires() {
        let ticket = SignInTicket::new(NOW);
        let text = ticket.text(SECRET);
        assert_eq!(SignInTicket::parse(&text, SECRET, NOW), Some(ticket));
        assert_eq!(SignInTicket::parse(&text, SECRET, NOW.after(TICKET_LIFETIME)), None);
        assert_eq!(SignInTicket::parse(&text, b"another secret", NOW), None);
    }

    #[test]
    fn altered_tickets_are_refused() {
        let text = SignInTicket::new(NOW).text(SECRET);
        let [random, seconds, tag] = text.split('.').collect::<Vec<_>>().try_into().unwrap();
        let longer = seconds.parse::<i64>().unwrap() + 1;
        for altered in [
            format!("{random}x.{seconds}.{tag}"),
            format!("{random}.{longer}.{tag}"),
            format!("{random}.{seconds}.{}", &tag[1..]),
            format!("{random}.{seconds}."),
            format!("{random}.{seconds}"),
            format!("{text}.x"),
            String::new(),
        ] {
            assert_eq!(SignInTicket::parse(&altered, SECRET, NOW), None, "{altered}");
        }
    }

    #[test]
    fn the_derived_texts_differ_and_do_not_contain_the_ticket() {
        let ticket = SignInTicket::new(NOW);
        let all = [ticket.state(SECRET), ticket.nonce(SECRET), ticket.verifier(SECRET), ticket.text(SECRET)];
        for (index, text) in all.iter().enumerate() {
            assert!(all.iter().skip(index + 1).all(|other| !other.contains(text)));
        }
        assert_eq!(ticket.verifier(SECRET).len(), 43);
        assert_ne!(ticket.state(SECRET), SignInTicket::new(NOW).state(SECRET));
    }
}
