//! The cache of parsed operations.

use std::sync::Arc;

use super::complexity::OperationLimits;
use super::document::ParsedOperation;
use super::executable::Schemas;
use super::refusal::Rejection;
use crate::capacity::ByteCache;

/// Maximum number of documents in the cache.
const MAX_CACHED_DOCUMENTS: usize = 1_000;

/// Maximum weight of all cached documents, in bytes of text. An attacker can make the cache use some 50 MB of memory.
/// The documents of applications do not reach this limit.
const MAX_CACHE_WEIGHT: usize = 512 << 10;

/// Longer documents are not cached.
const MAX_CACHED_DOCUMENT_BYTES: usize = 16 << 10;

/// The text of a document and the name of an operation.
type CacheKey = (String, Option<String>);

/// A cache of parsed operations, bounded by their number and their weight.
pub struct DocumentCache(ByteCache<CacheKey, Arc<ParsedOperation>>);

impl Default for DocumentCache {
    fn default() -> Self {
        Self(ByteCache::new(MAX_CACHE_WEIGHT))
    }
}

impl DocumentCache {
    /// The operation with this name in this document, from the cache or newly parsed.
    ///
    /// # Errors
    /// `GRAPHQL_PARSE_FAILED` or `GRAPHQL_VALIDATION_FAILED` if the document is not valid, `QUERY_TOO_COMPLEX` if the
    /// document exceeds a limit, `BAD_USER_INPUT` if a text in it contains U+0000.
    pub fn operation(
        &self,
        schemas: &Schemas,
        limits: &OperationLimits,
        text: &str,
        name: Option<&str>,
    ) -> Result<Arc<ParsedOperation>, Rejection> {
        let key = (text.to_owned(), name.map(str::to_owned));
        if let Some(cached) = self.0.get(&key) {
            return Ok(cached);
        }
        let operation = Arc::new(ParsedOperation::parse(schemas, limits, text, name)?);
        if text.len() <= MAX_CACHED_DOCUMENT_BYTES {
            let weight = operation.weight().max(MAX_CACHE_WEIGHT / MAX_CACHED_DOCUMENTS);
            self.0.insert(key, Arc::clone(&operation), weight);
        }
        Ok(operation)
    }
}
