use std::time::Duration;

use super::*;
use crate::config::{DatabaseUrl, Registration};
use crate::model::ApiKeyId;

fn words(line: &str) -> Vec<OsString> {
    ["tidings"].into_iter().chain(line.split_whitespace()).map(OsString::from).collect()
}

/// Whatever the environment of the machine that runs the tests.
fn attempt(line: &str) -> Result<Invocation, InvalidArguments> {
    fn without_environment(command: clap::Command) -> clap::Command {
        command.mut_args(|arg| arg.env(None)).mut_subcommands(without_environment)
    }
    Invocation::parse_as(without_environment(clap_command()), &words(line))
}

fn parse(line: &str) -> Invocation {
    attempt(line).unwrap_or_else(|refusal| panic!("{line}: {refusal:?}"))
}

fn refused(line: &str) -> String {
    match attempt(line) {
        Err(InvalidArguments::Setting(line)) => line,
        other => panic!("{line}: {other:?}"),
    }
}

#[test]
fn serve_with_the_defaults_is_the_default_command() {
    let Invocation { command, config, .. } = parse("");
    assert_eq!(command, Command::Serve);
    assert_eq!(config, Config::default());
    assert_eq!(parse("serve").config, config);
}

#[test]
fn flags_without_a_command_serve() {
    for line in [
        "--listen 127.0.0.1:3001",
        "--listen=127.0.0.1:3001",
        "serve --listen 127.0.0.1:3001",
        "--listen 127.0.0.1:3001 serve",
    ] {
        let Invocation { command, config, .. } = parse(line);
        assert_eq!(command, Command::Serve, "{line}");
        assert_eq!(config.listen.port(), 3001, "{line}");
    }
}

#[test]
fn a_switch_may_stand_without_a_value() {
    for (line, is_set) in [
        ("--log-requests", true),
        ("--log-requests --listen 127.0.0.1:3001", true),
        ("serve --log-requests", true),
        ("--log-requests true serve", true),
        ("--log-requests=false", false),
        ("serve --log-requests no", false),
    ] {
        let Invocation { command, config, .. } = parse(line);
        assert_eq!((command, config.log_requests), (Command::Serve, is_set), "{line}");
    }
}

#[test]
fn a_database_before_or_after_any_command() {
    for line in [
        "--database-url sqlite://x.db user list",
        "user --database-url sqlite://x.db list",
        "user list --database-url sqlite://x.db",
        "--log=off --database-url=sqlite://x.db migrate",
        "demo --database-url sqlite://x.db",
        "key --database-url sqlite://x.db list",
        "token zowi --database-url sqlite://x.db",
        "tail --database-url sqlite://x.db --follow",
    ] {
        assert_eq!(*parse(line).config.database.url(), DatabaseUrl::Sqlite("x.db".into()), "{line}");
    }
}

#[test]
fn the_commands() {
    let add = |admin, password_stdin, display_name: Option<&str>| {
        let display_name = display_name.map(str::to_owned);
        Command::User(UserCommand::Add(NewAccount { name: "zowi".into(), admin, password_stdin, display_name }))
    };
    let invite = |admin, max_uses, seconds| {
        let valid_for = Duration::from_secs(seconds);
        Command::Invite(NewInvitation { admin, channels: Vec::new(), max_uses, valid_for })
    };
    let delete = |erase| Command::User(UserCommand::Delete { name: "zowi".into(), erase });
    let password = |password_stdin| Command::User(UserCommand::Password { name: "zowi".into(), password_stdin });
    let cursor: Cursor = "c2a-00000000000000ff".parse().unwrap();
    for (line, command) in [
        ("migrate", Command::Migrate),
        ("schema", Command::Schema),
        ("user add zowi", add(false, false, None)),
        ("user add zowi --admin --password-stdin", add(true, true, None)),
        ("user add --display-name Zowi zowi", add(false, false, Some("Zowi"))),
        ("user list", Command::User(UserCommand::List)),
        ("user disable zowi", Command::User(UserCommand::Disable("zowi".into()))),
        ("user enable zowi", Command::User(UserCommand::Enable("zowi".into()))),
        ("key list", Command::Key(KeyCommand::List)),
        ("key revoke 7", Command::Key(KeyCommand::Revoke(ApiKeyId(7)))),
        ("user password zowi", password(false)),
        ("user password zowi --password-stdin", password(true)),
        ("user reset-link zowi", Command::User(UserCommand::ResetLink("zowi".into()))),
        ("user delete zowi", delete(false)),
        ("user delete zowi --erase", delete(true)),
        ("token zowi", Command::Token { name: "zowi".into() }),
        ("invite", invite(false, 1, 7 * 86_400)),
        ("invite --admin --max-uses 3 --valid-for 1h", invite(true, 3, 3_600)),
        ("demo", Command::Demo),
        ("types --ts", Command::Types),
        ("tail", Command::Tail { after: None, follow: false }),
        ("tail --follow --after c2a-00000000000000ff", Command::Tail { after: Some(cursor), follow: true }),
    ] {
        assert_eq!(parse(line).command, command, "{line}");
    }
}

