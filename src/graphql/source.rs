//! Access to the text of a document by juniper's positions, which count characters and not bytes.

use juniper::Span;

/// The text of a document, with the byte offsets of its characters.
pub struct SourceText<'t> {
    text: &'t str,
    /// The byte offset of each character. Empty if the text is ASCII, where both positions are equal.
    offsets: Vec<usize>,
}

impl<'t> SourceText<'t> {
    /// Computes the byte offsets of a text.
    #[must_use]
    pub fn new(text: &'t str) -> Self {
        let offsets = if text.is_ascii() { Vec::new() } else { text.char_indices().map(|(at, _)| at).collect() };
        Self { text, offsets }
    }

    /// The whole text.
    #[must_use]
    pub fn text(&self) -> &'t str {
        self.text
    }

    /// The byte offset of the character with this index, or the length of the text if there is no such character.
    #[must_use]
    pub fn byte(&self, index: usize) -> usize {
        if self.offsets.is_empty() {
            return index.min(self.text.len());
        }
        self.offsets.get(index).copied().unwrap_or(self.text.len())
    }

    /// The text of a span; empty if the span is not inside the text.
    #[must_use]
    pub fn of(&self, span: Span) -> &'t str {
        self.text.get(self.byte(span.start.index())..self.byte(span.end.index())).unwrap_or_default()
    }
}
