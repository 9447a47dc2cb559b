//! JSON Schemas (2020-12) that admins define for the data of application events.
//!
//! A schema is accepted only if checking is cheap for any data. Each value of the data is compared with a bounded number
//! of keywords, and the check descends a bounded number of calls. Without this, a schema of a few lines could keep a
//! thread busy for years, or overflow its stack.

mod cost;
mod references;
#[cfg(test)]
mod tests;

pub use references::referenced;

use std::fmt;

use jsonschema::{Draft, PatternOptions, Validator};
use serde_json::Value;

/// The longest schema, in bytes.
pub const MAX_SCHEMA: usize = 64 << 10;

/// The largest compiled pattern of a schema, in bytes.
const MAX_PATTERN: usize = 128 << 10;
/// The most patterns of a schema.
const MAX_PATTERNS: usize = 50;

/// The only version of JSON Schema, as the keyword `$schema` names it.
const VERSION: &str = "https://json-schema.org/draft/2020-12/schema";

/// The longest message about data that does not fit, in characters.
const MAX_MESSAGE: usize = 300;

/// A schema that was compiled.
pub struct JsonSchema {
    validator: Validator,
    /// The most steps that checking one value of the data takes.
    steps: usize,
    /// The most memory that the compiled patterns take, in bytes.
    pattern_memory: usize,
}

impl JsonSchema {
    /// Compiles a schema.
    ///
    /// # Errors
    /// A sentence for the client, if the text is not a JSON Schema of version 2020-12, refers to other documents, or
    /// could be expensive to check.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > MAX_SCHEMA {
            return Err(format!("the schema has {} bytes; at most {MAX_SCHEMA} are allowed", text.len()));
        }
        let schema: Value = serde_json::from_str(text).map_err(|error| format!("not a valid JSON value: {error}"))?;
        if !schema.is_object() && !schema.is_boolean() {
            return Err("a schema is a JSON object, true or false".into());
        }
        if schema
            .get("$schema")
            .is_some_and(|version| version.as_str().map(|text| text.trim_end_matches('#')) != Some(VERSION))
        {
            return Err(format!("$schema must be \"{VERSION}\""));
        }
        if let Err(error) = jsonschema::draft202012::meta::validate(&schema) {
            return Err(at(error.instance_path(), &error.masked()));
        }
        let patterns = count_patterns(&schema);
        if patterns > MAX_PATTERNS {
            return Err(format!("the schema has {patterns} patterns; at most {MAX_PATTERNS} are allowed"));
        }
        let (steps, pattern_memory) = (cost::steps_per_value(&schema)?, patterns * MAX_PATTERN);
        let patterns = PatternOptions::regex().size_limit(MAX_PATTERN).dfa_size_limit(MAX_PATTERN);
        let options = jsonschema::options().with_draft(Draft::Draft202012).with_pattern_options(patterns);
        let validator = options.build(&schema).map_err(|error| at(error.instance_path(), &error))?;
        Ok(Self { validator, steps, pattern_memory })
    }

    /// The most steps that checking data of this length takes.
    #[must_use]
    pub fn steps(&self, length: usize) -> usize {
        // Two values need at least a comma between them.
        self.steps.saturating_mul(length / 2 + 1)
    }

    /// The most memory that the compiled patterns take, in bytes.
    #[must_use]
    pub fn pattern_memory(&self) -> usize {
        self.pattern_memory
    }

    /// Checks that data fits the schema.
    ///
    /// # Errors
    /// A sentence for the client that names the first place that does not fit. It does not repeat the data.
    pub fn check(&self, data: &str) -> Result<(), String> {
        let data: Value = serde_json::from_str(data).map_err(|error| format!("not a valid JSON value: {error}"))?;
        self.validator.validate(&data).map_err(|error| at(error.instance_path(), &error.masked()))
    }
}

/// The number of patterns in all parts of a schema.
fn count_patterns(value: &Value) -> usize {
    match value {
        Value::Object(object) => cost::patterns_of(object) + object.values().map(count_patterns).sum::<usize>(),
        Value::Array(list) => list.iter().map(count_patterns).sum(),
        _ => 0,
    }
}

/// A message about one place, as a JSON pointer.
fn at(path: &impl fmt::Display, message: &impl fmt::Display) -> String {
    let (path, message) = (path.to_string(), message.to_string());
    let text = if path.is_empty() { message } else { format!("{path}: {message}") };
    match text.char_indices().nth(MAX_MESSAGE) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
