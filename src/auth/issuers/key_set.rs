//! The public keys of an issuer (JWK Set, RFC 7517).

use std::ops::RangeInclusive;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde_json::Value;

use super::failed_check::FailedCheck;

/// The most keys of an issuer. Large providers have about ten.
const MAX_KEYS: usize = 100;
/// The size of the modulus of an RSA key: 2048 to 4096 bits. A smaller key is not safe, and a larger one is slow.
const RSA_BYTES: RangeInclusive<usize> = 256..=512;

const RSA: [Algorithm; 6] =
    [Algorithm::RS256, Algorithm::RS384, Algorithm::RS512, Algorithm::PS256, Algorithm::PS384, Algorithm::PS512];

/// The public keys of an issuer that can verify tokens.
#[derive(Debug)]
pub struct KeySet(Vec<PublicKey>);

/// A public key, with the algorithms that it may be used for.
#[derive(Debug)]
pub struct PublicKey {
    id: Option<String>,
    algorithms: Vec<Algorithm>,
    /// The key itself.
    pub key: DecodingKey,
}

#[derive(Deserialize)]
struct Document {
    keys: Vec<Value>,
}

impl KeySet {
    /// Parses a JWK Set. Leaves out keys that cannot verify tokens here: symmetric keys, keys for encryption, and keys of
    /// unknown types.
    ///
    /// # Errors
    /// One line for the log if the text is not a JWK Set, has too many keys, or no key that can be used.
    pub fn parse(json: &[u8]) -> Result<Self, String> {
        let document: Document = serde_json::from_slice(json).map_err(|error| format!("not a JWK Set: {error}"))?;
        if document.keys.len() > MAX_KEYS {
            return Err(format!("the JWK Set has more than {MAX_KEYS} keys"));
        }
        let parsed = document.keys.into_iter().filter_map(|key| serde_json::from_value::<Jwk>(key).ok());
        let keys: Vec<_> = parsed.filter_map(|jwk| PublicKey::of(&jwk)).collect();
        if keys.is_empty() {
            return Err("the JWK Set has no RSA, EC (P-256, P-384) or Ed25519 key for signatures".into());
        }
        Ok(Self(keys))
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The key that a token with this `kid` and algorithm must be verified with.
    ///
    /// # Errors
    /// The check that failed.
    pub fn find(&self, id: Option<&str>, algorithm: Algorithm) -> Result<&PublicKey, FailedCheck> {
        let fits = |key: &&PublicKey| key.algorithms.contains(&algorithm);
        if id.is_some() {
            let mut named = self.0.iter().filter(|key| key.id.as_deref() == id).peekable();
            named.peek().ok_or(FailedCheck::KeyId)?;
            return named.find(fits).ok_or(FailedCheck::Algorithm);
        }
        let mut fitting = self.0.iter().filter(fits);
        match (fitting.next(), fitting.next()) {
            (Some(key), None) => Ok(key),
            (Some(_), Some(_)) => Err(FailedCheck::NoKeyId),
            (None, _) => Err(FailedCheck::Algorithm),
        }
    }
}

impl PublicKey {
    fn of(jwk: &Jwk) -> Option<Self> {
        let common = &jwk.common;
        let is_for_signatures = common.public_key_use.as_ref().is_none_or(|name| *name == PublicKeyUse::Signature);
        let verifies =
            common.key_operations.as_ref().is_none_or(|operations| operations.contains(&KeyOperations::Verify));
        if !is_for_signatures || !verifies {
            return None;
        }
        let possible: &[Algorithm] = match &jwk.algorithm {
            AlgorithmParameters::RSA(rsa) if has_safe_size(&rsa.n) => &RSA,
            AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => &[Algorithm::ES256],
            AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P384 => &[Algorithm::ES384],
            AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => &[Algorithm::EdDSA],
            _ => return None,
        };
        let is_allowed = |algorithm: &Algorithm| common.key_algorithm.is_none_or(|name| name == (*algorithm).into());
        let algorithms: Vec<_> = possible.iter().copied().filter(is_allowed).collect();
        let key = DecodingKey::from_jwk(jwk).ok().filter(|_| !algorithms.is_empty())?;
        Some(Self { id: common.key_id.clone(), algorithms, key })
    }
}

fn has_safe_size(modulus: &str) -> bool {
    let bytes = URL_SAFE_NO_PAD.decode(modulus).unwrap_or_default();
    let leading_zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    RSA_BYTES.contains(&(bytes.len() - leading_zeros))
}

/// The algorithm with this name in the header of a token, if tokens of other issuers may have it.
pub fn algorithm(name: &str) -> Option<Algorithm> {
    let all = RSA.into_iter().chain([Algorithm::ES256, Algorithm::ES384, Algorithm::EdDSA]);
    all.into_iter().find(|algorithm| KeyAlgorithm::from(*algorithm).to_string() == name)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rsa(bytes: usize) -> Value {
        json!({ "kty": "RSA", "kid": "r", "n": URL_SAFE_NO_PAD.encode(vec![0xff; bytes]), "e": "AQAB" })
    }

    fn ec(id: &str) -> Value {
        let half = URL_SAFE_NO_PAD.encode([7_u8; 32]);
        json!({ "kty": "EC", "crv": "P-256", "kid": id, "x": half, "y": half })
    }

    fn with(mut key: Value, name: &str, value: Value) -> Value {
        key[name] = value;
        key
    }

    fn set(keys: &[Value]) -> Result<KeySet, String> {
        KeySet::parse(json!({ "keys": keys }).to_string().as_bytes())
    }

    #[test]
    fn the_key_decides_about_the_algorithm() {
        let keys = set(&[rsa(256), ec("e"), with(rsa(256), "kid", json!("p"))]).unwrap();
        assert!(keys.find(Some("r"), Algorithm::RS256).is_ok() && keys.find(Some("r"), Algorithm::PS512).is_ok());
        for (id, algorithm) in [("r", Algorithm::ES256), ("e", Algorithm::RS256), ("e", Algorithm::ES384)] {
            assert_eq!(keys.find(Some(id), algorithm).err(), Some(FailedCheck::Algorithm), "{id} {algorithm:?}");
        }
        let limited = set(&[with(rsa(256), "alg", json!("PS256"))]).unwrap();
        assert!(limited.find(Some("r"), Algorithm::PS256).is_ok());
        assert_eq!(limited.find(Some("r"), Algorithm::RS256).err(), Some(FailedCheck::Algorithm));
    }

    #[test]
    fn a_token_without_key_id_needs_exactly_one_key_that_fits() {
        let keys = set(&[rsa(256), ec("a"), ec("b")]).unwrap();
        assert!(keys.find(None, Algorithm::RS256).is_ok());
        assert_eq!(keys.find(None, Algorithm::ES256).err(), Some(FailedCheck::NoKeyId));
        assert_eq!(keys.find(None, Algorithm::EdDSA).err(), Some(FailedCheck::Algorithm));
        for unknown in ["", "R", "../r", "r "] {
            assert_eq!(keys.find(Some(unknown), Algorithm::RS256).err(), Some(FailedCheck::KeyId), "{unknown}");
        }
    }

    #[test]
    fn keys_that_cannot_verify_are_left_out() {
        let symmetric = json!({ "kty": "oct", "kid": "s", "k": "c2VjcmV0" });
        let montgomery = json!({ "kty": "OKP", "crv": "X25519", "kid": "x", "x": "AAAA" });
        let unknown = json!({ "kty": "AKP", "kid": "u" });
        let encryption = with(rsa(256), "use", json!("enc"));
        let signing = with(rsa(256), "key_ops", json!(["sign"]));
        for key in [symmetric, montgomery, unknown, encryption, signing, rsa(128), rsa(1024), json!(7)] {
            assert!(set(std::slice::from_ref(&key)).is_err(), "{key}");
            assert_eq!(set(&[key, ec("e")]).unwrap().len(), 1);
        }
    }

    #[test]
    fn texts_that_are_no_key_sets_are_refused() {
        let many: Vec<_> = (0..=MAX_KEYS).map(|number| ec(&number.to_string())).collect();
        assert!(set(&many).unwrap_err().contains("more than 100"));
        for text in ["", "[]", "{}", r#"{"keys":{}}"#, r#"{"keys":[]}"#] {
            assert!(KeySet::parse(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn symmetric_algorithms_and_none_have_no_name_here() {
        for name in ["HS256", "HS384", "HS512", "none", "None", "", "rs256", "ES512", "RSA-OAEP"] {
            assert_eq!(algorithm(name), None, "{name}");
        }
        for name in ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"] {
            assert!(algorithm(name).is_some(), "{name}");
        }
    }
}
