//! Bytes of the protocol, written by hand: what is tested is not asked how to write it.
//! Source: `zookeeper.jute`, `BinaryOutputArchive.java`.

/// A record being written.
#[derive(Clone, Debug, Default)]
pub(crate) struct Out(pub(crate) Vec<u8>);

impl Out {
    pub(crate) fn byte(&mut self, value: u8) {
        self.0.push(value);
    }

    pub(crate) fn int(&mut self, value: i32) {
        self.0.extend(value.to_be_bytes());
    }

    pub(crate) fn long(&mut self, value: i64) {
        self.0.extend(value.to_be_bytes());
    }

    /// A string or a buffer; they look alike.
    pub(crate) fn buffer(&mut self, bytes: Option<&[u8]>) {
        match bytes {
            None => self.int(-1),
            Some(bytes) => {
                self.int(i32::try_from(bytes.len()).unwrap_or(i32::MAX));
                self.0.extend(bytes);
            }
        }
    }

    /// With its length in front.
    pub(crate) fn framed(&self) -> Vec<u8> {
        let mut framed = Out::default();
        framed.buffer(Some(&self.0));
        framed.0
    }
}

/// A record being read. `None` where it ends too soon.
#[derive(Clone, Copy, Debug)]
pub(crate) struct In<'a>(pub(crate) &'a [u8]);

impl<'a> In<'a> {
    pub(crate) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    pub(crate) fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|taken| taken[0])
    }

    pub(crate) fn int(&mut self) -> Option<i32> {
        let bytes = self.take(4)?.try_into().ok()?;
        Some(i32::from_be_bytes(bytes))
    }

    pub(crate) fn long(&mut self) -> Option<i64> {
        let bytes = self.take(8)?.try_into().ok()?;
        Some(i64::from_be_bytes(bytes))
    }

    pub(crate) fn buffer(&mut self) -> Option<Option<&'a [u8]>> {
        match self.int()? {
            -1 => Some(None),
            length => self.take(usize::try_from(length).ok()?).map(Some),
        }
    }
}

/// Bytes as text for a person, without loss: what is not plain ASCII stands as `\xNN`.
pub(crate) fn shown(bytes: &[u8]) -> String {
    if let [first, rest @ ..] = bytes
        && rest.len() > 20
        && rest.iter().all(|byte| byte == first)
    {
        return format!("{} times \"{}\"", bytes.len(), [*first].escape_ascii());
    }
    format!("\"{}\"", bytes.escape_ascii())
}

/// The 16 bytes that prove a session: what `java.util.Random` gives for its number under a mask.
/// Source: `ZooKeeperServer.java` generatePasswd, the documentation of `java.util.Random`.
pub(crate) fn password(session: i64) -> [u8; 16] {
    const MULTIPLIER: i64 = 0x5_DEEC_E66D;
    const MASK: i64 = (1 << 48) - 1;
    let mut seed = (session ^ 0xB341_5C00 ^ MULTIPLIER) & MASK;
    let mut bytes = [0; 16];
    for chunk in bytes.chunks_mut(4) {
        seed = seed.wrapping_mul(MULTIPLIER).wrapping_add(0xB) & MASK;
        let next = (seed >> 16).to_le_bytes();
        chunk.copy_from_slice(&next[..4]);
    }
    bytes
}
