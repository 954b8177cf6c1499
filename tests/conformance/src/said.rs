//! Replies made comparable: what differs from one server to the next by right is given a name, all
//! the rest stays as the bytes are.
//!
//! By right differ session numbers (and so passwords, which are checked), positions, times, and the
//! order of children, ephemerals and proven identities (so that of the access lists that `auth`
//! becomes, too), which is that of hash tables in Java.

use crate::call::op;
use crate::side::{Entry, Heard, write_position};
use crate::wire::{In, password, shown};
use std::collections::BTreeMap;

/// How positions are named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Numbering {
    /// Nobody else writes: the distance from where the sequence began.
    Exact,
    /// Others write too: the sequence's own write at or before the position.
    Shared,
}

/// The names of one server's numbers in one sequence.
pub(crate) struct Names {
    numbering: Numbering,
    /// Where the sequence began.
    base: i64,
    /// Positions of the sequence's own writes.
    writes: Vec<i64>,
    /// Where the sequence's sessions ended.
    ends: Vec<i64>,
    /// Sessions in the order in which they were given.
    sessions: Vec<i64>,
    /// The one time of each position.
    times: BTreeMap<i64, i64>,
}

impl Names {
    /// Learns them from all that was heard.
    pub(crate) fn learn(numbering: Numbering, base: i64, logs: &[&[Entry]]) -> Self {
        let mut writes = Vec::new();
        let mut ends = Vec::new();
        let mut sessions: Vec<(usize, i64)> = Vec::new();
        for entry in logs.iter().copied().flatten() {
            match &entry.heard {
                Heard::Reply { op, frame } => {
                    let mut header = In(frame);
                    let (_xid, zxid, err) = (header.int(), header.long(), header.int());
                    let zxid = zxid
                        .zip(err)
                        .and_then(|(zxid, err)| write_position(*op, zxid, err));
                    writes.extend(zxid);
                    if *op == op::CLOSE_SESSION {
                        ends.extend(zxid);
                    }
                }
                Heard::Connected(frame) => {
                    let id = In(frame.get(8..).unwrap_or_default()).long().unwrap_or(0);
                    if id != 0 && !sessions.iter().any(|(_, known)| *known == id) {
                        sessions.push((entry.step, id));
                    }
                }
                _ => {}
            }
        }
        writes.sort_unstable();
        writes.dedup();
        sessions.sort_unstable();
        Names {
            numbering,
            base,
            writes,
            ends,
            sessions: sessions.into_iter().map(|(_, id)| id).collect(),
            times: BTreeMap::new(),
        }
    }

    fn zxid(&self, zxid: i64) -> String {
        if zxid <= 0 {
            return format!("z={zxid}");
        }
        match self.numbering {
            Numbering::Exact => format!("z{:+}", zxid - self.base),
            Numbering::Shared => {
                let at = self.writes.partition_point(|write| *write <= zxid);
                format!("w{at}")
            }
        }
    }

    fn session(&self, id: i64) -> String {
        match self.sessions.iter().position(|known| *known == id) {
            Some(at) => format!("s{at}"),
            None => format!("{id:#x}"),
        }
    }

    /// A position has one time, and only those of the distant past may be any.
    fn time(&mut self, zxid: i64, time: i64) -> String {
        if time == 0 {
            return "t=0".to_owned();
        }
        let known = *self.times.entry(zxid).or_insert(time);
        if known == time {
            "t".to_owned()
        } else {
            format!("t{:+}!", time - known)
        }
    }

    /// All that was heard, named, and at which step it was. Events of one session's end, which
    /// takes its nodes in the order of a hash table, come in an order of our own.
    pub(crate) fn name_all(&mut self, log: &[Entry]) -> Vec<(usize, String)> {
        let mut named = Vec::with_capacity(log.len());
        let mut sorted = 0;
        let mut last = None;
        for entry in log {
            let end = match &entry.heard {
                Heard::Event(frame) => In(frame.get(4..).unwrap_or_default())
                    .long()
                    .filter(|zxid| self.ends.contains(zxid)),
                _ => None,
            };
            if end.is_none() || end != last {
                sorted = named.len();
            }
            last = end;
            named.push((entry.step, self.name(&entry.heard)));
            named[sorted..].sort_unstable();
        }
        named
    }

    /// What was heard, named.
    fn name(&mut self, heard: &Heard) -> String {
        match heard {
            Heard::Closed => "closed".to_owned(),
            Heard::Silence => "silence".to_owned(),
            Heard::Connected(frame) => {
                let named = self.connected(&mut In(frame));
                named.unwrap_or_else(|| format!("connect response {}", shown(frame)))
            }
            Heard::Event(frame) => {
                let named = self.event(frame);
                named.unwrap_or_else(|| format!("event {}", shown(frame)))
            }
            Heard::Reply { op, frame } => {
                let named = self.reply(*op, frame);
                named.unwrap_or_else(|| format!("reply {}", shown(frame)))
            }
        }
    }

    fn connected(&self, input: &mut In<'_>) -> Option<String> {
        let (protocol, timeout, id) = (input.int()?, input.int()?, input.long()?);
        let given = input.buffer()?;
        let proof = match given {
            Some(given) if id != 0 && given == password(id) => "right".to_owned(),
            Some(given) => shown(given),
            None => "null".to_owned(),
        };
        Some(format!(
            "connected protocol={protocol} timeout={timeout} session={} password={proof} {}",
            self.session(id),
            shown(input.0)
        ))
    }

