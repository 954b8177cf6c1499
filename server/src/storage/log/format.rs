//! Bytes of a log file: a header of 16 bytes, then records, then zeros.
//!
//! A record is `long checksum`, `int length`, payload, `B`. The checksum is the Adler-32 of the
//! payload alone, whatever the Javadoc says. Source: `FileTxnLog.java` append, `Util.java`
//! writeTxnBytes. A length of 0 is the end, since files are filled with zeros in advance.

use crate::ids::Zxid;
use crate::jute::{Reader, Record};
use crate::txn::TxnHeader;

/// `ZKLG`. Source: `FileTxnLog.java` TXNLOG_MAGIC.
const MAGIC: [u8; 4] = *b"ZKLG";
const VERSION: i32 = 2;
/// Bytes of a file's header.
pub(super) const FILE_HEADER_LEN: usize = 16;
/// Bytes in front of a payload.
pub(super) const RECORD_HEADER_LEN: usize = 12;
/// What ends a record. Source: `Util.java` writeTxnBytes.
const END_OF_RECORD: u8 = b'B';

/// The header of a new file; its dbid is always 0 in Java.
pub(super) fn file_header() -> [u8; FILE_HEADER_LEN] {
    let mut header = [0; FILE_HEADER_LEN];
    header[..4].copy_from_slice(&MAGIC);
    header[4..8].copy_from_slice(&VERSION.to_be_bytes());
    header
}

/// Checks a file's header; the sentence says what is wrong.
pub(super) fn check_file_header(header: &[u8]) -> Result<(), String> {
    let mut reader = Reader::new(header);
    let magic = reader.take(4).map_err(|error| error.to_string())?;
    if magic != MAGIC {
        return Err(format!("it starts with {:02x?}, not with ZKLG", magic));
    }
    let version = reader.int().map_err(|error| error.to_string())?;
    if version != VERSION {
        return Err(format!("its version is {version}, only {VERSION} is known"));
    }
    // The database's number, which nobody looks at; but records begin behind it.
    match reader.long() {
        Ok(_) => Ok(()),
        Err(_) => Err("it ends within its header".to_owned()),
    }
}

/// Appends a record.
pub(super) fn write_record(out: &mut Vec<u8>, payload: &[u8], len: i32) {
    out.reserve(RECORD_HEADER_LEN + payload.len() + 1);
    out.extend_from_slice(&u64::from(simd_adler32::adler32(&payload)).to_be_bytes());
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(payload);
    out.push(END_OF_RECORD);
}

/// What stands at a position of a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Parsed<'a> {
    /// A whole record and its bytes altogether.
    Record {
        zxid: Zxid,
        checksum: u32,
        payload: &'a [u8],
        len: usize,
    },
    /// Nothing more: the end of the file, or a length of 0.
    End,
    /// Something that is no record.
    Bad(&'static str),
}

/// Reads what stands at the front of `bytes`, which reach to the end of the file.
pub(super) fn parse_record(bytes: &[u8]) -> Parsed<'_> {
    if bytes.is_empty() {
        return Parsed::End;
    }
    if bytes.len() < RECORD_HEADER_LEN {
        return if bytes.iter().all(|byte| *byte == 0) {
            Parsed::End
        } else {
            Parsed::Bad("a record ends early")
        };
    }
    let mut reader = Reader::new(bytes);
    let (Ok(checksum), Ok(len)) = (reader.long(), reader.int()) else {
        return Parsed::Bad("a record ends early");
    };
    if len == 0 {
        return if checksum == 0 {
            Parsed::End
        } else {
            Parsed::Bad("a record has a checksum, but a length of 0")
        };
    }
    let Ok(len) = usize::try_from(len) else {
        return Parsed::Bad("a record has a negative length");
    };
    let (Ok(payload), Ok(end)) = (reader.take(len), reader.byte()) else {
        return Parsed::Bad("a record is longer than the rest of the file");
    };
    if end != END_OF_RECORD {
        return Parsed::Bad("a record has no end mark");
    }
    let sum = simd_adler32::adler32(&payload);
    if checksum != i64::from(sum) {
        return Parsed::Bad("a record's checksum does not match");
    }
    match TxnHeader::from_slice(payload) {
        Ok(header) => Parsed::Record {
            zxid: header.zxid,
            checksum: sum,
            payload,
            len: RECORD_HEADER_LEN + payload.len() + 1,
        },
        Err(_) => Parsed::Bad("a record is too short for a transaction"),
    }
}

/// Whether the record at the front has its end mark where its length says: its writing was not cut
/// short, so a checksum that does not match is damage.
pub(super) fn has_end_mark(bytes: &[u8]) -> bool {
    let Some(len) = record_len(bytes) else {
        return false;
    };
    bytes.get(len - 1) == Some(&END_OF_RECORD)
}

/// Bytes of the record at the front, as its header claims; `None` where it claims nothing sensible.
pub(super) fn record_len(bytes: &[u8]) -> Option<usize> {
    let len = bytes.get(8..RECORD_HEADER_LEN)?.try_into().ok()?;
    let len = usize::try_from(i32::from_be_bytes(len)).ok()?;
    (len > 0).then_some(RECORD_HEADER_LEN + len + 1)
}

/// Whether a whole record of a transaction behind `last` stands anywhere in `bytes`. Then what is
/// in front of it is no torn end: a torn end is the last thing written.
pub(super) fn record_anywhere(bytes: &[u8], last: Zxid) -> Option<(usize, Zxid)> {
    // The four high bytes of the checksum are always 0, and a payload is never shorter than a
    // header: both spare a checksum at almost every position.
    let positions = bytes
        .len()
        .saturating_sub(RECORD_HEADER_LEN + TxnHeader::LEN);
    let mut at = 0;
    while at < positions {
        let window = &bytes[at..];
        if window[..4] != [0; 4] {
            at += 1;
            continue;
        }
        let len = i32::from_be_bytes([window[8], window[9], window[10], window[11]]);
        let long_enough = usize::try_from(len).is_ok_and(|len| len >= TxnHeader::LEN);
        if long_enough
            && let Parsed::Record { zxid, .. } = parse_record(window)
            && zxid > last
        {
            return Some((at, zxid));
        }
        at += 1;
    }
    None
}
