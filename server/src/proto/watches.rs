//! Watches as they are asked for. Source: `zookeeper.jute` SetWatches, SetWatches2,
//! AddWatchRequest, CheckWatchesRequest and RemoveWatchesRequest.

use crate::ids::Zxid;
use crate::jute::{JuteError, Reader, text};
use std::borrow::Cow;

/// A path as a request holds it. Null is an error: Java answers a null path with MARSHALLINGERROR.
///
/// # Errors
/// [`JuteError`] where the bytes are no string, or null.
pub fn path<'a>(input: &mut Reader<'a>) -> Result<Cow<'a, str>, JuteError> {
    match input.buffer_or_null()? {
        Some(bytes) => Ok(text(bytes)),
        None => Err(JuteError::BadLength(-1)),
    }
}

/// Stands for a null path where Java takes one: the name of a watch that nothing ever fires. No
/// node can have it.
pub const NO_PATH: &str = "\0";

/// The path of a watch that stays, null included, of its check or of its removal.
/// Source: `WatchManager.java`, whose tables take a null.
///
/// # Errors
/// [`JuteError`] where the bytes are no string.
pub fn watched_path<'a>(input: &mut Reader<'a>) -> Result<Cow<'a, str>, JuteError> {
    let path = input.buffer_or_null()?;
    Ok(path.map_or(Cow::Borrowed(NO_PATH), text))
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
    /// Whether a null stood behind what is kept here, a null list or a null path: Java restores
    /// watches one by one, so that those in front of it are restored, and stumbles there.
    pub ends_at_null: bool,
}

impl SetWatches {
    /// Reads the body of setWatches, or with `persistent_too` of setWatches2.
    ///
    /// # Errors
    /// [`JuteError`] where the bytes are no such request.
    pub fn read(input: &mut Reader<'_>, persistent_too: bool) -> Result<Self, JuteError> {
        let mut request = SetWatches {
            relative_zxid: Zxid(input.long()?),
            ..SetWatches::default()
        };
        let ended = &mut request.ends_at_null;
        request.data = paths(input, ended, false)?;
        request.exist = paths(input, ended, false)?;
        request.child = paths(input, ended, false)?;
        if persistent_too {
            request.persistent = paths(input, ended, true)?;
            request.persistent_recursive = paths(input, ended, true)?;
        }
        Ok(request)
    }
}

/// A list's paths up to the first null; none where there was one before (`ended`). All of it is
/// read in any case. A null path is taken for what it is where Java's tables do.
fn paths(
    input: &mut Reader<'_>,
    ended: &mut bool,
    takes_null: bool,
) -> Result<Vec<String>, JuteError> {
    let count = input.int()?;
    *ended |= count == -1;
    let mut paths = Vec::new();
    for _ in 0..count {
        match input.string_or_null()? {
            Some(path) if !*ended => paths.push(path),
            Some(_) => {}
            None if takes_null && !*ended => paths.push(NO_PATH.to_owned()),
            None => *ended = true,
        }
    }
    Ok(paths)
}
