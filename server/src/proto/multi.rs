//! Several operations in one request. Source: `MultiOperationRecord.java`, `zookeeper.jute`
//! MultiHeader.

use super::OpCode;
use super::change::{PathVersion, SetDataRequest};
use super::create::{CreateMode, CreateRequest, CreateTtlRequest};
use super::record;
use super::watches::path;
use crate::jute::{JuteError, Reader, Record, Writer, text};
use std::borrow::Cow;

/// A multiRead request. Source: `MultiOperationRecord.java` deserialize.
#[derive(Debug, PartialEq, Eq)]
pub enum MultiRead<'a> {
    /// getData and getChildren with their paths, null for `None`.
    Reads(Vec<(OpCode, Option<Cow<'a, str>>)>),
    /// Whole, and all of it writes.
    Writes,
}

impl<'a> MultiRead<'a> {
    /// Reads it from a request's body. Memory grows with the bytes read.
    ///
    /// # Errors
    /// [`JuteError`] where the bytes are no such request, or reads and writes are mixed.
    pub fn read(input: &mut Reader<'a>) -> Result<Self, JuteError> {
        let mut reads = Vec::new();
        let mut writes = false;
        loop {
            let header = MultiHeader::read(input)?;
            if header.done {
                break;
            }
            if matches!(header.op, OpCode::GET_DATA | OpCode::GET_CHILDREN) {
                let path = input.buffer_or_null()?.map(text);
                let _watch = input.boolean()?;
                reads.push((header.op, path));
            } else {
                if path(&mut input.clone()).is_ok() {
                    read_op(header.op, input)?;
                } else {
                    // Nobody looks at the path of what is not carried out, not even for null.
                    record::skip_part(header.op, input)?;
                }
                writes = true;
            }
        }
        if !writes {
            return Ok(MultiRead::Reads(reads));
        }
        if reads.is_empty() {
            return Ok(MultiRead::Writes);
        }
        Err(JuteError::BadValue {
            what: "the number of reads among writes",
            value: i64::try_from(reads.len()).unwrap_or(i64::MAX),
        })
    }
}

/// What stands in front of every operation and result, and behind the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MultiHeader {
    /// Of which kind the next one is.
    pub op: OpCode,
    /// Whether there is none.
    pub done: bool,
    /// A result's error, -1 in requests.
    pub err: i32,
}

impl MultiHeader {
    /// Behind the last operation or result.
    pub const END: MultiHeader = MultiHeader {
        op: OpCode(-1),
        done: true,
        err: -1,
    };
}

impl Record for MultiHeader {
    fn read(input: &mut Reader<'_>) -> Result<Self, JuteError> {
        Ok(MultiHeader {
            op: OpCode(input.int()?),
            done: input.boolean()?,
            err: input.int()?,
        })
    }

    fn write(&self, out: &mut Writer) {
        out.int(self.op.0);
        out.boolean(self.done);
        out.int(self.err);
    }
}

/// One write of a multi.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WriteOp {
    /// create, create2 or createContainer.
    Create(OpCode, CreateRequest),
    /// createTTL.
    CreateTtl(CreateTtlRequest),
    /// delete.
    Delete(PathVersion),
    /// setData.
    SetData(SetDataRequest),
    /// check.
    Check(PathVersion),
}

impl WriteOp {
    /// Its number.
    #[must_use]
    pub fn op(&self) -> OpCode {
        match self {
            WriteOp::Create(op, _) => *op,
            WriteOp::CreateTtl(_) => OpCode::CREATE_TTL,
            WriteOp::Delete(_) => OpCode::DELETE,
            WriteOp::SetData(_) => OpCode::SET_DATA,
            WriteOp::Check(_) => OpCode::CHECK,
        }
    }
}

/// A multi request: writes only, for Java refuses a mixture and answers reads under another
/// number (`multiRead`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MultiRequest {
    /// In the client's order.
    pub ops: Vec<WriteOp>,
}

impl Record for MultiRequest {
    fn read(input: &mut Reader<'_>) -> Result<Self, JuteError> {
        let mut ops = Vec::new();
        loop {
            let header = MultiHeader::read(input)?;
            if header.done {
                return Ok(MultiRequest { ops });
            }
            ops.push(read_op(header.op, input)?);
        }
    }

    fn write(&self, out: &mut Writer) {
        for op in &self.ops {
            let header = MultiHeader {
                op: op.op(),
                done: false,
                err: -1,
            };
            header.write(out);
            match op {
                WriteOp::Create(_, create) => create.write(out),
                WriteOp::CreateTtl(create) => create.write(out),
                WriteOp::Delete(it) | WriteOp::Check(it) => it.write(out),
                WriteOp::SetData(set) => set.write(out),
            }
        }
        MultiHeader::END.write(out);
    }
}

