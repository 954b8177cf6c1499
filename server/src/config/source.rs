//! All settings of one start, with the place each comes from, and the typed questions asked of them.

use super::error::ConfigError;
use crate::properties;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Setting {
    pub(super) key: String,
    pub(super) value: String,
    pub(super) place: String,
}

impl Setting {
    /// An error about this setting.
    pub(super) fn wrong(&self, problem: impl Into<String>) -> ConfigError {
        ConfigError::Key {
            place: self.place.clone(),
            key: self.key.clone(),
            problem: problem.into(),
        }
    }
}

/// The settings, by their key without `zookeeper.`. Asking for one marks it as understood; what is
/// left at the end is warned about.
#[derive(Debug)]
pub(super) struct Settings {
    file: PathBuf,
    by_key: BTreeMap<String, (Setting, bool)>,
    pub(super) warnings: Vec<String>,
}

/// `zookeeper.x` and `x` are one key: Java reads `x` of zoo.cfg as the property `zookeeper.x`.
fn plain(key: &str) -> &str {
    key.strip_prefix("zookeeper.").unwrap_or(key)
}

impl Settings {
    /// The settings of `file` over those of the command line: in Java, a key of zoo.cfg overrides
    /// the system property of its name.
    pub(super) fn read(file: &Path, overrides: &[(String, String)]) -> Result<Self, ConfigError> {
        let bytes = read_file(file)?;
        Self::of(file, &bytes, overrides)
    }

    pub(super) fn of(
        file: &Path,
        bytes: &[u8],
        overrides: &[(String, String)],
    ) -> Result<Self, ConfigError> {
        let mut settings = Settings {
            file: file.to_owned(),
            by_key: BTreeMap::new(),
            warnings: Vec::new(),
        };
        settings = settings.overridden(overrides);
        for property in properties::parse(bytes) {
            let setting = Setting {
                place: format!("{}:{}", file.display(), property.line),
                key: property.key,
                value: property.value,
            };
            settings.add(setting)?;
        }
        Ok(settings)
    }

    fn add(&mut self, setting: Setting) -> Result<(), ConfigError> {
        let key = plain(&setting.key).to_owned();
        if let Some((before, _)) = self.by_key.get(&key)
            && before.place != "command line"
        {
            if key.starts_with("server.") {
                return Err(setting.wrong(format!(
                    "is set already at {}; each server stands once",
                    before.place
                )));
            }
            if before.value != setting.value {
                self.warnings.push(format!(
                    "{}: {}: was set already at {}; this one holds, as in Java",
                    setting.place, setting.key, before.place
                ));
            }
        }
        self.by_key.insert(key, (setting, false));
        Ok(())
    }

    /// The same settings with `overrides` counting more.
    pub(super) fn overridden(mut self, overrides: &[(String, String)]) -> Self {
        for (key, value) in overrides {
            let setting = Setting {
                key: key.clone(),
                value: value.trim().to_owned(),
                place: "command line".to_owned(),
            };
            self.by_key.insert(plain(key).to_owned(), (setting, false));
        }
        self
    }

    /// The file the settings come from.
    pub(super) fn file(&self) -> &Path {
        &self.file
    }

    /// An error about the configuration as a whole.
    pub(super) fn wrong(&self, problem: impl Into<String>) -> ConfigError {
        ConfigError::Whole {
            place: self.file.display().to_string(),
            problem: problem.into(),
        }
    }

    /// A key that is missing.
    pub(super) fn missing(&self, key: &str, problem: impl Into<String>) -> ConfigError {
        ConfigError::Key {
            place: self.file.display().to_string(),
            key: key.to_owned(),
            problem: problem.into(),
        }
    }

    /// The setting, marked as understood. An empty value counts, as in Java.
    pub(super) fn take(&mut self, key: &str) -> Option<Setting> {
        let (setting, understood) = self.by_key.get_mut(key)?;
        *understood = true;
        Some(setting.clone())
    }

    /// Text, if set and not empty.
    pub(super) fn text(&mut self, key: &str) -> Option<String> {
        let value = self.take(key)?.value;
        (!value.is_empty()).then_some(value)
    }

    /// All settings whose key starts with `prefix`, with the rest of their key.
    pub(super) fn starting_with(&mut self, prefix: &str) -> Vec<(String, Setting)> {
        let mut found = Vec::new();
        for (key, (setting, understood)) in &mut self.by_key {
            if let Some(rest) = key.strip_prefix(prefix) {
                *understood = true;
                found.push((rest.to_owned(), setting.clone()));
            }
        }
        found
    }

    /// A whole number in a range.
    pub(super) fn number<N>(&mut self, key: &str, range: (N, N)) -> Result<Option<N>, ConfigError>
    where
        N: FromStr + PartialOrd + std::fmt::Display + Copy,
    {
        let Some(setting) = self.take(key) else {
            return Ok(None);
        };
        let (low, high) = range;
        match setting.value.parse::<N>() {
            Ok(number) if number >= low && number <= high => Ok(Some(number)),
            _ => Err(setting.wrong(format!(
                "`{}` must be a whole number from {low} to {high}",
                setting.value
            ))),
        }
    }

    /// A whole number in a range, or the default.
    pub(super) fn number_or<N>(
        &mut self,
        key: &str,
        range: (N, N),
        default: N,
    ) -> Result<N, ConfigError>
    where
        N: FromStr + PartialOrd + std::fmt::Display + Copy,
    {
        Ok(self.number(key, range)?.unwrap_or(default))
    }

    /// `true` or `false`, in any case.
    pub(super) fn flag(&mut self, key: &str, default: bool) -> Result<bool, ConfigError> {
        let Some(setting) = self.take(key) else {
            return Ok(default);
        };
        match setting.value.to_ascii_lowercase().as_str() {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err(setting.wrong(format!("`{}` must be true or false", setting.value))),
        }
    }

    /// `yes` and `no`, which some old keys use, or `true` and `false`.
    pub(super) fn yes_no(&mut self, key: &str, default: bool) -> Result<bool, ConfigError> {
        let Some(setting) = self.take(key) else {
            return Ok(default);
        };
        match setting.value.to_ascii_lowercase().as_str() {
            "yes" | "true" => Ok(true),
            "no" | "false" => Ok(false),
            _ => Err(setting.wrong(format!("`{}` must be yes or no", setting.value))),
        }
    }

    /// Keys that nobody asked for.
    pub(super) fn not_understood(&self) -> impl Iterator<Item = (&str, &Setting)> {
        self.by_key
            .iter()
            .filter(|(_, (_, understood))| !understood)
            .map(|(key, (setting, _))| (key.as_str(), setting))
    }
}

/// A file's bytes. A configuration is small: a megabyte more is surely a wrong path.
pub(super) fn read_file(path: &Path) -> Result<Vec<u8>, ConfigError> {
    const CONFIG_BYTES_MAX: u64 = 1 << 20;
    let unreadable = |source| ConfigError::Unreadable {
        path: path.to_owned(),
        source,
    };
    let meta = std::fs::metadata(path).map_err(unreadable)?;
    if meta.len() > CONFIG_BYTES_MAX {
        return Err(ConfigError::Whole {
            place: path.display().to_string(),
            problem: format!("{} bytes are too many for a configuration", meta.len()),
        });
    }
    std::fs::read(path).map_err(unreadable)
}
