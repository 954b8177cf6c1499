//! Several operations in one request. Source: `MultiOperationRecord.java`, `zookeeper.jute`
//! MultiHeader.

use super::OpCode;
use super::change::{PathVersion, SetDataRequest};
use super::create::{CreateMode, CreateRequest, CreateTtlRequest};
use crate::jute::{JuteError, Reader, Record, Writer};

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
    Ok(match op {
        OpCode::CREATE | OpCode::CREATE2 | OpCode::CREATE_CONTAINER => {
            let create = CreateRequest::read(input)?;
            let mode = CreateMode::from_flags(create.flags).ok_or(JuteError::BadValue {
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
