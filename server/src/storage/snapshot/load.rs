//! Reading a snapshot back, believing nothing before its seal was checked.

use super::name::SnapshotFile;
use super::seal::{SealedReader, invalid};
use super::snappy::SnappyReader;
use super::{HEADER_LEN, MAGIC, VERSION};
use crate::config::Compression;
use crate::ids::Zxid;
use crate::storage::error::StorageError;
use crate::tree::{DIGEST_VERSION, Database, SnapshotError, read_snapshot_with, skim_snapshot};
use flate2::bufread::MultiGzDecoder;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};

/// A database as a snapshot holds it.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) database: Database,
    pub(crate) info: SnapshotInfo,
}

impl Loaded {
    /// Whether the tree has the digest that stands behind it. The empty tree has none to compare.
    pub(crate) fn has_its_digest(&self) -> bool {
        match self.info.digest {
            Some((zxid, digest)) => zxid == self.info.zxid && digest == self.database.digest(),
            None => self.info.zxid == Zxid::ZERO,
        }
    }
}

/// What a snapshot says about itself besides its content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotInfo {
    /// From its name: everything up to here is in it.
    pub zxid: Zxid,
    /// Up to where transactions may be in it, in part: Java writes snapshots while it applies
    /// transactions. Equal to `zxid` for ours.
    pub fuzzy_until: Zxid,
    /// The last transaction by its own word, which not every server writes.
    pub last_processed: Option<Zxid>,
    /// The digest that stands in it, with its zxid.
    pub digest: Option<(Zxid, i64)>,
    /// Nodes in it.
    pub nodes: usize,
    /// Sessions in it.
    pub sessions: usize,
    /// Bytes before packing.
    pub bytes: u64,
}

/// Reads a snapshot as a test of it.
///
/// # Errors
/// [`StorageError::WrongFile`] saying what is wrong, [`StorageError::Io`].
pub fn verify_snapshot(file: &SnapshotFile) -> Result<SnapshotInfo, StorageError> {
    load(file, true).map(|loaded| loaded.info)
}

/// What a running server has to know of a snapshot before it relies on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Checked {
    /// As in [`SnapshotInfo`].
    pub(crate) fuzzy_until: Zxid,
}

/// Checks a snapshot's bytes and seals without making a tree of it.
///
/// # Errors
/// As [`verify_snapshot`].
pub(crate) fn check(file: &SnapshotFile) -> Result<Checked, StorageError> {
    let open = File::open(&file.path).map_err(StorageError::io("read", &file.path))?;
    let packed = BufReader::with_capacity(64 * 1024, open);
    let checked = match file.compression {
        Compression::None => check_stream(packed.into_inner(), file.zxid),
        Compression::Gzip => check_stream(MultiGzDecoder::new(packed), file.zxid),
        Compression::Snappy => SnappyReader::new(packed)
            .map_err(|error| error.to_string())
            .and_then(|packed| check_stream(packed, file.zxid)),
    };
    checked.map_err(|problem| StorageError::WrongFile {
        path: file.path.clone(),
        expected: "snapshot",
        problem,
    })
}

fn check_stream<R: Read>(input: R, zxid: Zxid) -> Result<Checked, String> {
    let mut input = SealedReader::new(input);
    check_header(&mut input).map_err(|error| error.to_string())?;
    skim_snapshot(&mut input).map_err(|error| with_cause(&error))?;
    let sections = read_sections(&mut input).map_err(|error| error.to_string())?;
    Ok(Checked {
        fuzzy_until: sections.fuzzy_until(zxid),
    })
}

fn with_cause(error: &SnapshotError) -> String {
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}"));
    format!("{error}{}", cause.unwrap_or_default())
}

/// Reads a snapshot, for tools.
///
/// # Errors
/// As [`verify_snapshot`].
pub fn open_snapshot(file: &SnapshotFile) -> Result<(Database, SnapshotInfo), StorageError> {
    load(file, true).map(|loaded| (loaded.database, loaded.info))
}

/// Reads a snapshot from a stream without a name, packed in whatever way. Its position is the one
/// that it says itself.
///
/// # Errors
/// A sentence that says what is wrong.
pub fn read_sent_snapshot(
    input: &mut dyn Read,
    extended_types: bool,
) -> Result<(Database, Zxid), String> {
    let mut input = BufReader::with_capacity(64 * 1024, input);
    let first = input.fill_buf().map_err(|error| error.to_string())?;
    let zxid = Zxid::ZERO;
    let loaded = if first.starts_with(&[0x1f, 0x8b]) {
        read_stream(MultiGzDecoder::new(input), zxid, extended_types)?
    } else if first.starts_with(b"\x82SNAPPY") {
        let packed = SnappyReader::new(input).map_err(|error| error.to_string())?;
        read_stream(packed, zxid, extended_types)?
    } else {
        read_stream(input, zxid, extended_types)?
    };
    let zxid = loaded.info.last_processed.ok_or(
        "it does not say its position (serializeLastProcessedZxid.enabled was off where it was taken)",
    )?;
    Ok((loaded.database, zxid))
}

