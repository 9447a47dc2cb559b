//! The settings of the commands that open the database.

use clap::Args;

use crate::config::{Config, Database, LogSettings, TokenSettings};

/// The settings of every command that opens the database.
#[derive(Debug, Args)]
pub(super) struct Place {
    #[command(flatten)]
    database: Database,
    #[command(flatten)]
    log: LogSettings,
}

impl Place {
    pub(super) fn into_config(self) -> Config {
        Config { database: self.database, log: self.log, ..Config::default() }
    }

    /// # Errors
    /// One line, if the tokens cannot be signed with these settings.
    pub(super) fn into_config_with(self, tokens: TokenSettings) -> Result<Config, String> {
        tokens.check(&self.database)?;
        Ok(Config { tokens, ..self.into_config() })
    }
}
