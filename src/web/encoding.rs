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
    for (name, weight) in preferences(headers, &ACCEPT_ENCODING) {
        if name == encoding.name() {
            return weight;
        }
        if name == "*" {
            wildcard = Some(weight);
        }
    }
    match (wildcard, encoding) {
        (Some(weight), _) => weight,
        // Below the smallest weight that can be written, 0.001.
        (None, Encoding::Identity) => 0.0005,
        (None, _) => 0.0,
    }
}

/// What a client likes, in lower case, and how much: the elements of `Accept` or `Accept-Encoding` with their weights.
pub fn preferences(headers: &HeaderMap, name: &HeaderName) -> impl Iterator<Item = (String, f32)> {
    list(headers, name).map(|element| {
        let (liked, parameters) = element.split_once(';').unwrap_or((element, ""));
        (liked.trim().to_ascii_lowercase(), quality(parameters))
    })
}

/// The number in `q=0.8`, which may stand among other parameters; without a `q` 1; what is not a number in range is 0, as
/// if it was refused.
fn quality(parameters: &str) -> f32 {
    let pairs = parameters.split(';').filter_map(|pair| pair.split_once('='));
    let Some((_, value)) = pairs.into_iter().find(|(name, _)| name.trim().eq_ignore_ascii_case("q")) else {
        return 1.0;
    };
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
