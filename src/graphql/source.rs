//! The text of a document by the places that juniper gives its parts: they count characters, not bytes.

use juniper::Span;

/// The text of a document.
pub struct Source<'t> {
    text: &'t str,
    /// The byte at which each character begins; empty if each is one byte.
    offsets: Vec<usize>,
}

impl<'t> Source<'t> {
    /// Of this text.
    #[must_use]
    pub fn new(text: &'t str) -> Self {
        let offsets = if text.is_ascii() { Vec::new() } else { text.char_indices().map(|(at, _)| at).collect() };
        Self { text, offsets }
    }

    /// All of it.
    #[must_use]
    pub fn text(&self) -> &'t str {
        self.text
    }

    /// The byte at which this character begins.
    #[must_use]
    pub fn byte(&self, index: usize) -> usize {
        if self.offsets.is_empty() {
            return index.min(self.text.len());
        }
        self.offsets.get(index).copied().unwrap_or(self.text.len())
    }

    /// The text of a part.
    #[must_use]
    pub fn of(&self, span: Span) -> &'t str {
        self.text.get(self.byte(span.start.index())..self.byte(span.end.index())).unwrap_or_default()
    }
}
