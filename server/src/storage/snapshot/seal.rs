//! Streams that know the Adler-32 of everything that went through them.
//! Source: `SnapStream.java` sealStream, checkSealIntegrity.

use std::io::{self, Read, Write};

const BUFFER_BYTES: usize = 64 * 1024;

/// A buffered writer with a running checksum.
pub(super) struct SealedWriter<W: Write> {
    inner: W,
    buffer: Vec<u8>,
    sum: simd_adler32::Adler32,
}

impl<W: Write> SealedWriter<W> {
    pub(super) fn new(inner: W) -> Self {
        SealedWriter {
            inner,
            buffer: Vec::with_capacity(BUFFER_BYTES),
            sum: simd_adler32::Adler32::new(),
        }
    }

    fn empty_buffer(&mut self) -> io::Result<()> {
        self.sum.write(&self.buffer);
        self.inner.write_all(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }

    /// Writes a seal: the checksum of everything before it, earlier seals included, and `/`.
    pub(super) fn seal(&mut self) -> io::Result<()> {
        self.empty_buffer()?;
        let sum = u64::from(self.sum.finish());
        self.write_all(&sum.to_be_bytes())?;
        self.write_all(&1_i32.to_be_bytes())?;
        self.write_all(b"/")
    }

    /// The stream below, with everything written to it.
    pub(super) fn into_inner(mut self) -> io::Result<W> {
        self.empty_buffer()?;
        Ok(self.inner)
    }
}

impl<W: Write> Write for SealedWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.buffer.len() + bytes.len() > BUFFER_BYTES {
            self.empty_buffer()?;
        }
        if bytes.len() >= BUFFER_BYTES {
            self.sum.write(bytes);
            self.inner.write_all(bytes)?;
        } else {
            self.buffer.extend_from_slice(bytes);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.empty_buffer()?;
        self.inner.flush()
    }
}

/// A buffered reader with a running checksum of what was taken from it.
pub(super) struct SealedReader<R: Read> {
    inner: R,
    buffer: Box<[u8]>,
    /// Bytes before `summed` are in the checksum, those before `taken` were handed out.
    summed: usize,
    taken: usize,
    filled: usize,
    sum: simd_adler32::Adler32,
    bytes: u64,
}

impl<R: Read> SealedReader<R> {
    pub(super) fn new(inner: R) -> Self {
        SealedReader {
            inner,
            buffer: vec![0; BUFFER_BYTES].into_boxed_slice(),
            summed: 0,
            taken: 0,
            filled: 0,
            sum: simd_adler32::Adler32::new(),
            bytes: 0,
        }
    }

    /// Bytes taken so far.
    pub(super) fn bytes_taken(&self) -> u64 {
        self.bytes
    }

    fn fill(&mut self) -> io::Result<()> {
        self.sum.write(&self.buffer[self.summed..self.taken]);
        self.summed = 0;
        self.taken = 0;
        self.filled = loop {
            match self.inner.read(&mut self.buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other?,
            }
        };
        Ok(())
    }

    fn sum(&mut self) -> u32 {
        self.sum.write(&self.buffer[self.summed..self.taken]);
        self.summed = self.taken;
        self.sum.finish()
    }

    /// The running checksum, to go on with elsewhere.
    pub(super) fn sum_so_far(&mut self) -> simd_adler32::Adler32 {
        let _ = self.sum();
        self.sum.clone()
    }

    /// Everything that is left, if it is not more than `max`.
    pub(super) fn read_rest(&mut self, max: usize) -> io::Result<Vec<u8>> {
        let mut rest = Vec::new();
        self.by_ref().take(max as u64 + 1).read_to_end(&mut rest)?;
        if rest.len() > max {
            return Err(invalid("something stands behind its last seal"));
        }
        Ok(rest)
    }

    fn long(&mut self) -> io::Result<i64> {
        let mut bytes = [0; 8];
        self.read_exact(&mut bytes)?;
        Ok(i64::from_be_bytes(bytes))
    }

    /// Reads a seal and compares it with what went before it.
    pub(super) fn check_seal(&mut self) -> io::Result<()> {
        let sum = self.sum();
        let found = self.long()?;
        // "/" behind its length; Java does not look at it either.
        let mut text = [0; 5];
        self.read_exact(&mut text)?;
        if found == i64::from(sum) {
            Ok(())
        } else {
            Err(invalid("the checksum does not match"))
        }
    }
}

pub(super) fn invalid(problem: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, problem)
}

impl<R: Read> Read for SealedReader<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.taken == self.filled {
            self.fill()?;
        }
        let len = out.len().min(self.filled - self.taken);
        out[..len].copy_from_slice(&self.buffer[self.taken..self.taken + len]);
        self.taken += len;
        self.bytes += len as u64;
        Ok(len)
    }
}
