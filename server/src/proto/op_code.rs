//! What a request asks for. Source: `ZooDefs.java` OpCode.

/// A request's or transaction's type, as the number on the wire; unknown numbers are kept as they
/// are, so that they can be refused by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OpCode(pub i32);

#[allow(missing_docs)] // The names say all there is: they are the protocol's own.
impl OpCode {
    pub const NOTIFICATION: OpCode = OpCode(0);
    pub const CREATE: OpCode = OpCode(1);
    pub const DELETE: OpCode = OpCode(2);
    pub const EXISTS: OpCode = OpCode(3);
    pub const GET_DATA: OpCode = OpCode(4);
    pub const SET_DATA: OpCode = OpCode(5);
    pub const GET_ACL: OpCode = OpCode(6);
    pub const SET_ACL: OpCode = OpCode(7);
    pub const GET_CHILDREN: OpCode = OpCode(8);
    pub const SYNC: OpCode = OpCode(9);
    pub const PING: OpCode = OpCode(11);
    pub const GET_CHILDREN2: OpCode = OpCode(12);
    pub const CHECK: OpCode = OpCode(13);
    pub const MULTI: OpCode = OpCode(14);
    pub const CREATE2: OpCode = OpCode(15);
    pub const RECONFIG: OpCode = OpCode(16);
    pub const CHECK_WATCHES: OpCode = OpCode(17);
    pub const REMOVE_WATCHES: OpCode = OpCode(18);
    pub const CREATE_CONTAINER: OpCode = OpCode(19);
    pub const DELETE_CONTAINER: OpCode = OpCode(20);
    pub const CREATE_TTL: OpCode = OpCode(21);
    pub const MULTI_READ: OpCode = OpCode(22);
    pub const AUTH: OpCode = OpCode(100);
    pub const SET_WATCHES: OpCode = OpCode(101);
    pub const SASL: OpCode = OpCode(102);
    pub const GET_EPHEMERALS: OpCode = OpCode(103);
    pub const GET_ALL_CHILDREN_NUMBER: OpCode = OpCode(104);
    pub const SET_WATCHES2: OpCode = OpCode(105);
    pub const ADD_WATCH: OpCode = OpCode(106);
    pub const WHO_AM_I: OpCode = OpCode(107);
    pub const CREATE_SESSION: OpCode = OpCode(-10);
    pub const CLOSE_SESSION: OpCode = OpCode(-11);
    pub const ERROR: OpCode = OpCode(-1);
}
