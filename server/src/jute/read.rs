//! Bytes to primitives.

use super::{Record, text};

/// Why bytes are not the record that they should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JuteError {
    /// The bytes end before the record does.
    #[error("the record ends early: {wanted} more bytes wanted, {left} left")]
    EndOfInput {
        /// Bytes that the next field needs.
        wanted: usize,
        /// Bytes that were there.
        left: usize,
    },
    /// A length below -1.
    #[error("a length of {0} makes no sense")]
    BadLength(i32),
    /// A field has a value that its record does not know.
    #[error("{what} can't be {value}")]
    BadValue {
        /// The field.
        what: &'static str,
        /// The value found.
        value: i64,
    },
}

/// A cursor over bytes. Every read either moves it past what it returns or fails.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// A cursor at the start of `bytes`.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Reader { rest: bytes }
    }

    /// The bytes not read yet.
    #[must_use]
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Whether all bytes have been read.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// The next `len` bytes as they are.
    ///
    /// # Errors
    /// [`JuteError::EndOfInput`] where fewer are left.
    pub fn take(&mut self, len: usize) -> Result<&'a [u8], JuteError> {
        let Some((head, rest)) = self.rest.split_at_checked(len) else {
            return Err(JuteError::EndOfInput {
                wanted: len,
                left: self.rest.len(),
            });
        };
        self.rest = rest;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], JuteError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    /// One byte.
    ///
    /// # Errors
    /// [`JuteError::EndOfInput`].
    pub fn byte(&mut self) -> Result<u8, JuteError> {
        Ok(self.array::<1>()?[0])
    }

    /// One byte, true where it is not 0, as Java's `DataInput.readBoolean`.
    ///
    /// # Errors
    /// [`JuteError::EndOfInput`].
    pub fn boolean(&mut self) -> Result<bool, JuteError> {
        Ok(self.byte()? != 0)
    }

    /// Four bytes.
    ///
    /// # Errors
    /// [`JuteError::EndOfInput`].
    pub fn int(&mut self) -> Result<i32, JuteError> {
        Ok(i32::from_be_bytes(self.array()?))
    }

    /// Eight bytes.
    ///
    /// # Errors
    /// [`JuteError::EndOfInput`].
    pub fn long(&mut self) -> Result<i64, JuteError> {
        Ok(i64::from_be_bytes(self.array()?))
    }

    /// A buffer, `None` for null (length -1).
    ///
    /// # Errors
    /// [`JuteError`] where the length is below -1 or more than is left.
    pub fn buffer_or_null(&mut self) -> Result<Option<&'a [u8]>, JuteError> {
        match self.int()? {
            -1 => Ok(None),
            len => {
                let len = usize::try_from(len).map_err(|_| JuteError::BadLength(len))?;
                self.take(len).map(Some)
            }
        }
    }

    /// A buffer, empty for null.
    ///
    /// # Errors
    /// As [`Reader::buffer_or_null`].
    pub fn buffer(&mut self) -> Result<&'a [u8], JuteError> {
        Ok(self.buffer_or_null()?.unwrap_or_default())
    }

    /// A string, empty for null. Bytes that are not UTF-8 become U+FFFD, as in Java.
    ///
    /// # Errors
    /// As [`Reader::buffer_or_null`].
    pub fn string(&mut self) -> Result<String, JuteError> {
        Ok(text(self.buffer()?).into_owned())
    }

    /// A string, `None` for null.
    ///
    /// # Errors
    /// As [`Reader::buffer_or_null`].
    pub fn string_or_null(&mut self) -> Result<Option<String>, JuteError> {
        Ok(self.buffer_or_null()?.map(|bytes| text(bytes).into_owned()))
    }

    /// The count in front of a vector, 0 for null, and 0 for what is below: there is nothing to
    /// read then. Source: `BinaryInputArchive.java` BinaryIndex. Bound allocations by the input,
    /// not by this.
    ///
    /// # Errors
    /// [`JuteError`] where the bytes end.
    pub fn count(&mut self) -> Result<usize, JuteError> {
        Ok(usize::try_from(self.int()?).unwrap_or(0))
    }

    /// A vector of records, empty for null.
    ///
    /// # Errors
    /// As the records'. Memory grows with the bytes read, never with the count claimed.
    pub fn vector<R: Record>(&mut self) -> Result<Vec<R>, JuteError> {
        let count = self.count()?;
        let mut items = Vec::new();
        for _ in 0..count {
            items.push(R::read(self)?);
        }
        Ok(items)
    }

    /// A vector of strings, empty for null.
    ///
    /// # Errors
    /// As [`Reader::string`].
    pub fn strings(&mut self) -> Result<Vec<String>, JuteError> {
        let count = self.count()?;
        let mut items = Vec::new();
        for _ in 0..count {
            items.push(self.string()?);
        }
        Ok(items)
    }
}
