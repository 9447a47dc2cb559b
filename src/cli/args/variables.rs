//! Variables of the environment that look like settings and are none: a mistyped name would be passed over in silence.

use std::ffi::OsString;

/// How many letters may be wrong, missing, too many or swapped in a name that is still meant to be another: one, and one
/// more for each so many of its letters.
const LETTERS_PER_SLIP: usize = 5;
/// The same for names without our prefix, which other programs may have a use for.
const SLIPS_ELSEWHERE: usize = 2;
const PREFIX: &str = "TIDINGS_";
/// What the project's own tests are told.
const OF_TESTS: [&str; 6] =
    ["TIDINGS_TEST_", "TIDINGS_TORTURE", "TIDINGS_CLUSTER_", "TIDINGS_CLIENTS_", "TIDINGS_SIEGE", "TIDINGS_CROWD"];

/// What to say of the variables of an environment, of which these are settings.
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
        .filter(|(name, value)| !settings.contains(name) && !is_of_others(name, value))
        .filter_map(|(name, _)| warning(name, settings, has_database))
        .collect();
    warnings.sort();
    Ok(warnings)
}

fn warning(name: &str, settings: &[String], has_database: bool) -> Option<String> {
    let nearest = settings.iter().map(|setting| (strsim::damerau_levenshtein(name, setting), setting)).min();
    let is_ours = name.starts_with(PREFIX);
    let allowed = 1 + name.len().saturating_sub(PREFIX.len()) / LETTERS_PER_SLIP;
    match nearest {
        Some((slips, setting)) if is_ours && slips <= allowed => {
            Some(format!("{name} is no setting and does nothing: did you mean {setting}?"))
        }
        Some((slips, setting)) if slips <= SLIPS_ELSEWHERE && !(setting.starts_with("DATABASE_") && has_database) => {
            Some(format!("{name} is no setting and does nothing: did you mean {setting}?"))
        }
        _ if is_ours => Some(format!("{name} is no setting and does nothing: `tidings serve --help` lists them")),
        _ => None,
    }
}

/// Kubernetes describes a service named `tidings` to every container: `TIDINGS_SERVICE_HOST=10.0.0.1`,
/// `TIDINGS_PORT=tcp://10.0.0.1:8000`, `TIDINGS_PORT_8000_TCP_ADDR=10.0.0.1`.
fn is_of_others(name: &str, value: &str) -> bool {
    let is_link = name.ends_with("_PORT") && (value.starts_with("tcp://") || value.starts_with("udp://"));
    let is_port = name.split("_PORT_").nth(1).is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    let is_service = name.ends_with("_SERVICE_HOST") || name.contains("_SERVICE_PORT");
    is_link || is_port || is_service || OF_TESTS.iter().any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(variables: &[(&str, &str)]) -> Vec<String> {
        let settings = ["DATABASE_URL", "TIDINGS_LISTEN", "TIDINGS_LOG", "TIDINGS_MAX_BODY"].map(str::to_owned);
        check(variables.iter().map(|(name, value)| (name.into(), value.into())), &settings).unwrap()
    }

    #[test]
    fn a_mistyped_name_is_told_the_nearest_one() {
        for (typed, meant) in [
            ("TIDINGS_LISTN", "TIDINGS_LISTEN"),
            ("TIDINGS_LSITEN", "TIDINGS_LISTEN"),
            ("TIDINGS_MAXBODY", "TIDINGS_MAX_BODY"),
            ("TIDING_LOG", "TIDINGS_LOG"),
            ("DATABSE_URL", "DATABASE_URL"),
        ] {
            let said = checked(&[(typed, "x")]);
            assert_eq!(said, [format!("{typed} is no setting and does nothing: did you mean {meant}?")]);
        }
        assert!(checked(&[("TIDINGS_COLOUR_OF_PAGE", "red")])[0].contains("tidings serve --help"));
        assert!(checked(&[("TIDINGS_PORT", "9000")])[0].starts_with("TIDINGS_PORT is no setting"));
    }

    #[test]
    fn settings_and_what_others_set_are_left_alone() {
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
    fn a_value_that_is_no_text_names_its_variable() {
        use std::os::unix::ffi::OsStringExt as _;
        let variables = [(OsString::from("TIDINGS_LOG"), OsString::from_vec(vec![0xff]))];
        let refusal = check(variables.into_iter(), &["TIDINGS_LOG".into()]).unwrap_err();
        assert_eq!(refusal, "TIDINGS_LOG: is not UTF-8 text");
    }
}
