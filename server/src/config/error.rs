//! What is wrong with a configuration, in one line that names file, line and key.

use std::io;
use std::path::PathBuf;

/// Why a configuration can't be used. Its text is one line, made to be shown as it is.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file of the configuration can't be read.
    #[error("{}: can't be read: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A key's value is wrong.
    #[error("{place}: {key}: {problem}")]
    Key {
        /// `file:line`, or the place on the command line.
        place: String,
        /// The key as it was written.
        key: String,
        /// What is wrong and what would be right.
        problem: String,
    },
    /// Something is wrong with the configuration as a whole, or with a file it leads to.
    #[error("{place}: {problem}")]
    Whole {
        /// The file.
        place: String,
        /// What is wrong and what would be right.
        problem: String,
    },
}