fn read_op(op: OpCode, input: &mut Reader<'_>) -> Result<WriteOp, JuteError> {
    // Whatever the operation, its path comes first. On its own, setData with a null path is refused
    // as one with a bad path; here Java looks into all paths beforehand and stumbles.
    path(&mut input.clone())?;
    Ok(match op {
        OpCode::CREATE | OpCode::CREATE2 | OpCode::CREATE_CONTAINER => {
            let create = CreateRequest::read(input)?;
            // One with a time to live has no place for the time. Source: `CreateOptions.java`.
            let mode = CreateMode::from_flags(create.flags)
                .filter(|mode| !mode.is_ttl())
                .ok_or(JuteError::BadValue {
                    what: "a create's flags",
                    value: i64::from(create.flags),
                })?;
            // The flags decide, not the number. Source: `Op.java` Create getOpcode.
            let op = if mode == CreateMode::Container {
                OpCode::CREATE_CONTAINER
            } else {
                op
            };
            WriteOp::Create(op, create)
        }
        OpCode::CREATE_TTL => {
            let create = CreateTtlRequest::read(input)?;
            match CreateMode::from_flags(create.create.flags) {
                Some(mode) if mode.is_ttl() => WriteOp::CreateTtl(create),
                Some(CreateMode::Container) => {
                    WriteOp::Create(OpCode::CREATE_CONTAINER, create.create)
                }
                _ => WriteOp::Create(OpCode::CREATE, create.create),
            }
        }
        OpCode::DELETE => WriteOp::Delete(PathVersion::read(input)?),
        OpCode::SET_DATA => WriteOp::SetData(SetDataRequest::read(input)?),
        OpCode::CHECK => WriteOp::Check(PathVersion::read(input)?),
        OpCode(other) => {
            return Err(JuteError::BadValue {
                what: "an operation of a multi",
                value: i64::from(other),
            });
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_multi_comes_back_as_it_was_written() {
        let multi = MultiRequest {
            ops: vec![
                WriteOp::Delete(PathVersion {
                    path: "/a".to_owned(),
                    version: 3,
                }),
                WriteOp::Check(PathVersion {
                    path: "/b".to_owned(),
                    version: -1,
                }),
                WriteOp::Create(
                    OpCode::CREATE2,
                    CreateRequest {
                        path: "/c".to_owned(),
                        data: None,
                        acl: Vec::new(),
                        flags: 2,
                    },
                ),
            ],
        };
        assert_eq!(MultiRequest::from_slice(&multi.to_vec()), Ok(multi));
    }

    #[test]
    fn a_create_without_a_time_to_live_can_t_have_the_flags_of_one() {
        for flags in [5, 6, 7, -1] {
            let create = CreateRequest {
                path: "/c".to_owned(),
                data: None,
                acl: Vec::new(),
                flags,
            };
            let multi = MultiRequest {
                ops: vec![WriteOp::Create(OpCode::CREATE, create)],
            };
            assert!(
                MultiRequest::from_slice(&multi.to_vec()).is_err(),
                "{flags}"
            );
        }
    }

    #[test]
    fn a_multi_read_of_writes_is_told_from_one_that_mixes_them_with_reads() {
        let header = |op, done| MultiHeader { op, done, err: -1 };
        let mut write = Writer::new();
        header(OpCode::DELETE, false).write(&mut write);
        write.string("/a");
        write.int(-1);
        let mut read = Writer::new();
        header(OpCode::GET_DATA, false).write(&mut read);
        read.string_or_null(None);
        read.boolean(true);
        let whole = |parts: &[&Writer]| {
            let mut out = Writer::new();
            for part in parts {
                out.raw(part.as_slice());
            }
            MultiHeader::END.write(&mut out);
            out.as_slice().to_vec()
        };
        let reads = MultiRead::Reads(vec![(OpCode::GET_DATA, None)]);
        assert_eq!(
            MultiRead::read(&mut Reader::new(&whole(&[&read]))),
            Ok(reads)
        );
        let writes = whole(&[&write]);
        assert_eq!(
            MultiRead::read(&mut Reader::new(&writes)),
            Ok(MultiRead::Writes)
        );
        let mixed = whole(&[&write, &read]);
        assert!(MultiRead::read(&mut Reader::new(&mixed)).is_err());
    }

    #[test]
    fn a_multi_with_a_null_path_anywhere_is_none() {
        let mut out = Writer::new();
        let header = MultiHeader {
            op: OpCode::SET_DATA,
            done: false,
            err: -1,
        };
        header.write(&mut out);
        out.string_or_null(None);
        out.buffer(b"data");
        out.int(-1);
        MultiHeader::END.write(&mut out);
        assert!(MultiRequest::from_slice(out.as_slice()).is_err());
    }

    #[test]
    fn a_multi_without_an_end_or_with_a_read_in_it_is_refused() {
        let mut out = Writer::new();
        let read = MultiHeader {
            op: OpCode::GET_DATA,
            done: false,
            err: -1,
        };
        read.write(&mut out);
        assert!(MultiRequest::from_slice(out.as_slice()).is_err());
        assert!(MultiRequest::from_slice(&[]).is_err());
    }
}
