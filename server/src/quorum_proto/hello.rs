//! What the initiator of an election connection says first.
//! Source: `QuorumCnxManager.java` InitialMessage.

use crate::ids::ServerId;

/// The version with one address; also what Java sends unless `multiAddress.enabled`.
const VERSION_1: i64 = -65_536;
/// The version with several addresses, separated by `|`.
const VERSION_2: i64 = -65_535;
/// The longest list of addresses, in bytes.
const ADDRESS_MAX: i32 = 2_048;
/// Bytes of a hello in front of its addresses.
const HEAD: usize = 8 + 8 + 4;

/// Why an election connection's first bytes are refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HelloError {
    /// A protocol version that nobody speaks.
    #[error("the election protocol version {0} is unknown")]
    Version(i64),
    /// A length of addresses out of bounds.
    #[error("an address list of {0} bytes is refused")]
    AddressLength(i32),
}

/// Who dials, and at which election addresses it can be dialled back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The dialling member.
    pub id: ServerId,
    /// Its own election address as text; empty in the legacy form.
    pub addresses: String,
}

impl Hello {
    /// The bytes of version 1.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEAD + self.addresses.len());
        out.extend(VERSION_1.to_be_bytes());
        out.extend(self.id.0.to_be_bytes());
        let len = i32::try_from(self.addresses.len())
            .expect("an election address is a host name and a port");
        out.extend(len.to_be_bytes());
        out.extend(self.addresses.as_bytes());
        out
    }

    /// Reads a hello from the front of `bytes`, with the number of bytes it takes; `None` where
    /// they are not all there yet.
    ///
    /// # Errors
    /// [`HelloError`] where this can't become a hello.
    pub fn decode(bytes: &[u8]) -> Result<Option<(Hello, usize)>, HelloError> {
        let Some((version, rest)) = bytes.split_first_chunk::<8>() else {
            return Ok(None);
        };
        let version = i64::from_be_bytes(*version);
        if version >= 0 {
            // Before the protocol had versions, a bare server id came first.
            let hello = Hello {
                id: ServerId(version),
                addresses: String::new(),
            };
            return Ok(Some((hello, 8)));
        }
        if version != VERSION_1 && version != VERSION_2 {
            return Err(HelloError::Version(version));
        }
        let Some((id, rest)) = rest.split_first_chunk::<8>() else {
            return Ok(None);
        };
        let Some((len, rest)) = rest.split_first_chunk::<4>() else {
            return Ok(None);
        };
        let len = i32::from_be_bytes(*len);
        if !(1..=ADDRESS_MAX).contains(&len) {
            return Err(HelloError::AddressLength(len));
        }
        let len = usize::try_from(len).map_err(|_| HelloError::AddressLength(len))?;
        Ok(rest.get(..len).map(|addresses| {
            let hello = Hello {
                id: ServerId(i64::from_be_bytes(*id)),
                addresses: String::from_utf8_lossy(addresses).into_owned(),
            };
            (hello, HEAD + len)
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hello_is_read_back_once_all_of_it_has_come() {
        let hello = Hello {
            id: ServerId(3),
            addresses: "zk-2.example:3888".into(),
        };
        let bytes = hello.encode();
        for end in 0..bytes.len() {
            assert_eq!(Hello::decode(&bytes[..end]), Ok(None));
        }
        assert_eq!(Hello::decode(&bytes), Ok(Some((hello, bytes.len()))));
    }

    #[test]
    fn a_hello_with_an_unknown_version_or_a_huge_address_is_refused() {
        assert_eq!(
            Hello::decode(&(-7_i64).to_be_bytes()),
            Err(HelloError::Version(-7))
        );
        let mut bytes = VERSION_1.to_be_bytes().to_vec();
        bytes.extend(1_i64.to_be_bytes());
        bytes.extend(i32::MAX.to_be_bytes());
        assert_eq!(
            Hello::decode(&bytes),
            Err(HelloError::AddressLength(i32::MAX))
        );
    }
}
