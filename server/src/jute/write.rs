//! Primitives to bytes.

use super::Record;

/// Bytes being written; it only grows.
#[derive(Debug, Default, Clone)]
pub struct Writer {
    bytes: Vec<u8>,
}

/// A length as jute writes it. Nothing here holds 2 GiB: requests, data and names are bounded by
/// `jute.maxbuffer` long before, so a longer one is a bug of ours.
fn length(len: usize) -> i32 {
    i32::try_from(len).expect("jute lengths are bounded far below 2 GiB by every caller")
}

impl Writer {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// One that goes on behind `bytes`.
    #[must_use]
    pub fn over(bytes: Vec<u8>) -> Self {
        Writer { bytes }
    }

    /// Bytes so far.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether nothing has been written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The bytes so far.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes
    }

    /// The bytes, given up.
    #[must_use]
    pub fn into_vec(self) -> Vec<u8> {
        self.bytes
    }

    /// Gives up everything from `len` on; nothing where less has been written.
    pub fn truncate(&mut self, len: usize) {
        self.bytes.truncate(len);
    }

    /// Writes four bytes over those at `at`, for a length known only afterwards.
    ///
    /// # Panics
    /// Where fewer than four bytes stand at `at`.
    pub fn set_int(&mut self, at: usize, value: i32) {
        self.bytes[at..at + 4].copy_from_slice(&value.to_be_bytes());
    }

    /// Bytes as they are, without a length.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// One byte.
    pub fn byte(&mut self, value: u8) {
        self.bytes.push(value);
    }

    /// One byte, 1 or 0.
    pub fn boolean(&mut self, value: bool) {
        self.bytes.push(u8::from(value));
    }

    /// Four bytes.
    pub fn int(&mut self, value: i32) {
        self.raw(&value.to_be_bytes());
    }

    /// Eight bytes.
    pub fn long(&mut self, value: i64) {
        self.raw(&value.to_be_bytes());
    }

    /// A buffer behind its length.
    pub fn buffer(&mut self, bytes: &[u8]) {
        self.int(length(bytes.len()));
        self.raw(bytes);
    }

    /// A buffer, or -1 for null.
    pub fn buffer_or_null(&mut self, bytes: Option<&[u8]>) {
        match bytes {
            Some(bytes) => self.buffer(bytes),
            None => self.int(-1),
        }
    }

    /// A string behind its length in bytes.
    pub fn string(&mut self, text: &str) {
        self.buffer(text.as_bytes());
    }

    /// A string, or -1 for null.
    pub fn string_or_null(&mut self, text: Option<&str>) {
        self.buffer_or_null(text.map(str::as_bytes));
    }

    /// The count in front of a vector.
    pub fn count(&mut self, count: usize) {
        self.int(length(count));
    }

    /// A vector of records.
    pub fn vector<R: Record>(&mut self, items: &[R]) {
        self.count(items.len());
        for item in items {
            item.write(self);
        }
    }

    /// A vector of strings.
    pub fn strings<S: AsRef<str>>(&mut self, items: &[S]) {
        self.count(items.len());
        for item in items {
            self.string(item.as_ref());
        }
    }
}
