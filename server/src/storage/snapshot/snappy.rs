//! The framing of Java's `SnappyOutputStream` (xerial snappy-java): a header of 16 bytes, then
//! blocks, each its compressed length and raw snappy. It is not the official framing format.

use super::seal::invalid;
use std::io::{self, Read, Write};

/// `\x82SNAPPY\0`. Source: snappy-java `SnappyCodec.java` MAGIC_HEADER.
const MAGIC: [u8; 8] = *b"\x82SNAPPY\0";
/// Version, and the oldest compatible one, both 1.
const VERSIONS: [u8; 8] = [0, 0, 0, 1, 0, 0, 0, 1];
/// Bytes of a block before compression. Source: `SnappyOutputStream.java` DEFAULT_BLOCK_SIZE.
const BLOCK_BYTES: usize = 32 * 1024;
/// The largest block that is believed when reading; whoever writes 32 KiB blocks stays far below.
const BLOCK_BYTES_MAX: usize = 64 << 20;

pub(super) struct SnappyWriter<W: Write> {
    inner: W,
    block: Vec<u8>,
    packed: Vec<u8>,
    encoder: snap::raw::Encoder,
}

impl<W: Write> SnappyWriter<W> {
    pub(super) fn new(mut inner: W) -> io::Result<Self> {
        inner.write_all(&MAGIC)?;
        inner.write_all(&VERSIONS)?;
        Ok(SnappyWriter {
            inner,
            block: Vec::with_capacity(BLOCK_BYTES),
            packed: vec![0; snap::raw::max_compress_len(BLOCK_BYTES)],
            encoder: snap::raw::Encoder::new(),
        })
    }

    fn write_block(&mut self) -> io::Result<()> {
        if self.block.is_empty() {
            return Ok(());
        }
        let len = self
            .encoder
            .compress(&self.block, &mut self.packed)
            .map_err(io::Error::other)?;
        let packed = self.packed.get(..len).unwrap_or_default();
        let len = i32::try_from(len).map_err(|_| invalid("a snappy block is too large"))?;
        self.inner.write_all(&len.to_be_bytes())?;
        self.inner.write_all(packed)?;
        self.block.clear();
        Ok(())
    }

    pub(super) fn finish(mut self) -> io::Result<W> {
        self.write_block()?;
        Ok(self.inner)
    }
}

impl<W: Write> Write for SnappyWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let len = bytes.len().min(BLOCK_BYTES - self.block.len());
        self.block.extend_from_slice(&bytes[..len]);
        if self.block.len() == BLOCK_BYTES {
            self.write_block()?;
        }
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.write_block()?;
        self.inner.flush()
    }
}

pub(super) struct SnappyReader<R: Read> {
    inner: R,
    packed: Vec<u8>,
    block: Vec<u8>,
    taken: usize,
    decoder: snap::raw::Decoder,
}

impl<R: Read> SnappyReader<R> {
    pub(super) fn new(mut inner: R) -> io::Result<Self> {
        let mut header = [0; 16];
        inner.read_exact(&mut header)?;
        if header[..8] != MAGIC {
            return Err(invalid("it does not start as a snappy stream of Java"));
        }
        Ok(SnappyReader {
            inner,
            packed: Vec::new(),
            block: Vec::new(),
            taken: 0,
            decoder: snap::raw::Decoder::new(),
        })
    }

    /// Reads the next block; false at the end of the stream.
    fn next_block(&mut self) -> io::Result<bool> {
        let mut len = [0; 4];
        loop {
            match self.inner.read(&mut len[..1]) {
                Ok(0) => return Ok(false),
                Ok(_) => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.inner.read_exact(&mut len[1..])?;
        if len == MAGIC[..4] {
            // Streams may be joined end to end, each with its header.
            let mut rest = [0; 12];
            self.inner.read_exact(&mut rest)?;
            self.block.clear();
            self.taken = 0;
            return Ok(true);
        }
        let len = usize::try_from(i32::from_be_bytes(len))
            .ok()
            .filter(|len| *len <= BLOCK_BYTES_MAX)
            .ok_or_else(|| invalid("a snappy block is too large"))?;
        self.packed.clear();
        let read = Read::by_ref(&mut self.inner)
            .take(len as u64)
            .read_to_end(&mut self.packed)?;
        if read < len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let unpacked = snap::raw::decompress_len(&self.packed).map_err(io::Error::other)?;
        if unpacked > BLOCK_BYTES_MAX {
            return Err(invalid("a snappy block is too large"));
        }
        self.block.resize(unpacked, 0);
        let len = self
            .decoder
            .decompress(&self.packed, &mut self.block)
            .map_err(io::Error::other)?;
        self.block.truncate(len);
        self.taken = 0;
        Ok(true)
    }
}

impl<R: Read> Read for SnappyReader<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.taken == self.block.len() {
            if !self.next_block()? {
                return Ok(0);
            }
        }
        let len = out.len().min(self.block.len() - self.taken);
        out[..len].copy_from_slice(&self.block[self.taken..self.taken + len]);
        self.taken += len;
        Ok(len)
    }
}
