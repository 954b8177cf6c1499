//! Replies field by field, as far as needed to find what each run has of its own.

use super::names::{Names, same};
use zookeeper_server::ids::SessionId;
use zookeeper_server::jute::{JuteError, Reader};
use zookeeper_server::sessions::password;

const CREATE: i32 = 1;
const DELETE: i32 = 2;
const EXISTS: i32 = 3;
const GET_DATA: i32 = 4;
const SET_DATA: i32 = 5;
const GET_ACL: i32 = 6;
const SET_ACL: i32 = 7;
const GET_CHILDREN: i32 = 8;
const GET_CHILDREN2: i32 = 12;
const CHECK: i32 = 13;
const MULTI: i32 = 14;
const CREATE2: i32 = 15;
const RECONFIG: i32 = 16;
const CREATE_CONTAINER: i32 = 19;
const CREATE_TTL: i32 = 21;
const MULTI_READ: i32 = 22;
const GET_EPHEMERALS: i32 = 103;
const WHO_AM_I: i32 = 107;
const CLOSE: i32 = -11;
const ERROR: i32 = -1;
const EVENT_XID: i32 = -1;
const MARSHALLING_ERROR: i32 = -5;
const EPHEMERAL_ON_LOCAL_SESSION: i32 = -120;

type Same = Result<(), String>;

/// The answer to a connect request.
pub(crate) struct Connect;

impl Connect {
    pub(crate) fn compare(java: &[u8], ours: &[u8], names: &mut Names) -> Same {
        let mut pair = Pair::new(java, ours);
        pair.int("protocol version")?;
        pair.int("timeout")?;
        let (java_session, our_session) = pair.long()?;
        names.new_session(java_session, our_session)?;
        let passwd = pair.ours.buffer().map_err(broken)?;
        pair.java.buffer().map_err(broken)?;
        let expected = match our_session {
            0 => [0; 16],
            session => password(SessionId(session)),
        };
        if passwd != expected {
            return Err(format!("password {passwd:02x?}"));
        }
        pair.rest()
    }
}

/// Any other packet of a server.
pub(crate) struct Reply;

impl Reply {
    /// `op` is the type of the request with that xid.
    pub(crate) fn compare(op: Option<i32>, java: &[u8], ours: &[u8], names: &mut Names) -> Same {
        let mut pair = Pair::new(java, ours);
        let xid = pair.int("xid")?;
        let (java_zxid, our_zxid) = pair.long()?;
        let err = pair.int("error")?;
        if xid == EVENT_XID {
            names.transaction(java_zxid, our_zxid)?;
            return pair.rest();
        }
        let op = op.ok_or_else(|| format!("nothing was asked with xid {xid}"))?;
        let changes = matches!(
            op,
            CREATE
                | DELETE
                | SET_DATA
                | SET_ACL
                | MULTI
                | CREATE2
                | CREATE_CONTAINER
                | CREATE_TTL
                | RECONFIG
                | CLOSE
        );
        // Java's leader throws a request away that it can't read; ours makes a transaction of
        // every refusal, so that its zxid is a new one. And a follower of ours refuses an ephemeral
        // node of a local session itself, where Java has the leader log that it does.
        if changes && err != MARSHALLING_ERROR && err != EPHEMERAL_ON_LOCAL_SESSION {
            names.transaction(java_zxid, our_zxid)?;
        } else {
            names.position(java_zxid, our_zxid)?;
        }
        if pair.java.is_empty() {
            return pair.rest();
        }
        match op {
            MULTI | MULTI_READ => results(&mut pair, names)?,
            _ => body(op, &mut pair, names)?,
        }
        pair.rest()
    }
}

fn body(op: i32, pair: &mut Pair<'_>, names: &mut Names) -> Same {
    match op {
        CREATE => pair.buffer("path"),
        CREATE2 | CREATE_CONTAINER | CREATE_TTL => {
            pair.buffer("path")?;
            stat(pair, names)
        }
        EXISTS | SET_DATA | SET_ACL => stat(pair, names),
        RECONFIG => {
            pair.members(names)?;
            stat(pair, names)
        }
        GET_DATA => {
            pair.buffer("data")?;
            stat(pair, names)
        }
        GET_ACL => {
            let count = pair.int("length of the list")?;
            for _ in 0..count {
                pair.int("permissions")?;
                pair.buffer("scheme")?;
                pair.buffer("id")?;
            }
            stat(pair, names)
        }
        GET_CHILDREN | GET_EPHEMERALS => pair.set("names"),
        GET_CHILDREN2 => {
            pair.set("names")?;
            stat(pair, names)
        }
        WHO_AM_I => pair.identities(),
        _ => Ok(()),
    }
}