/// Reads a snapshot.
pub(crate) fn load(file: &SnapshotFile, extended_types: bool) -> Result<Loaded, StorageError> {
    let open = File::open(&file.path).map_err(StorageError::io("read", &file.path))?;
    let packed = BufReader::with_capacity(64 * 1024, open);
    let loaded = match file.compression {
        // The sealed reader has a buffer of its own.
        Compression::None => read_stream(packed.into_inner(), file.zxid, extended_types),
        Compression::Gzip => read_stream(MultiGzDecoder::new(packed), file.zxid, extended_types),
        Compression::Snappy => SnappyReader::new(packed)
            .map_err(|error| error.to_string())
            .and_then(|packed| read_stream(packed, file.zxid, extended_types)),
    };
    loaded.map_err(|problem| StorageError::WrongFile {
        path: file.path.clone(),
        expected: "snapshot",
        problem,
    })
}

/// Source: `FileSnap.java` deserialize. The error is a sentence.
pub(super) fn read_stream<R: Read>(
    input: R,
    zxid: Zxid,
    extended_types: bool,
) -> Result<Loaded, String> {
    let mut input = SealedReader::new(input);
    check_header(&mut input).map_err(|error| error.to_string())?;
    let mut database =
        read_snapshot_with(&mut input, extended_types).map_err(|error| with_cause(&error))?;
    let sections = read_sections(&mut input).map_err(|error| error.to_string())?;
    database.set_last_processed(zxid);
    let fuzzy_until = sections.fuzzy_until(zxid);
    if let Some((at, digest)) = sections.digest {
        if at == zxid && digest != database.digest() {
            // As in Java a report, not a refusal: the transactions' own digests show whether the
            // tree differs from the ensemble's.
            tracing::warn!(%zxid, expected = digest, actual = database.digest(), "the snapshot's digest does not match its tree");
        }
        database.set_fuzzy_until(at, Some(digest));
    }
    let info = SnapshotInfo {
        zxid,
        fuzzy_until,
        last_processed: sections.last_processed,
        digest: sections.digest,
        nodes: database.tree.node_count(),
        sessions: database.sessions().len(),
        bytes: input.bytes_taken(),
    };
    Ok(Loaded { database, info })
}

fn check_header<R: Read>(input: &mut SealedReader<R>) -> io::Result<()> {
    let mut header = [0; HEADER_LEN];
    input.read_exact(&mut header)?;
    if header[..4] != MAGIC {
        return Err(invalid("it does not start with ZKSN"));
    }
    if header[4..8] != VERSION.to_be_bytes() {
        return Err(invalid("its version is not 2"));
    }
    Ok(())
}

#[derive(Default)]
struct Sections {
    digest: Option<(Zxid, i64)>,
    last_processed: Option<Zxid>,
}

impl Sections {
    fn fuzzy_until(&self, zxid: Zxid) -> Zxid {
        let digest = self.digest.map(|(zxid, _)| zxid);
        let said = [digest, self.last_processed].into_iter().flatten().max();
        said.map_or(zxid, |until| until.max(zxid))
    }
}

/// What stands behind the tree: its seal, and since 3.6 and 3.9 two sections with theirs. Either
/// can be switched off by whoever writes, and nothing marks which is there but the length.
fn read_sections<R: Read>(input: &mut SealedReader<R>) -> io::Result<Sections> {
    const SECTIONS_BYTES_MAX: usize = 256;
    const ZXID_SECTION_LEN: usize = 8 + SEAL_LEN;
    input.check_seal()?;
    let mut rest = Trailer {
        sum: input.sum_so_far(),
        rest: input.read_rest(SECTIONS_BYTES_MAX)?,
        taken: 0,
    };
    let mut sections = Sections::default();
    if rest.left() > ZXID_SECTION_LEN {
        let zxid = Zxid(rest.long()?);
        let version = rest.int()?;
        if version >= 2 {
            let digest = rest.long()?;
            if version == DIGEST_VERSION && zxid > Zxid::ZERO {
                sections.digest = Some((zxid, digest));
            }
        } else {
            // Before 3.7 the digest was a hexadecimal string, made in a way we do not know.
            let len = usize::try_from(rest.int()?).unwrap_or(0);
            rest.take(len)?;
        }
        rest.check_seal()?;
    }
    if rest.left() > 0 {
        sections.last_processed = Some(Zxid(rest.long()?));
        rest.check_seal()?;
    }
    if rest.left() > 0 {
        return Err(invalid("something stands behind its last seal"));
    }
    Ok(sections)
}

/// Bytes of a seal: a long, and "/" behind its length.
const SEAL_LEN: usize = 13;

/// The last bytes of a snapshot, and the checksum of all before the one at hand.
struct Trailer {
    sum: simd_adler32::Adler32,
    rest: Vec<u8>,
    taken: usize,
}

impl Trailer {
    fn left(&self) -> usize {
        self.rest.len() - self.taken
    }

    fn take(&mut self, len: usize) -> io::Result<&[u8]> {
        let end = self.taken.saturating_add(len);
        let bytes = self
            .rest
            .get(self.taken..end)
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        self.sum.write(bytes);
        self.taken = end;
        Ok(bytes)
    }

    fn long(&mut self) -> io::Result<i64> {
        let mut long = [0; 8];
        long.copy_from_slice(self.take(8)?);
        Ok(i64::from_be_bytes(long))
    }

    fn int(&mut self) -> io::Result<i32> {
        let mut int = [0; 4];
        int.copy_from_slice(self.take(4)?);
        Ok(i32::from_be_bytes(int))
    }

    fn check_seal(&mut self) -> io::Result<()> {
        let sum = self.sum.finish();
        if self.long()? != i64::from(sum) {
            return Err(invalid("a checksum behind the tree does not match"));
        }
        self.take(SEAL_LEN - 8).map(drop)
    }
}
