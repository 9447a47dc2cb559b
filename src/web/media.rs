//! Which media type the client of `/graphql` wants for its answer.

use http::header::{ACCEPT, HeaderMap};

use super::encoding::preferences;

/// The media types an answer may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Media {
    /// `application/graphql-response+json`: the status says whether the operation was executed.
    Response,
    /// `application/json`: 200 for whatever is a GraphQL response.
    Json,
    /// `text/event-stream`: what comes of the operation, as it comes.
    Events,
}

impl Media {
    /// What the client prefers; `None` if it wants none of them.
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

    /// The content type of an answer that comes in one piece: who wanted events gets one when there are none.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Response => "application/graphql-response+json; charset=utf-8",
            Self::Json | Self::Events => "application/json; charset=utf-8",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_client_chooses() {
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
}
