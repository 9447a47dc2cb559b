//! The id of a request or an operation. It connects a response to the lines of the log, and to the logs of proxies.

use std::fmt;

use http::{HeaderMap, HeaderValue};

/// The header with the id, in requests and in responses.
pub const HEADER: &str = "x-request-id";
/// Maximum length of an id from a client, in bytes.
const MAX_BYTES: usize = 100;

/// An id of letters, digits and a few other ASCII characters that need no escaping in a header or in the log.
#[derive(Debug, Clone)]
pub struct RequestId(Box<str>);

impl RequestId {
    /// A random id.
    pub fn random() -> Self {
        Self(format!("{:016x}", rand::random::<u64>()).into())
    }

    /// The id that the client or a proxy has given to the request. A random one if there is none, or it is not valid.
    pub fn of_request(headers: &HeaderMap) -> Self {
        let mut ids = headers.get_all(HEADER).iter();
        let (Some(id), None) = (ids.next(), ids.next()) else { return Self::random() };
        match id.to_str() {
            Ok(id) if is_valid(id) => Self(id.into()),
            _ => Self::random(),
        }
    }

    /// The text of the id.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The value of the header for the response. `None` cannot occur, because an id has only characters of headers.
    pub fn to_header(&self) -> Option<HeaderValue> {
        HeaderValue::from_str(&self.0).ok()
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn is_valid(id: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:+/=".contains(&byte);
    (1..=MAX_BYTES).contains(&id.len()) && id.bytes().all(is_allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(values: &[&[u8]]) -> String {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(HEADER, HeaderValue::from_bytes(value).expect("a header value"));
        }
        RequestId::of_request(&headers).as_str().to_owned()
    }

    #[test]
    fn a_valid_id_is_taken_over_and_any_other_is_replaced() {
        for valid in ["a", "7f3a-11_b.c:d", "Zm9vYmFy+/=", &"x".repeat(MAX_BYTES)] {
            assert_eq!(id(&[valid.as_bytes()]), valid);
        }
        let too_long = "x".repeat(MAX_BYTES + 1);
        let invalid: [&[&[u8]]; 7] =
            [&[], &[b""], &[b"a b"], &[b"a\"b"], &["ü".as_bytes()], &[too_long.as_bytes()], &[b"a", b"b"]];
        for values in invalid {
            let made = id(values);
            assert!(made.len() == 16 && made.bytes().all(|byte| byte.is_ascii_hexdigit()), "{values:?}: {made}");
        }
        assert_ne!(id(&[]), id(&[]));
    }
}
