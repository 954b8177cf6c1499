//! Several writes, all or none. Source: `PrepRequestProcessor.java` pRequestHelper, case multi.

use super::{Desk, Prepared, marshalling};
use crate::jute::Record;
use crate::proto::multi::{MultiRequest, WriteOp};
use crate::proto::{ErrorCode, OpCode};
use crate::txn::Txn;

impl Desk<'_> {
    /// Each operation sees what those before it did. Where one fails, what they noted is taken
    /// back, it becomes an error, and so do all behind it; those before it stay as they were
    /// prepared, and whoever applies the transaction turns them into "OK, but not done".
    pub(super) fn multi(&mut self) -> Prepared {
        let request = MultiRequest::from_slice(&self.request.body).map_err(marshalling)?;
        let mut txns = Vec::with_capacity(request.ops.len());
        let mut failed = false;
        for part in request.ops {
            let op = part.op();
            let error = |err| (OpCode::ERROR, Txn::Error { err });
            if failed {
                txns.push(error(ErrorCode::RUNTIME_INCONSISTENCY));
                continue;
            }
            match self.part(part) {
                Ok(txn) => txns.push((op, txn)),
                // Where Java throws in the middle, nothing of it is a transaction.
                Err(ErrorCode::MARSHALLING_ERROR) => {
                    self.changes.roll_back(self.zxid);
                    return Err(ErrorCode::MARSHALLING_ERROR);
                }
                Err(err) => {
                    failed = true;
                    self.changes.roll_back(self.zxid);
                    txns.push(error(err));
                }
            }
        }
        Ok(Txn::Multi { txns })
    }

    fn part(&mut self, part: WriteOp) -> Prepared {
        match part {
            WriteOp::Create(op, request) => self.create(op, request, -1),
            WriteOp::CreateTtl(request) => {
                self.create(OpCode::CREATE_TTL, request.create, request.ttl_ms)
            }
            WriteOp::Delete(request) => self.delete(request),
            WriteOp::SetData(request) => self.set_data(request),
            WriteOp::Check(request) => self.check(request),
        }
    }
}
