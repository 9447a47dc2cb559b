//! Validation of log filters (`TIDINGS_LOG`). `EnvFilter` takes any unknown word for a module name, so the typing error
//! `inof` would silently disable the log. This module rejects such words first.

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

/// The filter if the operator sets none.
pub const DEFAULT: &str = "info";

/// The crates that write log lines, as log targets name them.
const CRATES: [&str; 9] =
    ["tidings", "h2", "hyper", "hyper_util", "r2d2", "tokio_postgres", "tokio_tungstenite", "tungstenite", "warp"];
/// The modules of this crate. A test compares them with `lib.rs`.
const MODULES: [&str; 15] = [
    "app",
    "auth",
    "board",
    "capacity",
    "cli",
    "config",
    "error",
    "graphql",
    "hub",
    "live",
    "model",
    "store",
    "supervisor",
    "unicode",
    "web",
];

/// Checks a filter and removes its blanks. An empty filter means the default.
///
/// # Errors
/// One sentence that quotes the first directive that is not valid.
pub fn parse(text: &str) -> Result<String, String> {
    let directives: Vec<&str> = text.split(',').map(str::trim).filter(|directive| !directive.is_empty()).collect();
    if directives.is_empty() {
        return Ok(DEFAULT.into());
    }
    let filter = directives.join(",");
    if EnvFilter::builder().parse(&filter).is_err() || directives.iter().any(|directive| directive.ends_with('=')) {
        return Err(format!("'{text}' is not a filter like off, info or info,tidings=debug"));
    }
    let is_valid = |directive: &&&str| directive.contains(['=', '[']) || is_level(directive) || is_known(directive);
    match directives.iter().find(|directive| !is_valid(directive)) {
        Some(word) => Err(format!("'{word}' is not a log level: use off, error, warn, info, debug or trace")),
        None => Ok(filter),
    }
}

/// One warning for each target in the filter that the program does not have.
pub fn unknown_targets(filter: &str) -> Vec<String> {
    let targets = filter.split(',').filter_map(|directive| {
        let (target, _) = directive.split_once(['=', '['])?;
        (!target.is_empty() && !is_known(target)).then_some(target)
    });
    targets
        .map(|target| format!("TIDINGS_LOG: the program has no module {target:?}, so nothing is logged for it"))
        .collect()
}

fn is_level(word: &str) -> bool {
    word.parse::<LevelFilter>().is_ok()
}

/// Whether the program writes log lines whose target begins with `target`. A directive applies to all targets with its
/// prefix.
fn is_known(target: &str) -> bool {
    let mut modules = MODULES.iter();
    match target.split_once("::") {
        None => CRATES.iter().any(|name| name.starts_with(target)),
        Some(("tidings", rest)) => match rest.split_once("::") {
            None => modules.any(|name| name.starts_with(rest)),
            Some((module, _)) => modules.any(|name| *name == module),
        },
        Some((name, _)) => CRATES.contains(&name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_and_known_targets_are_accepted() {
        for (text, filter) in [
            ("info", "info"),
            ("OFF", "OFF"),
            ("info,tidings=debug", "info,tidings=debug"),
            (" warn , tidings::web::socket=trace,", "warn,tidings::web::socket=trace"),
            ("tidings", "tidings"),
            ("tidings::web", "tidings::web"),
            ("3", "3"),
            ("[request{path}]=debug", "[request{path}]=debug"),
            ("", "info"),
            (" ,", "info"),
        ] {
            assert_eq!(parse(text).as_deref(), Ok(filter), "{text:?}");
            assert_eq!(unknown_targets(filter), Vec::<String>::new(), "{text:?}");
        }
    }

    #[test]
    fn words_that_are_no_level_and_invalid_directives_are_refused() {
        for (text, why) in [
            ("inof", "'inof' is not a log level"),
            ("info,debgu", "'debgu' is not a log level"),
            ("info, wran", "'wran' is not a log level"),
            ("tidings::wbe", "'tidings::wbe' is not a log level"),
            ("tidings=loud", "'tidings=loud' is not a filter like"),
            ("info,tidings=", "'info,tidings=' is not a filter like"),
            ("tidings=debug=info", "'tidings=debug=info' is not a filter like"),
            ("tidings[=debug", "'tidings[=debug' is not a filter like"),
        ] {
            let refusal = parse(text).expect_err(text);
            assert!(refusal.starts_with(why), "{text:?}: {refusal}");
        }
    }

    #[test]
    fn unknown_targets_cause_a_warning() {
        for (filter, unknown) in [
            ("info,tidngs=debug", "tidngs"),
            ("tidings::sotre=debug", "tidings::sotre"),
            ("tidings::wbe::socket=debug", "tidings::wbe::socket"),
            ("hypr[span]=debug", "hypr"),
        ] {
            assert_eq!(parse(filter).as_deref(), Ok(filter), "{filter}");
            let warnings = unknown_targets(filter);
            assert!(warnings.len() == 1 && warnings[0].contains(&format!("{unknown:?}")), "{filter}: {warnings:?}");
        }
    }

    #[test]
    fn the_modules_are_those_of_lib_rs() {
        let source = include_str!("../lib.rs");
        let modules = source.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'));
        assert_eq!(modules.collect::<Vec<_>>(), MODULES);
    }
}
