//! What tests that start server processes share: ports of their own, a place for data, an end in
//! order, and four-letter words.

mod ports;
mod process;
mod words;

pub use ports::free_ports;
pub use process::terminate;
pub use words::{four_letter_word, mode};

use std::io;
use std::path::Path;
use tempfile::TempDir;

/// A directory for servers' data. Behaviour is tested on memory where there is some: disks of small
/// machines stall.
///
/// # Errors
/// Where none can be made.
pub fn scratch() -> io::Result<TempDir> {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() {
        TempDir::new_in(memory)
    } else {
        TempDir::new()
    }
}