fn results(pair: &mut Pair<'_>, names: &mut Names) -> Same {
    loop {
        let op = pair.int("type of a result")?;
        let done = pair.byte("end of the results")?;
        pair.int("error of a result")?;
        if done != 0 {
            return Ok(());
        }
        match op {
            ERROR => {
                pair.int("error")?;
            }
            DELETE | CHECK => {}
            op => body(op, pair, names)?,
        }
    }
}

fn stat(pair: &mut Pair<'_>, names: &mut Names) -> Same {
    let (java_czxid, czxid) = pair.long()?;
    let (java_mzxid, mzxid) = pair.long()?;
    names.transaction(java_czxid, czxid)?;
    names.transaction(java_mzxid, mzxid)?;
    let (java_ctime, ctime) = pair.long()?;
    names.time(java_ctime, ctime, czxid)?;
    let (java_mtime, mtime) = pair.long()?;
    names.time(java_mtime, mtime, mzxid)?;
    for version in ["version", "cversion", "aversion"] {
        pair.int(version)?;
    }
    let (java_owner, owner) = pair.long()?;
    names.owner(java_owner, owner)?;
    pair.int("length of the data")?;
    pair.int("number of children")?;
    let (java_pzxid, pzxid) = pair.long()?;
    names.transaction(java_pzxid, pzxid)
}

fn broken(error: JuteError) -> String {
    format!("a broken reply: {error}")
}

/// Java's bytes and ours, read side by side.
struct Pair<'a> {
    java: Reader<'a>,
    ours: Reader<'a>,
}

impl<'a> Pair<'a> {
    fn new(java: &'a [u8], ours: &'a [u8]) -> Self {
        Pair {
            java: Reader::new(java),
            ours: Reader::new(ours),
        }
    }

    fn int(&mut self, what: &str) -> Result<i32, String> {
        let java = self.java.int().map_err(broken)?;
        let ours = self.ours.int().map_err(broken)?;
        same(what, i64::from(java), i64::from(ours))?;
        Ok(java)
    }

    fn byte(&mut self, what: &str) -> Result<u8, String> {
        let java = self.java.byte().map_err(broken)?;
        let ours = self.ours.byte().map_err(broken)?;
        same(what, i64::from(java), i64::from(ours))?;
        Ok(java)
    }

    fn long(&mut self) -> Result<(i64, i64), String> {
        Ok((
            self.java.long().map_err(broken)?,
            self.ours.long().map_err(broken)?,
        ))
    }

    fn buffer(&mut self, what: &str) -> Same {
        let java = self.java.buffer_or_null().map_err(broken)?;
        let ours = self.ours.buffer_or_null().map_err(broken)?;
        if java == ours {
            return Ok(());
        }
        Err(format!("{what}: {java:02x?} expected, {ours:02x?} came"))
    }

    /// The list of members, whose version is a zxid.
    fn members(&mut self, names: &mut Names) -> Same {
        let text = |input: &mut Reader<'a>| -> Result<String, String> {
            let bytes = input.buffer().map_err(broken)?;
            String::from_utf8(bytes.to_vec()).map_err(|error| error.to_string())
        };
        let (java, ours) = (text(&mut self.java)?, text(&mut self.ours)?);
        if java.lines().count() != ours.lines().count() {
            return Err(format!("members: {java} expected, {ours} came"));
        }
        for (java, ours) in java.lines().zip(ours.lines()) {
            let version = |line: &str| i64::from_str_radix(line.strip_prefix("version=")?, 16).ok();
            match (version(java), version(ours)) {
                (Some(java), Some(ours)) => names.transaction(java, ours)?,
                _ if names.our_member(java) == ours => {}
                _ => return Err(format!("a member: {java} expected, {ours} came")),
            }
        }
        Ok(())
    }

    /// Strings whose order is a hash table's in Java.
    fn set(&mut self, what: &str) -> Same {
        let mut java = self.java.strings().map_err(broken)?;
        let mut ours = self.ours.strings().map_err(broken)?;
        java.sort();
        ours.sort();
        if java == ours {
            return Ok(());
        }
        Err(format!("{what}: {java:?} expected, {ours:?} came"))
    }

    /// Schemes and names, in the order of Java's hash table.
    fn identities(&mut self) -> Same {
        let read = |input: &mut Reader<'a>| -> Result<Vec<(String, String)>, JuteError> {
            let mut all = Vec::new();
            for _ in 0..input.count()? {
                all.push((input.string()?, input.string()?));
            }
            all.sort();
            Ok(all)
        };
        let java = read(&mut self.java).map_err(broken)?;
        let ours = read(&mut self.ours).map_err(broken)?;
        if java == ours {
            return Ok(());
        }
        Err(format!("identities: {java:?} expected, {ours:?} came"))
    }

    /// What is left is the same to the byte.
    fn rest(&mut self) -> Same {
        let (java, ours) = (self.java.rest(), self.ours.rest());
        if java == ours {
            return Ok(());
        }
        Err(format!("{java:02x?} expected in the end, {ours:02x?} came"))
    }
}
