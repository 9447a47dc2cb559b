//! Sends requests to issuers over HTTP, within limits of time and size.

use std::fmt;
use std::time::Duration;

use http::{Request, Response, StatusCode, Uri};
use reqwest::redirect::Policy;

/// Maximum duration of a request, with its body.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Maximum duration of connecting.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// The largest answer to a request of the code flow, in bytes.
const MAX_ANSWER_BYTES: usize = 256 << 10;

/// Why a request has no answer: one line for the log.
#[derive(Debug)]
pub struct RequestError(String);

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for RequestError {}

/// A client for requests to issuers.
#[derive(Debug, Clone)]
pub struct WebClient(reqwest::Client);

impl WebClient {
    /// A client that follows no redirects: an issuer that is trusted must not pass this trust on to another host.
    ///
    /// # Errors
    /// One line for the operator if TLS cannot be set up, for example because the root certificates cannot be read.
    pub fn new() -> Result<Self, String> {
        let client = reqwest::Client::builder()
            .redirect(Policy::none())
            .timeout(TIMEOUT)
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_max_idle_per_host(1)
            .no_proxy()
            .build();
        Ok(Self(client.map_err(|error| format!("cannot prepare requests to issuers: {}", causes(&error)))?))
    }

    /// Sends a request of the code flow. The response may have any status.
    ///
    /// # Errors
    /// The address is not secure, or the server did not answer in time or with too many bytes.
    pub async fn send(&self, request: Request<Vec<u8>>) -> Result<Response<Vec<u8>>, RequestError> {
        let url = request.uri().to_string();
        check_address(&url).map_err(RequestError)?;
        let request = reqwest::Request::try_from(request).map_err(|error| RequestError(error.to_string()))?;
        let failed = |error: reqwest::Error| RequestError(format!("{url}: {}", causes(&error)));
        let mut response = self.0.execute(request).await.map_err(failed)?;
        let mut answer = Response::new(Vec::new());
        *answer.status_mut() = response.status();
        *answer.headers_mut() = std::mem::take(response.headers_mut());
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            if answer.body().len() + chunk.len() > MAX_ANSWER_BYTES {
                return Err(RequestError(format!("{url}: the answer has more than {MAX_ANSWER_BYTES} bytes")));
            }
            answer.body_mut().extend_from_slice(&chunk);
        }
        Ok(answer)
    }

    /// The body of the document at this address, which must have at most `max` bytes.
    ///
    /// # Errors
    /// One line for the log: the address is not secure, the server did not answer in time, with another status than 200,
    /// or with too many bytes.
    pub async fn get(&self, url: &str, max: usize) -> Result<Vec<u8>, String> {
        check_address(url)?;
        let failed = |error: reqwest::Error| format!("{url}: {}", causes(&error));
        let mut response = self.0.get(url).header("accept", "application/json").send().await.map_err(failed)?;
        if response.status() != StatusCode::OK {
            return Err(format!("{url}: the answer has the status {}, not 200", response.status().as_u16()));
        }
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            if body.len() + chunk.len() > max {
                return Err(format!("{url}: the answer has more than {max} bytes"));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }
}

/// Checks that the address is `https`, or `http` on this machine.
///
/// # Errors
/// One line for the operator.
pub fn check_address(url: &str) -> Result<(), String> {
    let uri: Uri = url.parse().map_err(|_| format!("'{url}' is not an address"))?;
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    let is_loopback = host.parse::<std::net::IpAddr>().map_or_else(
        |_| host.eq_ignore_ascii_case("localhost") || host.to_ascii_lowercase().ends_with(".localhost"),
        |address| address.is_loopback(),
    );
    match uri.scheme_str() {
        Some("https") if !host.is_empty() => Ok(()),
        Some("http") if is_loopback => Ok(()),
        _ => Err(format!("'{url}' must begin with https:// (http:// is allowed for this machine only)")),
    }
}

/// The error and its causes, without the address, which may contain a password.
fn causes(error: &reqwest::Error) -> String {
    let mut texts = vec![if error.is_timeout() { "no answer in time".to_owned() } else { "no answer".to_owned() }];
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        texts.push(error.to_string());
        cause = error.source();
    }
    texts.join(": ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_https_or_on_this_machine() {
        for good in ["https://id.example", "http://localhost:8080/realms/x", "http://127.0.0.1:1/", "http://[::1]:1/"] {
            assert_eq!(check_address(good), Ok(()), "{good}");
        }
        for bad in ["http://id.example", "http://localhost.example", "ftp://localhost", "id.example", "", "https://"] {
            assert!(check_address(bad).is_err(), "{bad}");
        }
    }
}