#[test]
fn every_kind_of_setting_arrives() {
    let config = parse(
        "--token-lifetime 90m --anonymous-read false --registration closed --log-retention 36h \
         --log-retention-events 5 --max-frame 64KiB --mutations-per-second 0 --trusted-proxies 10.0.0.0/8,::1 \
         --allowed-origins https://chat.example --metrics-token for-Prometheus-alone --log tidings=debug \
         --jwt-secret 0123456789abcdef0123456789abcdef",
    )
    .config;
    assert_eq!(config.tokens.token_lifetime, Duration::from_secs(5400));
    assert!(!config.sessions.anonymous_read);
    assert_eq!(config.sessions.registration, Registration::Closed);
    assert_eq!(config.tokens.secret.unwrap().reveal(), "0123456789abcdef0123456789abcdef");
    assert_eq!((config.retention.age, config.retention.events), (Duration::from_secs(129_600), 5));
    assert_eq!(config.sockets.max_frame_bytes, 65_536);
    assert_eq!(config.limits.mutations_per_second, 0);
    assert!(config.trusted_proxies.contain("10.9.9.9".parse().unwrap()));
    assert!(config.allowed_origins.allow("https://chat.example"));
    assert_eq!(config.metrics_token.unwrap().reveal(), "for-Prometheus-alone");
    assert_eq!(config.log.filter, "tidings=debug");
}

#[test]
fn a_bad_value_is_one_line_that_names_it() {
    for (line, said) in [
        ("--listen here", "--listen: 'here' is not an address and port like"),
        ("--max-cost=0", "--max-cost: '0' is not a whole number from 1 to 4294967295"),
        ("--log-retention 7", "--log-retention: '7' is not a duration like"),
        ("--registration maybe", "--registration: 'maybe' is not one of: open, closed"),
        ("--graphiql perhaps", "--graphiql: value was not a boolean"),
        ("--log tidings=loud", "--log: 'tidings=loud' is not a filter like"),
        ("--jwt-secret=", "--jwt-secret: is empty"),
        ("--database-url= migrate", "--database-url: is neither"),
        ("--database-read-url sqlite://x.db", "--database-read-url: is not postgres://"),
        ("--database-read-url postgres://h/x", "--database-read-url (TIDINGS_DATABASE_READ_URL): needs a PostgreSQL"),
        ("--jwt-secret hunter2", "--jwt-secret: has 7 bytes: give 32 or more"),
        ("--metrics-token hunter2", "--metrics-token: is too short"),
        ("--jwt-secret-file /nowhere", "--jwt-secret-file: /nowhere cannot be read"),
        ("--readers 1001", "--readers: '1001' is not a whole number from 1 to 1000"),
        ("--password-threads 100000", "--password-threads: '100000' is not a whole number from 1 to 256"),
        ("--max-connections 4294967295", "--max-connections: '4294967295' is not a whole number from 1 to 10000000"),
        ("--max-frame 1000", "--max-frame: '1000' is less than 1.0 KiB"),
        ("--ping-interval 1ms", "--ping-interval: '1ms' is less than 100ms"),
        ("--token-lifetime 999ms", "--token-lifetime: '999ms' is less than 1s"),
        ("tail --after x", "--after: 'x' is not a cursor"),
        ("--ping-interval 80s", "--silence-limit (TIDINGS_SILENCE_LIMIT): 1m 15s must be longer"),
    ] {
        let told = refused(line);
        assert!(told.starts_with(said), "{line}: {told}");
        assert!(!told.contains('\n'), "{told}");
    }
    assert!(!refused("--database-url mysql://root:hunter2@h/x").contains("hunter2"));
}

