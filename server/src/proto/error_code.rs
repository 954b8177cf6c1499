//! What a request is answered with where it is not carried out. Source: `KeeperException.java` Code.

/// An error as the number on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ErrorCode(pub i32);

#[allow(missing_docs)] // The names say all there is: they are the protocol's own.
impl ErrorCode {
    pub const OK: ErrorCode = ErrorCode(0);
    pub const SYSTEM_ERROR: ErrorCode = ErrorCode(-1);
    pub const RUNTIME_INCONSISTENCY: ErrorCode = ErrorCode(-2);
    pub const DATA_INCONSISTENCY: ErrorCode = ErrorCode(-3);
    pub const CONNECTION_LOSS: ErrorCode = ErrorCode(-4);
    pub const MARSHALLING_ERROR: ErrorCode = ErrorCode(-5);
    pub const UNIMPLEMENTED: ErrorCode = ErrorCode(-6);
    pub const OPERATION_TIMEOUT: ErrorCode = ErrorCode(-7);
    pub const BAD_ARGUMENTS: ErrorCode = ErrorCode(-8);
    pub const UNKNOWN_SESSION: ErrorCode = ErrorCode(-12);
    pub const NEW_CONFIG_NO_QUORUM: ErrorCode = ErrorCode(-13);
    pub const RECONFIG_IN_PROGRESS: ErrorCode = ErrorCode(-14);
    pub const API_ERROR: ErrorCode = ErrorCode(-100);
    pub const NO_NODE: ErrorCode = ErrorCode(-101);
    pub const NO_AUTH: ErrorCode = ErrorCode(-102);
    pub const BAD_VERSION: ErrorCode = ErrorCode(-103);
    pub const NO_CHILDREN_FOR_EPHEMERALS: ErrorCode = ErrorCode(-108);
    pub const NODE_EXISTS: ErrorCode = ErrorCode(-110);
    pub const NOT_EMPTY: ErrorCode = ErrorCode(-111);
    pub const SESSION_EXPIRED: ErrorCode = ErrorCode(-112);
    pub const INVALID_CALLBACK: ErrorCode = ErrorCode(-113);
    pub const INVALID_ACL: ErrorCode = ErrorCode(-114);
    pub const AUTH_FAILED: ErrorCode = ErrorCode(-115);
    pub const SESSION_MOVED: ErrorCode = ErrorCode(-118);
    pub const NOT_READ_ONLY: ErrorCode = ErrorCode(-119);
    pub const EPHEMERAL_ON_LOCAL_SESSION: ErrorCode = ErrorCode(-120);
    pub const NO_WATCHER: ErrorCode = ErrorCode(-121);
    pub const REQUEST_TIMEOUT: ErrorCode = ErrorCode(-122);
    pub const RECONFIG_DISABLED: ErrorCode = ErrorCode(-123);
    pub const SESSION_CLOSED_REQUIRE_SASL_AUTH: ErrorCode = ErrorCode(-124);
    pub const QUOTA_EXCEEDED: ErrorCode = ErrorCode(-125);
    pub const THROTTLED_OP: ErrorCode = ErrorCode(-127);
}
