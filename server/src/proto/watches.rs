//! Watches as they are asked for. Source: `zookeeper.jute` SetWatches, SetWatches2,
//! AddWatchRequest, CheckWatchesRequest and RemoveWatchesRequest.

use crate::ids::Zxid;
use crate::jute::{JuteError, Reader};
use std::borrow::Cow;

/// A path as a request holds it. Null is an error: Java answers a null path with MARSHALLINGERROR.
///
/// # Errors
/// [`JuteError`] where the bytes are no string, or null.
pub fn path<'a>(input: &mut Reader<'a>) -> Result<Cow<'a, str>, JuteError> {
    match input.buffer_or_null()? {
        Some(bytes) => Ok(String::from_utf8_lossy(bytes)),
        None => Err(JuteError::BadLength(-1)),
    }
}

/// A path and whether to watch it: exists, getData, getChildren and getChildren2.
#[derive(Debug)]
pub struct WatchedRead<'a> {
    /// The node.
    pub path: Cow<'a, str>,
    /// Whether the client wants to hear of the next change.
    pub watch: bool,
}

impl<'a> WatchedRead<'a> {
    /// Reads it from a request's body.
    ///
    /// # Errors
    /// [`JuteError`] where the bytes are no such request.
    pub fn read(input: &mut Reader<'a>) -> Result<Self, JuteError> {
        Ok(WatchedRead {
            path: path(input)?,
            watch: input.boolean()?,
        })
    }
}

/// The watches that a client brings along from its last connection (setWatches and setWatches2).
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct SetWatches {
    /// The newest position the client has seen: what changed later fires at once.
    pub relative_zxid: Zxid,
    /// Watches set by getData, and by exists on nodes that were there.
    pub data: Vec<String>,
    /// Watches set by exists on nodes that were not there.
    pub exist: Vec<String>,
    /// Watches set by getChildren.
    pub child: Vec<String>,
    /// Watches that stay.
    pub persistent: Vec<String>,
    /// Watches that stay, for whole subtrees.
    pub persistent_recursive: Vec<String>,
}

impl SetWatches {
    /// Reads the body of setWatches, or with `persistent_too` of setWatches2.
    ///
    /// # Errors
    /// [`JuteError`] where the bytes are no such request.
    pub fn read(input: &mut Reader<'_>, persistent_too: bool) -> Result<Self, JuteError> {
        let mut request = SetWatches {
            relative_zxid: Zxid(input.long()?),
            data: input.strings()?,
            exist: input.strings()?,
            child: input.strings()?,
            ..SetWatches::default()
        };
        if persistent_too {
            request.persistent = input.strings()?;
            request.persistent_recursive = input.strings()?;
        }
        Ok(request)
    }
}
