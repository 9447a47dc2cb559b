//! Warnings for environment variables that look like settings but are not. Without a warning, a misspelled name would be
//! ignored.

use std::ffi::OsString;

/// A variable with our prefix is taken for a misspelled setting if it differs by at most one edit (a wrong, missing, extra
/// or swapped letter), plus one for each this many letters.
const LETTERS_PER_EDIT: usize = 5;
/// The maximum number of edits for names without our prefix, which other programs may use.
const EDITS_WITHOUT_PREFIX: usize = 2;
const PREFIX: &str = "TIDINGS_";
/// Prefixes of the variables that configure the project's tests and benchmarks.
const TEST_PREFIXES: [&str; 7] = [
    "TIDINGS_BENCH_",
    "TIDINGS_TEST_",
    "TIDINGS_TORTURE",
    "TIDINGS_CLUSTER_",
    "TIDINGS_CLIENTS_",
    "TIDINGS_SIEGE",
    "TIDINGS_CONNECTIONS",
];

/// Returns a warning for each variable of `environment` that looks like one of `settings` but is not.
///
/// # Errors
/// One line if a setting's value is not UTF-8.
pub(super) fn check(
    environment: impl Iterator<Item = (OsString, OsString)>,
    settings: &[String],
) -> Result<Vec<String>, String> {
    let mut variables = Vec::new();
    for (name, value) in environment {
        let Some(name) = name.to_str().map(str::to_owned) else { continue };
        let value = value.into_string();
        if value.is_err() && settings.contains(&name) {
            return Err(format!("{name}: is not UTF-8 text"));
        }
        variables.push((name, value.unwrap_or_default()));
    }
    let has_database = variables.iter().any(|(name, _)| name == "DATABASE_URL" || name == "DATABASE_URL_FILE");
    let mut warnings: Vec<String> = variables
        .iter()
        .filter(|(name, value)| !settings.contains(name) && !is_foreign(name, value))
        .filter_map(|(name, _)| warning(name, settings, has_database))
        .collect();
    warnings.sort();
    Ok(warnings)
}

fn warning(name: &str, settings: &[String], has_database: bool) -> Option<String> {
    let nearest = settings.iter().map(|setting| (strsim::damerau_levenshtein(name, setting), setting)).min();
    let is_ours = name.starts_with(PREFIX);
    let allowed = 1 + name.len().saturating_sub(PREFIX.len()) / LETTERS_PER_EDIT;
    match nearest {
        Some((edits, setting)) if is_ours && edits <= allowed => {
            Some(format!("{name} is no setting and does nothing: did you mean {setting}?"))
        }
        Some((edits, setting))
            if edits <= EDITS_WITHOUT_PREFIX && !(setting.starts_with("DATABASE_") && has_database) =>
        {
            Some(format!("{name} is no setting and does nothing: did you mean {setting}?"))
        }
        _ if is_ours => Some(format!("{name} is no setting and does nothing: `tidings serve --help` lists them")),
        _ => None,
    }
}

/// Whether another program set the variable. Kubernetes describes a service named `tidings` to every container: `TIDINGS_SERVICE_HOST=10.0.0.1`,
/// `TIDINGS_PORT=tcp://10.0.0.1:8000`, `TIDINGS_PORT_8000_TCP_ADDR=10.0.0.1`.
fn is_foreign(name: &str, value: &str) -> bool {
    let is_link = name.ends_with("_PORT") && (value.starts_with("tcp://") || value.starts_with("udp://"));
    let is_port = name.split("_PORT_").nth(1).is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    let is_service = name.ends_with("_SERVICE_HOST") || name.contains("_SERVICE_PORT");
    is_link || is_port || is_service || TEST_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(variables: &[(&str, &str)]) -> Vec<String> {
        let settings = ["DATABASE_URL", "TIDINGS_LISTEN", "TIDINGS_LOG", "TIDINGS_MAX_BODY"].map(str::to_owned);
        check(variables.iter().map(|(name, value)| (name.into(), value.into())), &settings).unwrap()
    }

    #[test]
    fn the_warning_for_a_misspelled_name_has_the_nearest_setting() {
        for (misspelled, setting) in [
            ("TIDINGS_LISTN", "TIDINGS_LISTEN"),
            ("TIDINGS_LSITEN", "TIDINGS_LISTEN"),
            ("TIDINGS_MAXBODY", "TIDINGS_MAX_BODY"),
            ("TIDING_LOG", "TIDINGS_LOG"),
            ("DATABSE_URL", "DATABASE_URL"),
        ] {
            let warnings = checked(&[(misspelled, "x")]);
            assert_eq!(warnings, [format!("{misspelled} is no setting and does nothing: did you mean {setting}?")]);
        }
        assert!(checked(&[("TIDINGS_COLOUR_OF_PAGE", "red")])[0].contains("tidings serve --help"));
        assert!(checked(&[("TIDINGS_PORT", "9000")])[0].starts_with("TIDINGS_PORT is no setting"));
    }

    #[test]
    fn settings_and_variables_of_other_programs_get_no_warning() {
        for fine in [
            ("TIDINGS_LISTEN", "127.0.0.1:1"),
            ("TIDINGS_PORT", "tcp://10.0.0.1:8000"),
            ("TIDINGS_PORT_8000_TCP_ADDR", "10.0.0.1"),
            ("TIDINGS_SERVICE_HOST", "10.0.0.1"),
            ("TIDINGS_WEB_SERVICE_PORT_HTTP", "8000"),
            ("TIDINGS_TEST_DATABASE", "postgres"),
            ("PATH", "/bin"),
        ] {
            assert_eq!(checked(&[fine]), [""; 0], "{fine:?}");
        }
        assert_eq!(checked(&[("DATABASE_URL", "x"), ("DATABASE_URI", "y")]), [""; 0], "another program's");
    }

    #[test]
    #[cfg(unix)]
    fn the_error_for_a_value_that_is_not_utf8_names_its_variable() {
        use std::os::unix::ffi::OsStringExt as _;
        let variables = [(OsString::from("TIDINGS_LOG"), OsString::from_vec(vec![0xff]))];
        let refusal = check(variables.into_iter(), &["TIDINGS_LOG".into()]).unwrap_err();
        assert_eq!(refusal, "TIDINGS_LOG: is not UTF-8 text");
    }
}
