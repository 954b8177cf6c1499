//! The ensemble as zoo.cfg and the files beside it have it: listed in zoo.cfg itself, or in a file
//! that `dynamicConfigFile` names and that every reconfiguration writes anew.

use super::error::ConfigError;
use super::settings::DynamicConfig;
use super::source::{Setting, Settings, read_file};
use crate::ensemble::Ensemble;
use crate::properties;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

type Result<T> = std::result::Result<T, ConfigError>;

/// What was found.
pub(super) struct Listed {
    /// The ensemble as it was last.
    pub(super) ensemble: Ensemble,
    /// A newer one that was proposed.
    pub(super) next: Option<Ensemble>,
    /// What zoo.cfg itself lists, where the dynamic files go on from it.
    pub(super) seed: Ensemble,
    pub(super) dynamic: DynamicConfig,
}

/// The keys that make up the ensemble.
fn is_ensemble_key(key: &str) -> bool {
    key.starts_with("server.") || key.starts_with("group") || key.starts_with("weight")
}

/// Finds the ensemble. A `dynamicConfigFile` with a version in its name is what it says, as in Java,
/// which writes zoo.cfg anew at each change. Where zoo.cfg can't be written, name a file without a
/// version: the newest `<file>.<version>` counts then, and before the first change the file itself or
/// the servers that zoo.cfg lists.
pub(super) fn ensemble(s: &mut Settings, file: Option<&Path>, multi: bool) -> Result<Listed> {
    let mut inline: Vec<(String, Setting)> = Vec::new();
    for prefix in ["server.", "group", "weight"] {
        for (rest, setting) in s.starting_with(prefix) {
            inline.push((format!("{prefix}{rest}"), setting));
        }
    }
    let version = s.take("version");
    let named = s.text("dynamicConfigFile").map(PathBuf::from);
    if named.is_none() {
        inline.extend(version.map(|version| ("version".to_owned(), version)));
    }
    let mut seed = Ensemble::default();
    for (key, setting) in &inline {
        seed.add(key, &setting.value, multi)
            .map_err(|problem| setting.wrong(problem))?;
    }
    seed.check_groups().map_err(|problem| s.wrong(problem))?;
    let Some(named) = named else {
        let stem = file.map(|file| with_suffix(file, ".dynamic"));
        let dynamic = DynamicConfig { stem };
        return Ok(Listed {
            ensemble: seed.clone(),
            next: None,
            seed,
            dynamic,
        });
    };
    let exact = DynamicConfig::version_of(&named).is_some();
    let dynamic = DynamicConfig {
        stem: Some(if exact {
            named.with_extension("")
        } else {
            named.clone()
        }),
    };
    let current = if exact {
        Some(named)
    } else {
        newest(&named)?.or_else(|| named.exists().then(|| named.clone()))
    };
    let ensemble = match (current, inline.first()) {
        (Some(path), Some((_, setting))) if exact || DynamicConfig::version_of(&path).is_none() => {
            return Err(setting.wrong("must stand in the file that dynamicConfigFile names"));
        }
        (Some(path), _) => read(&path, multi)?,
        (None, Some(_)) => seed.clone(),
        // Says that it can't be read.
        (None, None) => read(dynamic.stem.as_deref().unwrap_or(Path::new("")), multi)?,
    };
    let next = dynamic.next().filter(|next| next.exists());
    let next = next.map(|next| read_next(&next, multi)).transpose()?;
    Ok(Listed {
        next: next.filter(|next| next.version > ensemble.version),
        ensemble,
        seed,
        dynamic,
    })
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(suffix);
    path.into()
}

/// The newest `<stem>.<version>`.
fn newest(stem: &Path) -> Result<Option<PathBuf>> {
    let dir = match stem.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        _ => Path::new("."),
    };
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(source) => {
            let path = dir.to_owned();
            return Err(ConfigError::Unreadable { path, source });
        }
    };
    let versions = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.with_extension("").file_name() == stem.file_name())
        .filter_map(|path| Some((DynamicConfig::version_of(&path)?, path)));
    Ok(versions.max().map(|(_, path)| path))
}

/// One dynamic file, its version in its name.
fn read(path: &Path, multi: bool) -> Result<Ensemble> {
    let bytes = read_file(path)?;
    let mut ensemble = Ensemble::default();
    let mut seen = BTreeMap::new();
    for property in properties::parse(&bytes) {
        let setting = Setting {
            place: format!("{}:{}", path.display(), property.line),
            key: property.key.clone(),
            value: property.value,
        };
        if !is_ensemble_key(&property.key) {
            return Err(setting
                .wrong("does not belong into a dynamic file; server.N, group.N and weight.N do"));
        }
        if let Some(line) = seen.insert(property.key.clone(), property.line) {
            return Err(setting.wrong(format!("is set already on line {line}")));
        }
        ensemble
            .add(&property.key, &setting.value, multi)
            .map_err(|problem| setting.wrong(problem))?;
    }
    ensemble
        .check_groups()
        .map_err(|problem| whole(path, problem))?;
    ensemble.version = DynamicConfig::version_of(path).unwrap_or(0);
    Ok(ensemble)
}

/// `<stem>.next`, its version on a line of its own.
fn read_next(path: &Path, multi: bool) -> Result<Ensemble> {
    let bytes = read_file(path)?;
    let mut ensemble = Ensemble::default();
    for property in properties::parse(&bytes) {
        ensemble
            .add(&property.key, &property.value, multi)
            .map_err(|problem| whole(path, problem))?;
    }
    ensemble
        .check_groups()
        .map_err(|problem| whole(path, problem))?;
    Ok(ensemble)
}

fn whole(path: &Path, problem: String) -> ConfigError {
    ConfigError::Whole {
        place: path.display().to_string(),
        problem,
    }
}
