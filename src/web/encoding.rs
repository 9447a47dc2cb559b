//! The encodings in which an answer can be sent, and which of them a client likes (RFC 9110, 12.5.3).

use http::header::{ACCEPT_ENCODING, HeaderMap, HeaderName};

/// In order of preference: the first wins when the client likes several equally.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// `br`.
    Brotli,
    /// `gzip`.
    Gzip,
    /// As it is.
    Identity,
}

impl Encoding {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Brotli, Self::Gzip, Self::Identity];

    /// As headers say it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Brotli => "br",
            Self::Gzip => "gzip",
            Self::Identity => "identity",
        }
    }

    /// Two encodings of one file are two representations, and a strong tag names one of them.
    pub fn tag_suffix(self) -> &'static str {
        match self {
            Self::Brotli => "-br",
            Self::Gzip => "-gzip",
            Self::Identity => "",
        }
    }
}

/// How much the client likes an encoding, from 0 (not at all) to 1 (RFC 9110, 12.5.3). Identity, when it is not
/// mentioned, is acceptable, but anything that is mentioned is better.
pub fn weight(headers: &HeaderMap, encoding: Encoding) -> f32 {
    let mut wildcard = None;
    for item in list(headers, &ACCEPT_ENCODING) {
        let (name, parameters) = item.split_once(';').unwrap_or((item, ""));
        let name = name.trim();
        if name.eq_ignore_ascii_case(encoding.name()) {
            return quality(parameters);
        }
        if name == "*" {
            wildcard = Some(quality(parameters));
        }
    }
    match (wildcard, encoding) {
        (Some(weight), _) => weight,
        // Below the smallest weight that can be written, 0.001.
        (None, Encoding::Identity) => 0.0005,
        (None, _) => 0.0,
    }
}

/// The number in `q=0.8`; without a `q` 1; what is not a number in range is 0, as if the encoding was refused.
fn quality(parameters: &str) -> f32 {
    let Some((name, value)) = parameters.split_once('=') else {
        return 1.0;
    };
    if !name.trim().eq_ignore_ascii_case("q") {
        return 1.0;
    }
    let quality = value.trim().parse().unwrap_or(0.0);
    if (0.0..=1.0).contains(&quality) { quality } else { 0.0 }
}

/// The elements of a comma-separated header that may come in several lines.
pub fn list<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .filter(|element| !element.is_empty())
}
