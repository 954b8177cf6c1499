//! Bodies of the replies to writes. Source: `FinalRequestProcessor.java` processRequest,
//! `MultiResponse.java`.

use super::apply::{Applied, Outcome, Part};
use crate::jute::{Record, Writer};
use crate::proto::multi::MultiHeader;
use crate::proto::{ErrorCode, OpCode};

/// Appends what stands behind the reply header: nothing where the header has an error.
pub fn write_reply(op: OpCode, applied: &Applied, out: &mut Writer) {
    if applied.err != ErrorCode::OK {
        return;
    }
    write_outcome(op, &applied.outcome, out);
}

fn write_outcome(op: OpCode, outcome: &Outcome, out: &mut Writer) {
    match outcome {
        Outcome::Created { path, stat } => {
            out.string(path);
            if op != OpCode::CREATE {
                stat.write(out);
            }
        }
        Outcome::SetData(stat) | Outcome::SetAcl(stat) => stat.write(out),
        Outcome::Reconfigured { config, stat } => {
            out.buffer_or_null(config.as_deref());
            stat.write(out);
        }
        Outcome::Multi(parts) => {
            for part in parts {
                write_part(part, out);
            }
            MultiHeader::END.write(out);
        }
        Outcome::Deleted
        | Outcome::Checked
        | Outcome::SessionCreated { .. }
        | Outcome::SessionClosed
        | Outcome::Failed => {}
    }
}

fn write_part(part: &Part, out: &mut Writer) {
    // A part that came to nothing without being an error transaction can only be one of a replay,
    // which nobody waits for; it is told as the error it was.
    if part.op == OpCode::ERROR || part.err != ErrorCode::OK {
        let header = MultiHeader {
            op: OpCode::ERROR,
            done: false,
            err: part.err.0,
        };
        header.write(out);
        out.int(part.err.0);
        return;
    }
    // Whoever tells a stat is told as create2. Source: `OpResult.java` CreateResult.
    let op = match part.op {
        OpCode::CREATE_TTL | OpCode::CREATE_CONTAINER => OpCode::CREATE2,
        OpCode::DELETE_CONTAINER => OpCode::DELETE,
        op => op,
    };
    let header = MultiHeader {
        op,
        done: false,
        err: 0,
    };
    header.write(out);
    write_outcome(op, &part.outcome, out);
}
