//! What the commands for files share: how they print and what they were pointed at.

use super::{FAILED, USAGE, fail};
use crate::config::{ConfigError, IdNeed, read_config};
use crate::ids::Zxid;
use crate::storage::{SnapshotFile, VERSION_DIR};
use clap::{Args, ValueEnum};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// How a command prints what it found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Output {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// The choice of [`Output`], as every command for files has it.
#[derive(Args)]
pub(super) struct Printing {
    /// How to print.
    #[arg(short, long, value_enum, default_value = "text")]
    pub(super) output: Output,
}

/// The directories that a command works on.
#[derive(Args)]
pub(super) struct Place {
    /// The member's zoo.cfg, for dataDir and dataLogDir.
    #[arg(required_unless_present = "data_dir")]
    config: Option<PathBuf>,
    /// dataDir, instead of a zoo.cfg.
    #[arg(long, value_name = "DIR", conflicts_with = "config")]
    data_dir: Option<PathBuf>,
    /// dataLogDir, where it is another directory.
    #[arg(long, value_name = "DIR", requires = "data_dir")]
    data_log_dir: Option<PathBuf>,
}

impl Place {
    /// Where the snapshots are, and where the logs.
    pub(super) fn directories(&self) -> Result<(PathBuf, PathBuf), ConfigError> {
        let (data, log) = match (&self.config, &self.data_dir) {
            (Some(file), _) => {
                let config = read_config(file, &[], IdNeed::Ignored)?;
                (config.data_dir, config.data_log_dir)
            }
            (None, data) => {
                let data = data.clone().unwrap_or_default();
                let log = self.data_log_dir.clone().unwrap_or_else(|| data.clone());
                (data, log)
            }
        };
        Ok((data.join(VERSION_DIR), log.join(VERSION_DIR)))
    }
}

/// The directory with the files: a dataDir is as good as its `version-2`.
pub(super) fn with_version(dir: &Path) -> PathBuf {
    let inner = dir.join(VERSION_DIR);
    if inner.is_dir() {
        inner
    } else {
        dir.to_owned()
    }
}

/// The snapshot at a path that a person gave.
pub(super) fn snapshot_at(path: &Path) -> Result<SnapshotFile, PrintError> {
    SnapshotFile::at(path).ok_or_else(|| {
        PrintError::Usage(format!(
            "{}: a snapshot is named snapshot.<zxid>, packed with .gz or .snappy behind it",
            path.display()
        ))
    })
}

/// A zxid as the tools print it, with or without `0x`.
pub(super) fn zxid(text: &str) -> Result<Zxid, String> {
    let digits = text.strip_prefix("0x").unwrap_or(text);
    i64::from_str_radix(digits, 16)
        .map(Zxid)
        .map_err(|_| format!("`{text}` is no zxid; it is a hexadecimal number as 0x100000002"))
}

/// Runs a command that lists something on standard output, and says how it ended: with 0 where
/// `work` found nothing wrong, with 1 where it did or could not go on, with 2 where it was pointed
/// at the wrong thing. That nobody reads on (`| head`) is no failure.
pub(super) fn listing(work: impl FnOnce(&mut dyn Write) -> Result<bool, PrintError>) -> ExitCode {
    let mut out = io::BufWriter::new(io::stdout().lock());
    let result = work(&mut out);
    let flushed = out.flush().map_err(PrintError::from);
    match result.and_then(|good| flushed.map(|()| good)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(FAILED),
        Err(PrintError::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
            ExitCode::SUCCESS
        }
        Err(error @ PrintError::Usage(_)) => fail(USAGE, error),
        Err(error) => fail(FAILED, error),
    }
}

/// Why a listing ended early.
#[derive(Debug, thiserror::Error)]
pub(super) enum PrintError {
    /// The file.
    #[error(transparent)]
    Storage(#[from] crate::storage::StorageError),
    /// The listing.
    #[error("can't print: {0}")]
    Output(#[from] io::Error),
    /// What the command was pointed at.
    #[error("{0}")]
    Usage(String),
}

/// Milliseconds since 1970 as `2026-02-11T20:18:00.123Z`.
pub(super) fn time(ms: i64) -> String {
    const DAY_MS: i64 = 86_400_000;
    let (days, ms) = (ms.div_euclid(DAY_MS), ms.rem_euclid(DAY_MS));
    // Days to a civil date, in eras of 400 years that begin on the first of March.
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hours, minutes, seconds) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1_000 % 60);
    let millis = ms % 1_000;
    format!("{year:04}-{month:02}-{day:02}T{hours:02}:{minutes:02}:{seconds:02}.{millis:03}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_the_calendar_has_them() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (951_868_800_000, "2000-03-01T00:00:00.000Z"),
            (1_770_841_080_123, "2026-02-11T20:18:00.123Z"),
            (4_107_542_399_000, "2100-02-28T23:59:59.000Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(time(ms), text);
        }
    }
}
