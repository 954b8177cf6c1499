//! A disk that fails as a test tells it to.

use super::medium::{Disk, LogFile, Medium};
use super::{LogOptions, TxnLog};
use crate::ids::Zxid;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};

/// A disk whose next operations fail as told.
#[derive(Clone, Default)]
pub(crate) struct Faults(Arc<Mutex<Vec<(&'static str, io::ErrorKind)>>>);

impl Faults {
    /// Has the next operation of this name fail: create, sync_dir, remove, write, sync, grow, set_len.
    pub(crate) fn next(&self, operation: &'static str, kind: io::ErrorKind) {
        self.0.lock().unwrap().push((operation, kind));
    }

    fn check(&self, operation: &'static str) -> io::Result<()> {
        let mut faults = self.0.lock().unwrap();
        match faults.iter().position(|fault| fault.0 == operation) {
            Some(at) => Err(faults.remove(at).1.into()),
            None => Ok(()),
        }
    }
}

struct FaultyMedium(Faults, Disk);
struct FaultyFile(Faults, Box<dyn LogFile>);

impl Medium for FaultyMedium {
    fn create(&mut self, path: &Path) -> io::Result<Box<dyn LogFile>> {
        self.0.check("create")?;
        Ok(Box::new(FaultyFile(self.0.clone(), self.1.create(path)?)))
    }
    fn sync_dir(&mut self, dir: &Path) -> io::Result<()> {
        self.0.check("sync_dir")?;
        self.1.sync_dir(dir)
    }
    fn remove(&mut self, path: &Path) -> io::Result<()> {
        self.0.check("remove")?;
        self.1.remove(path)
    }
}

impl LogFile for FaultyFile {
    fn write_all_at(&mut self, bytes: &[u8], at: u64) -> io::Result<()> {
        if let Err(error) = self.0.check("write") {
            // A write that fails has often written a part.
            self.1.write_all_at(&bytes[..bytes.len() / 2], at)?;
            return Err(error);
        }
        self.1.write_all_at(bytes, at)
    }
    fn sync_data(&mut self) -> io::Result<()> {
        self.0.check("sync")?;
        self.1.sync_data()
    }
    fn grow(&mut self, from: u64, to: u64) -> io::Result<()> {
        self.0.check("grow")?;
        self.1.grow(from, to)
    }
    fn set_len(&mut self, len: u64) -> io::Result<()> {
        self.0.check("set_len")?;
        self.1.set_len(len)
    }
}

/// An empty log on such a disk.
pub(crate) fn faulty_log(dir: &Path, options: LogOptions) -> (TxnLog, Faults) {
    let faults = Faults::default();
    let medium = FaultyMedium(faults.clone(), Disk);
    let log = TxnLog::with_medium(dir, options, Zxid::ZERO, Box::new(medium));
    (log, faults)
}
