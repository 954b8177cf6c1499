//! A file read in pieces, with as much of it in memory as the record at hand needs.

use super::format::{self, Parsed, RECORD_HEADER_LEN};
use crate::storage::error::StorageError;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

const PIECE_BYTES: usize = 256 * 1024;

/// A position in a file and the bytes read ahead of it.
#[derive(Debug)]
pub(super) struct Window {
    path: PathBuf,
    file: File,
    /// Bytes of the file that have not been read yet.
    unread: u64,
    /// Bytes read; those before `start` are done with.
    bytes: Vec<u8>,
    start: usize,
    /// Where `start` is in the file.
    position: u64,
}

impl Window {
    pub(super) fn open(path: &Path) -> Result<Self, StorageError> {
        let file = File::open(path).map_err(StorageError::io("read", path))?;
        let meta = file.metadata().map_err(StorageError::io("read", path))?;
        Ok(Window {
            path: path.to_owned(),
            file,
            unread: meta.len(),
            bytes: Vec::new(),
            start: 0,
            position: 0,
        })
    }

    /// Where the next byte is in the file.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// The bytes from here on, at least `len` of them unless the file ends before.
    pub(super) fn ahead(&mut self, len: usize) -> Result<&[u8], StorageError> {
        let have = self.bytes.len() - self.start;
        if have < len && self.unread > 0 {
            self.bytes.drain(..self.start);
            self.start = 0;
            let wanted = (len - have).max(PIECE_BYTES) as u64;
            let wanted = wanted.min(self.unread);
            let read = Read::by_ref(&mut self.file)
                .take(wanted)
                .read_to_end(&mut self.bytes)
                .and_then(|read| {
                    if read as u64 == wanted {
                        Ok(())
                    } else {
                        Err(io::ErrorKind::UnexpectedEof.into())
                    }
                });
            read.map_err(StorageError::io("read", &self.path))?;
            self.unread -= wanted;
        }
        Ok(&self.bytes[self.start..])
    }

    /// Moves past bytes that [`Window::ahead`] or [`Window::record`] showed.
    pub(super) fn skip(&mut self, len: usize) {
        debug_assert!(self.start + len <= self.bytes.len());
        self.start += len;
        self.position += len as u64;
    }

    /// What stands here. A claimed length is believed no further than the file reaches.
    pub(super) fn record(&mut self) -> Result<Parsed<'_>, StorageError> {
        let left = self.unread + (self.bytes.len() - self.start) as u64;
        let header = self.ahead(RECORD_HEADER_LEN)?;
        let wanted = match format::record_len(header) {
            Some(len) if len as u64 <= left => len,
            _ => RECORD_HEADER_LEN,
        };
        self.ahead(wanted).map(format::parse_record)
    }

    /// Whether the file holds only zeros from here on; does not move.
    pub(super) fn only_zeros_ahead(&mut self) -> Result<bool, StorageError> {
        if !is_zero(&self.bytes[self.start..]) {
            return Ok(false);
        }
        // The zeros that were read are forgotten but not skipped: nothing but their number and
        // what follows them matters from here on.
        let mut zeros = self.bytes.len() - self.start;
        let mut piece = vec![0; PIECE_BYTES];
        while self.unread > 0 {
            let len = self.unread.min(PIECE_BYTES as u64) as usize;
            let piece = &mut piece[..len];
            self.file
                .read_exact(piece)
                .map_err(StorageError::io("read", &self.path))?;
            self.unread -= len as u64;
            if !is_zero(piece) {
                // Rare: the file is damaged, and its rest is looked at as a whole.
                self.bytes.drain(..self.start);
                self.start = 0;
                self.bytes.resize(zeros, 0);
                self.bytes.extend_from_slice(piece);
                return Ok(false);
            }
            zeros += len;
        }
        Ok(true)
    }

    /// Everything from here to the end of the file.
    pub(super) fn rest(&mut self) -> Result<Vec<u8>, StorageError> {
        let left = self.unread as usize + self.bytes.len() - self.start;
        self.ahead(left).map(<[u8]>::to_vec)
    }
}

/// Compared and not looked through: a build without optimization takes seconds for the 64 MB that a
/// log is made longer by, and every start of a member looks at them.
fn is_zero(bytes: &[u8]) -> bool {
    const ZEROS: [u8; 4096] = [0; 4096];
    bytes
        .chunks(ZEROS.len())
        .all(|chunk| chunk == &ZEROS[..chunk.len()])
}
