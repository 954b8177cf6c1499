//! Whether a change's bytes are its record at all, found without making anything of them.
//!
//! What is not goes no further: Java answers MARSHALLINGERROR without a transaction, and so without
//! a position of its own. Source: `PrepRequestProcessor.java` pRequestHelper.

use super::OpCode;
use super::create::CreateMode;
use super::multi::MultiHeader;
use crate::jute::{JuteError, Reader, Record};

/// Whether `body` holds the record of `op`, whatever stands behind it. True for what is not a
/// change, and for most broken multis, which Java gives a position.
#[must_use]
pub fn is_whole(op: OpCode, body: &[u8]) -> bool {
    skip(op, &mut Reader::new(body)).is_ok()
}

fn skip(op: OpCode, input: &mut Reader<'_>) -> Result<(), JuteError> {
    match op {
        OpCode::CREATE | OpCode::CREATE2 | OpCode::CREATE_CONTAINER | OpCode::CREATE_TTL => {
            input.buffer_or_null()?;
            input.buffer_or_null()?;
            skip_acl(input)?;
            input.int()?;
            if op == OpCode::CREATE_TTL {
                input.long()?;
            }
        }
        OpCode::DELETE => {
            input.buffer_or_null()?;
            input.int()?;
        }
        OpCode::SET_DATA => {
            input.buffer_or_null()?;
            input.buffer_or_null()?;
            input.int()?;
        }
        OpCode::SET_ACL => {
            input.buffer_or_null()?;
            skip_acl(input)?;
            input.int()?;
        }
        OpCode::RECONFIG => {
            input.buffer_or_null()?;
            input.buffer_or_null()?;
            input.buffer_or_null()?;
            input.long()?;
        }
        OpCode::MULTI => skip_multi(input)?,
        _ => {}
    }
    Ok(())
}

fn skip_acl(input: &mut Reader<'_>) -> Result<(), JuteError> {
    for _ in 0..input.count()? {
        input.int()?;
        input.buffer_or_null()?;
        input.buffer_or_null()?;
    }
    Ok(())
}

/// The one broken form of a multi that Java does not give a position: a create without a list.
/// Source: `CreateOptions.java`, which throws what reading a multi does not catch.
fn skip_multi(input: &mut Reader<'_>) -> Result<(), JuteError> {
    while let Ok(header) = MultiHeader::read(input)
        && !header.done
    {
        let mut part = input.clone();
        if skip_part(header.op, input).is_err() {
            break;
        }
        let is_create = matches!(
            header.op,
            OpCode::CREATE | OpCode::CREATE2 | OpCode::CREATE_CONTAINER
        );
        if is_create && has_flags_but_no_list(&mut part)? {
            return Err(JuteError::BadLength(-1));
        }
    }
    Ok(())
}

/// Moves past one operation of a multi.
///
/// # Errors
/// [`JuteError`] where there is none.
pub(super) fn skip_part(op: OpCode, input: &mut Reader<'_>) -> Result<(), JuteError> {
    match op {
        OpCode::CREATE
        | OpCode::CREATE2
        | OpCode::CREATE_CONTAINER
        | OpCode::CREATE_TTL
        | OpCode::DELETE
        | OpCode::SET_DATA => skip(op, input),
        OpCode::CHECK => skip(OpCode::DELETE, input),
        OpCode(other) => Err(JuteError::BadValue {
            what: "an operation of a multi",
            value: i64::from(other),
        }),
    }
}

fn has_flags_but_no_list(create: &mut Reader<'_>) -> Result<bool, JuteError> {
    create.buffer_or_null()?;
    create.buffer_or_null()?;
    let has_no_list = create.int()? == -1;
    Ok(has_no_list && CreateMode::from_flags(create.int()?).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::change::{PathVersion, ReconfigRequest, SetAclRequest, SetDataRequest};
    use crate::proto::create::{CreateRequest, CreateTtlRequest};
    use crate::proto::{Acl, Id, Perms};

    fn changes() -> Vec<(OpCode, Vec<u8>)> {
        let path = || "/a".to_owned();
        let acl = || {
            vec![Acl {
                perms: Perms::ALL,
                id: Id::new("world", "anyone"),
            }]
        };
        let create = CreateRequest {
            path: path(),
            data: None,
            acl: acl(),
            flags: 0,
        };
        let create_ttl = CreateTtlRequest {
            create: create.clone(),
            ttl_ms: 1,
        };
        let version = -1;
        let delete = PathVersion {
            path: path(),
            version,
        };
        let set_data = SetDataRequest {
            path: path(),
            data: Some(vec![1, 2].into()),
            version,
        };
        let set_acl = SetAclRequest {
            path: path(),
            acl: acl(),
            version,
        };
        let reconfig = ReconfigRequest {
            joining_servers: None,
            leaving_servers: Some("3".to_owned()),
            new_members: None,
            current_config_id: -1,
        };
        vec![
            (OpCode::CREATE, create.to_vec()),
            (OpCode::CREATE2, create.to_vec()),
            (OpCode::CREATE_CONTAINER, create.to_vec()),
            (OpCode::CREATE_TTL, create_ttl.to_vec()),
            (OpCode::DELETE, delete.to_vec()),
            (OpCode::SET_DATA, set_data.to_vec()),
            (OpCode::SET_ACL, set_acl.to_vec()),
            (OpCode::RECONFIG, reconfig.to_vec()),
        ]
    }

    #[test]
    fn every_change_is_whole_as_it_is_written_and_with_bytes_behind() {
        for (op, mut body) in changes() {
            assert!(is_whole(op, &body), "{op:?}");
            body.extend([0; 3]);
            assert!(is_whole(op, &body), "{op:?}");
        }
    }

    #[test]
    fn a_multi_stands_for_itself_unless_a_create_in_it_has_no_list() {
        let multi = |list: i32, flags: i32| {
            let mut out = crate::jute::Writer::new();
            let header = MultiHeader {
                op: OpCode::CREATE,
                done: false,
                err: -1,
            };
            header.write(&mut out);
            out.string("/a");
            out.buffer(b"");
            out.int(list);
            out.int(flags);
            MultiHeader::END.write(&mut out);
            out.into_vec()
        };
        assert!(is_whole(OpCode::MULTI, &multi(0, 0)));
        assert!(!is_whole(OpCode::MULTI, &multi(-1, 0)));
        assert!(is_whole(OpCode::MULTI, &multi(-1, 7)));
        assert!(is_whole(OpCode::MULTI, &multi(-1, 0)[..20]));
        assert!(is_whole(OpCode::MULTI, b""));
    }

    #[test]
    fn a_change_cut_anywhere_is_not_whole() {
        for (op, body) in changes() {
            for length in 0..body.len() {
                assert!(!is_whole(op, &body[..length]), "{op:?} cut at {length}");
            }
        }
    }
}
