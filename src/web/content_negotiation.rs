//! Content negotiation (RFC 9110, section 12.5): which media type and which encoding a client prefers for a response.
//! `Accept` and `Accept-Encoding` share one parser of q-values.

use http::header::{ACCEPT, ACCEPT_ENCODING, HeaderMap, HeaderName};

/// The media types of a response to a GraphQL request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Media {
    /// `application/graphql-response+json`: the status says whether the operation was executed.
    Response,
    /// `application/json`: every GraphQL response has status 200.
    Json,
    /// `text/event-stream`: the results of the operation, each as soon as it is available.
    Events,
}

impl Media {
    /// The media type that the client prefers. A client without `Accept` gets JSON. `None`: the client accepts none of
    /// these types.
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        if !headers.contains_key(ACCEPT) {
            return Some(Self::Json);
        }
        let mut best: Option<(Self, f32)> = None;
        for (name, quality) in preferences(headers, &ACCEPT) {
            let media = match name.as_str() {
                "application/graphql-response+json" => Self::Response,
                "application/json" | "application/*" | "*/*" => Self::Json,
                "text/event-stream" => Self::Events,
                _ => continue,
            };
            if quality > best.map_or(0.0, |(_, best)| best) {
                best = Some((media, quality));
            }
        }
        best.map(|(media, _)| media)
    }

    /// The content type of a response that is not a stream. Clients that prefer `text/event-stream` get JSON if their
    /// request is rejected before a stream starts.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Response => "application/graphql-response+json; charset=utf-8",
            Self::Json | Self::Events => "application/json; charset=utf-8",
        }
    }
}

/// The encodings of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// `br`.
    Brotli,
    /// `gzip`.
    Gzip,
    /// `identity`: not compressed.
    Identity,
}

impl Encoding {
    /// All encodings, in order of preference: the first one wins if the client likes several equally.
    pub const ALL: [Self; 3] = [Self::Brotli, Self::Gzip, Self::Identity];

    /// The name in `Accept-Encoding` and `Content-Encoding`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Brotli => "br",
            Self::Gzip => "gzip",
            Self::Identity => "identity",
        }
    }

    /// The suffix of entity tags. Two encodings of one file are two representations, and a strong tag names one of them.
    pub fn tag_suffix(self) -> &'static str {
        match self {
            Self::Brotli => "-br",
            Self::Gzip => "-gzip",
            Self::Identity => "",
        }
    }
}

/// The client's preference for an encoding, from 0 (not acceptable) to 1. Without an entry of its own, `identity` is
/// acceptable, but every encoding with an entry is better.
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
        // Less than 0.001, the smallest q-value above 0.
        (None, Encoding::Identity) => 0.0005,
        (None, _) => 0.0,
    }
}

/// The elements of `Accept` or `Accept-Encoding`, in lower case, with their q-values.
pub fn preferences(headers: &HeaderMap, name: &HeaderName) -> impl Iterator<Item = (String, f32)> {
    list(headers, name).map(|element| {
        let (name, parameters) = element.split_once(';').unwrap_or((element, ""));
        (name.trim().to_ascii_lowercase(), quality(parameters))
    })
}

/// The q-value among the parameters of an element (`level=1;q=0.8`): 1 if there is none, and 0 if it is not a number from
/// 0 to 1.
fn quality(parameters: &str) -> f32 {
    let pairs = parameters.split(';').filter_map(|pair| pair.split_once('='));
    let Some((_, value)) = pairs.into_iter().find(|(name, _)| name.trim().eq_ignore_ascii_case("q")) else {
        return 1.0;
    };
    let quality = value.trim().parse().unwrap_or(0.0);
    if (0.0..=1.0).contains(&quality) { quality } else { 0.0 }
}

/// The elements of a comma-separated header, from all its lines. Lines that are not ASCII text are ignored.
pub fn list<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .filter(|element| !element.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_media_type_with_the_highest_quality_wins() {
        let of = |accept: &'static str| Media::of(&HeaderMap::from_iter([(ACCEPT, accept.parse().unwrap())]));
        for (accept, media) in [
            ("*/*", Some(Media::Json)),
            ("text/event-stream", Some(Media::Events)),
            ("text/event-stream, multipart/mixed", Some(Media::Events)),
            ("application/graphql-response+json, application/json, text/event-stream", Some(Media::Response)),
            ("application/json;q=0.5, text/event-stream;q=0.9", Some(Media::Events)),
            ("text/event-stream;q=0, application/*;q=0.1", Some(Media::Json)),
            ("text/event-stream;Q=0.2, application/json;q=0.5", Some(Media::Json)),
            ("application/json;charset=utf-8;q=0.1, text/event-stream;q=0.2", Some(Media::Events)),
            ("application/json;q=nonsense, text/event-stream;q=0.1", Some(Media::Events)),
            ("application/json;q=2", None),
            ("image/png", None),
        ] {
            assert_eq!(of(accept), media, "{accept}");
        }
        assert_eq!(Media::of(&HeaderMap::new()), Some(Media::Json));
    }

    #[test]
    fn accept_and_accept_encoding_read_q_values_alike() {
        for (parameters, expected) in [
            ("", 1.0),
            (";q=0.5", 0.5),
            ("; Q = 0.5", 0.5),
            (";level=1;q=0.25", 0.25),
            (";q=0", 0.0),
            (";q=nonsense", 0.0),
            (";q=", 0.0),
            (";q=2", 0.0),
            (";q=-1", 0.0),
            (";q=NaN", 0.0),
        ] {
            let headers = HeaderMap::from_iter([
                (ACCEPT, format!("text/event-stream{parameters}").parse().unwrap()),
                (ACCEPT_ENCODING, format!("gzip{parameters}").parse().unwrap()),
            ]);
            let media = Media::of(&headers);
            assert_eq!(media, (expected > 0.0).then_some(Media::Events), "{parameters}");
            assert!((weight(&headers, Encoding::Gzip) - expected).abs() < f32::EPSILON, "{parameters}");
        }
    }
}
