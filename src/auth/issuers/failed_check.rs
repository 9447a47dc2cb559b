//! The checks that a token of another issuer can fail.

use crate::model::labels;

labels! {
    /// The check that a token of another issuer has failed: the label `check` of a metric, and the field `check` of lines
    /// in the log.
    pub enum FailedCheck {
        Length = "length": "the token is longer than 16 KiB",
        Form = "form": "it is not three parts of base64url with JSON objects",
        Issuer = "issuer": "the claim iss is not in TIDINGS_OIDC_ISSUERS",
        IssuerSlash = "issuer_slash": "the claim iss differs from an issuer in TIDINGS_OIDC_ISSUERS by a slash at the end",
        Algorithm = "algorithm": "the algorithm is not RS, PS, ES or EdDSA, or the key of the issuer is not for it",
        Critical = "crit": "the header has the extension crit",
        Type = "type": "the header typ is not JWT or at+jwt",
        KeyId = "key_id": "the issuer has no key with the kid of the token",
        NoKeyId = "no_key_id": "the token has no kid, and several keys of the issuer fit",
        NoKeys = "no_keys": "the keys of the issuer could not be fetched yet",
        Signature = "signature": "the signature does not fit the key of the issuer",
        Audience = "audience": "the claim aud does not contain TIDINGS_OIDC_AUDIENCE",
        Expiry = "expiry": "the claim exp is missing or in the past",
        NotBefore = "not_before": "the claim nbf is in the future",
        IssuedAt = "issued_at": "the claim iat is in the future, or no number",
        Subject = "subject": "the claim sub is missing, empty, or longer than 1,000 bytes",
        Nonce = "nonce": "the claim nonce is not that of the sign-in, or the claim azp names another client",
    }
}