    fn header(&self, input: &mut In<'_>) -> Option<(String, i32)> {
        let (xid, zxid, err) = (input.int()?, input.long()?, input.int()?);
        Some((format!("xid={xid} {} err={err}", self.zxid(zxid)), err))
    }

    fn event(&self, frame: &[u8]) -> Option<String> {
        let mut input = In(frame);
        let (header, _) = self.header(&mut input)?;
        let (kind, state) = (input.int()?, input.int()?);
        let path = text(input.buffer()?);
        let rest = shown(input.0);
        Some(format!(
            "event {header} type={kind} state={state} {path} {rest}"
        ))
    }

    fn reply(&mut self, op: i32, frame: &[u8]) -> Option<String> {
        let mut input = In(frame);
        let (header, err) = self.header(&mut input)?;
        // A body that is not the record it should be is shown as it is.
        let mut record = input;
        let body = match self.body(op, err, &mut record) {
            Some(body) if record.0.is_empty() => body,
            _ => shown(input.0),
        };
        Some(format!("{header} {body}"))
    }

    fn body(&mut self, op: i32, err: i32, input: &mut In<'_>) -> Option<String> {
        if input.0.is_empty() {
            return Some(String::new());
        }
        if err != 0 && op != op::MULTI_READ {
            return None;
        }
        match op {
            op::CREATE | op::SYNC => Some(text(input.buffer()?)),
            op::CREATE2 | op::CREATE_CONTAINER | op::CREATE_TTL => {
                Some(format!("{} {}", text(input.buffer()?), self.stat(input)?))
            }
            op::SET_DATA | op::EXISTS | op::SET_ACL => self.stat(input),
            op::GET_DATA => Some(format!("{} {}", text(input.buffer()?), self.stat(input)?)),
            op::GET_ACL => {
                let mut entries = Vec::new();
                for _ in 0..input.int()? {
                    let perms = input.int()?;
                    let (scheme, id) = (text(input.buffer()?), text(input.buffer()?));
                    entries.push(format!("{perms}:{scheme}:{id}"));
                }
                entries.sort_unstable();
                Some(format!("{entries:?} {}", self.stat(input)?))
            }
            op::WHO_AM_I => {
                let mut clients = Vec::new();
                for _ in 0..input.int()? {
                    clients.push((text(input.buffer()?), text(input.buffer()?)));
                }
                clients.sort_unstable();
                Some(format!("{clients:?}"))
            }
            op::GET_CHILDREN | op::GET_EPHEMERALS => children(input),
            op::GET_CHILDREN2 => Some(format!("{} {}", children(input)?, self.stat(input)?)),
            op::MULTI | op::MULTI_READ => self.parts(input),
            _ => None,
        }
    }

    fn stat(&mut self, input: &mut In<'_>) -> Option<String> {
        let (czxid, mzxid) = (input.long()?, input.long()?);
        let (ctime, mtime) = (input.long()?, input.long()?);
        let (version, cversion, aversion) = (input.int()?, input.int()?, input.int()?);
        let owner = input.long()?;
        let (length, count) = (input.int()?, input.int()?);
        let pzxid = input.long()?;
        Some(format!(
            "{{c:{} m:{} p:{} ct:{} mt:{} v:{version} cv:{cversion} av:{aversion} owner:{} \
             len:{length} n:{count}}}",
            self.zxid(czxid),
            self.zxid(mzxid),
            self.zxid(pzxid),
            self.time(czxid, ctime),
            self.time(mzxid, mtime),
            self.session(owner),
        ))
    }

    fn parts(&mut self, input: &mut In<'_>) -> Option<String> {
        let mut parts = Vec::new();
        loop {
            let (op, done, err) = (input.int()?, input.byte()?, input.int()?);
            let body = match op {
                _ if done != 0 => String::new(),
                -1 => format!("{}", input.int()?),
                op::DELETE | op::CHECK => String::new(),
                op => self.body(op, 0, input)?,
            };
            parts.push(format!("{op}/{done}/{err} {body}"));
            if done != 0 {
                return Some(format!("{parts:?}"));
            }
        }
    }
}

fn text(bytes: Option<&[u8]>) -> String {
    bytes.map_or_else(|| "null".to_owned(), |bytes| shown(&mended(bytes)))
}

/// Java writes a character beyond the basic plane as two surrogates of three bytes each, which no
/// client reads, and we as UTF-8 has it. Source: `BinaryOutputArchive.java` stringToByteBuffer.
fn mended(bytes: &[u8]) -> Vec<u8> {
    let mut mended = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let [first, after @ ..] = rest {
        if let [
            0xed,
            a @ 0xa0..=0xaf,
            b,
            0xed,
            c @ 0xb0..=0xbf,
            d,
            after @ ..,
        ] = rest
        {
            let high = u32::from(a & 0x0f) << 6 | u32::from(b & 0x3f);
            let low = u32::from(c & 0x0f) << 6 | u32::from(d & 0x3f);
            let code = 0x1_0000 + (high << 10 | low);
            let character = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
            mended.extend(character.encode_utf8(&mut [0; 4]).as_bytes());
            rest = after;
        } else {
            mended.push(*first);
            rest = after;
        }
    }
    mended
}

/// Names of nodes, in an order of our own.
fn children(input: &mut In<'_>) -> Option<String> {
    let mut names = Vec::new();
    for _ in 0..input.int()? {
        names.push(text(input.buffer()?));
    }
    names.sort_unstable();
    Some(format!("{names:?}"))
}
