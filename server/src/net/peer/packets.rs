//! [`QuorumPacket`]s off a stream. They have no length in front, so each field is awaited; every
//! length is checked before memory is taken for it.

use crate::proto::Id;
use crate::quorum_proto::{PacketType, QuorumPacket};
use bytes::Bytes;
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt};

/// Identities that a forwarded request may carry.
const AUTH_MAX: i32 = 1_024;

fn refuse(what: &str, len: i32) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("a quorum packet with {what} of length {len}"),
    )
}

async fn bytes<R: AsyncRead + Unpin>(
    input: &mut R,
    what: &str,
    max: usize,
) -> io::Result<Option<Vec<u8>>> {
    let len = input.read_i32().await?;
    if len == -1 {
        return Ok(None);
    }
    let size = usize::try_from(len).map_err(|_| refuse(what, len))?;
    if size > max {
        return Err(refuse(what, len));
    }
    let mut data = vec![0; size];
    input.read_exact(&mut data).await?;
    Ok(Some(data))
}

/// The next packet, its data at most `data_max` bytes long.
///
/// # Errors
/// The connection's, or `InvalidData` where the bytes are no packet.
pub(super) async fn read_packet<R: AsyncRead + Unpin>(
    input: &mut R,
    data_max: usize,
) -> io::Result<QuorumPacket> {
    let kind = PacketType(input.read_i32().await?);
    let zxid = input.read_i64().await?;
    let data = bytes(input, "data", data_max).await?.map(Bytes::from);
    let count = input.read_i32().await?;
    let auth = match count {
        -1 => None,
        0..=AUTH_MAX => {
            let mut ids = Vec::new();
            for _ in 0..count {
                let mut text = [String::new(), String::new()];
                for field in &mut text {
                    let raw = bytes(input, "an identity", data_max).await?;
                    *field = String::from_utf8_lossy(&raw.unwrap_or_default()).into_owned();
                }
                let [scheme, id] = text;
                ids.push(Id { scheme, id });
            }
            Some(ids)
        }
        other => return Err(refuse("identities", other)),
    };
    Ok(QuorumPacket {
        kind,
        zxid,
        data,
        auth,
    })
}
