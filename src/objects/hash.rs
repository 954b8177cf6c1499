//! Short hashes that tell whether two texts are the same.

use sha2::{Digest, Sha256};

/// The first 64 bits of SHA-256, in hexadecimal: enough to tell versions of one
/// object apart, short enough for a person to compare.
pub fn short_hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