#[test]
fn postgres_asks_for_a_secret_where_tokens_are_made() {
    for line in ["serve", "token zowi", "demo"] {
        let line = format!("{line} --database-url postgres://h/x");
        assert!(refused(&line).starts_with("TIDINGS_JWT_SECRET: required"), "{line}");
        parse(&format!("{line} --jwt-secret 0123456789abcdef0123456789abcdef"));
    }
    parse("migrate --database-url postgres://h/x");
}

#[test]
fn slips_in_the_words_are_explained_by_clap() {
    for line in [
        "serv",
        "--lisen 127.0.0.1:1",
        "user",
        "token",
        "schema x",
        "--help",
        "--help serve",
        "user --help",
        "user --database-url sqlite://x",
        "--log off user --help",
        "serve --help",
        "--version",
    ] {
        assert!(matches!(attempt(line), Err(InvalidArguments::Usage(_))), "{line}");
    }
}

/// Calls `inspect` with each setting of `serve`.
fn each_setting(mut inspect: impl FnMut(&str, &clap::Arg)) {
    let command = clap_command();
    let serve = command.find_subcommand("serve").expect("the command");
    for setting in serve.get_arguments() {
        if let Some(flag) = setting.get_long().filter(|flag| *flag != "help") {
            inspect(flag, setting);
        }
    }
}

/// The variable of `--some-thing` is `TIDINGS_SOME_THING`.
#[test]
fn every_setting_has_the_variable_of_its_name() {
    each_setting(|flag, setting| {
        let prefix = if flag.starts_with("database-url") { "" } else { "TIDINGS_" };
        let expected = format!("{prefix}{}", flag.replace('-', "_").to_uppercase());
        let variable = setting.get_env().unwrap_or_else(|| panic!("--{flag} has no variable"));
        assert_eq!(variable.to_string_lossy(), expected);
        assert!(setting.get_help().is_some() && setting.get_help_heading().is_some(), "--{flag}");
    });
}

/// The tables of docs/operating.md have one row for each setting, in the order of `--help`.
#[test]
fn the_manual_lists_every_setting_with_its_section_variable_and_default() {
    let (mut section, mut documented) = ("", Vec::new());
    for line in include_str!("../../../docs/operating.md").lines() {
        if let Some(title) = line.strip_prefix("**").and_then(|line| line.strip_suffix("**")) {
            section = title;
        } else if line.starts_with("| `--") {
            let cells: Vec<&str> = line.split('|').map(|cell| cell.trim().trim_matches('`')).collect();
            documented.push([section, cells[1], cells[2], cells[3]].map(str::to_owned));
        }
    }
    let mut rows = documented.iter();
    each_setting(|flag, setting| {
        let row = rows.next().unwrap_or_else(|| panic!("docs/operating.md has no row for --{flag}"));
        let default = match setting.get_default_values() {
            // The manual and the text of `--help` describe this default in words.
            _ if setting.is_hide_default_value_set() => row[3].clone(),
            [] => row[3].clone(),
            [default, ..] => default.to_string_lossy().into_owned(),
        };
        let declared = [
            setting.get_help_heading().unwrap_or_default().to_owned(),
            format!("--{flag}"),
            setting.get_env().unwrap_or_default().to_string_lossy().into_owned(),
            default,
        ];
        assert_eq!(*row, declared);
        let is_described = setting.get_default_values().is_empty() || setting.is_hide_default_value_set();
        let help = setting.get_help().map(ToString::to_string).unwrap_or_default();
        assert!(!is_described || help.contains("[default") || flag.ends_with("-file"), "--{flag}: {help}");
    });
    assert_eq!(rows.next(), None, "a row of docs/operating.md is not a setting");
}

#[test]
fn clap_finds_nothing_wrong_with_it() {
    clap_command().debug_assert();
}
