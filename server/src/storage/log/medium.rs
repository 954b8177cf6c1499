//! The file operations that the log needs, so that tests can let each of them fail.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Where log files are made.
pub(super) trait Medium: Send {
    /// A new, empty file.
    fn create(&mut self, path: &Path) -> io::Result<Box<dyn LogFile>>;
    /// Makes the directory's entries durable.
    fn sync_dir(&mut self, dir: &Path) -> io::Result<()>;
    /// Takes a file away.
    fn remove(&mut self, path: &Path) -> io::Result<()>;
}

/// One open log file.
pub(super) trait LogFile: Send {
    fn write_all_at(&mut self, bytes: &[u8], at: u64) -> io::Result<()>;
    /// Makes the content durable, and of the metadata what reading it needs.
    fn sync_data(&mut self) -> io::Result<()>;
    /// Grows the file with zeros, blocks reserved where the file system can.
    fn grow(&mut self, from: u64, to: u64) -> io::Result<()>;
    fn set_len(&mut self, len: u64) -> io::Result<()>;
}

/// The real disk.
pub(super) struct Disk;

impl Medium for Disk {
    fn create(&mut self, path: &Path) -> io::Result<Box<dyn LogFile>> {
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .open(path)?;
        Ok(Box::new(file))
    }

    fn sync_dir(&mut self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }

    fn remove(&mut self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }
}

impl LogFile for File {
    fn write_all_at(&mut self, bytes: &[u8], at: u64) -> io::Result<()> {
        FileExt::write_all_at(self, bytes, at)
    }

    fn sync_data(&mut self) -> io::Result<()> {
        File::sync_data(self)
    }

    fn grow(&mut self, from: u64, to: u64) -> io::Result<()> {
        let flags = rustix::fs::FallocateFlags::empty();
        match rustix::fs::fallocate(&*self, flags, from, to - from) {
            Ok(()) => Ok(()),
            // A file system that can't reserve gets a sparse file, as Java makes everywhere.
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => File::set_len(self, to),
            Err(error) => Err(error.into()),
        }
    }

    fn set_len(&mut self, len: u64) -> io::Result<()> {
        File::set_len(self, len)
    }
}
