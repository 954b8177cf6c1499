//! Jute, ZooKeeper's serialization: big-endian integers, strings and buffers with a length of
//! four bytes in front (-1 is null), vectors with a count in front.
//! Source: `BinaryInputArchive.java`, `BinaryOutputArchive.java`.
//!
//! Bytes to primitives and back, without meaning. Reading never allocates more than the input
//! holds, never panics and never recurses.

mod read;
mod text;
mod write;

pub use read::{JuteError, Reader};
pub use text::text;
pub use write::Writer;

/// A record with one binary form, read and written field by field.
pub trait Record: Sized {
    /// Reads the record from the front of `input`.
    ///
    /// # Errors
    /// [`JuteError`] where the bytes end early or hold what the record can't be.
    fn read(input: &mut Reader<'_>) -> Result<Self, JuteError>;

    /// Appends the record's bytes to `out`.
    fn write(&self, out: &mut Writer);

    /// The record's bytes on their own.
    #[must_use]
    fn to_vec(&self) -> Vec<u8> {
        let mut out = Writer::new();
        self.write(&mut out);
        out.into_vec()
    }

    /// Reads a record from `bytes`, ignoring what stands behind it, as Java does.
    ///
    /// # Errors
    /// As [`Record::read`].
    fn from_slice(bytes: &[u8]) -> Result<Self, JuteError> {
        Self::read(&mut Reader::new(bytes))
    }
}
