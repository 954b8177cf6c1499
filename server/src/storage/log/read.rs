//! Reading: transactions from a position on, across files, to the last whole one.

use super::format::{self, FILE_HEADER_LEN, Parsed};
use super::window::Window;
use crate::ids::Zxid;
use crate::storage::error::StorageError;
use crate::storage::files;
use bytes::Bytes;
use std::collections::VecDeque;
use std::path::{Path, PathBuf};

/// What a crash left behind the last whole record of the last file. Nobody was told about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TornTail {
    /// The file.
    pub path: PathBuf,
    /// Where the whole records end.
    pub offset: u64,
    /// What stands there.
    pub reason: &'static str,
}

/// Transactions of a directory of logs, from a position on.
///
/// The iterator ends after the first error; at the regular end, [`LogReader::torn`] says whether
/// something half was found behind it.
#[derive(Debug)]
pub struct LogReader {
    from: Zxid,
    /// Files not read yet, the next one first.
    ahead: VecDeque<(Zxid, PathBuf)>,
    file: Option<OpenFile>,
    last: Option<Zxid>,
    /// Checksums of the last records, to know a repeated one from a different history.
    recent: VecDeque<(Zxid, u32)>,
    torn: Vec<TornTail>,
    finished: bool,
}

#[derive(Debug)]
struct OpenFile {
    path: PathBuf,
    window: Window,
}

/// How many checksums are kept; far more than a follower ever logs twice.
const RECENT_MAX: usize = 4096;

/// Opens the logs of a `version-2` directory for reading from `from` on.
///
/// # Errors
/// [`StorageError::Io`] where the directory can't be listed.
pub fn read_log(dir: &Path, from: Zxid) -> Result<LogReader, StorageError> {
    let mut ahead = VecDeque::from(files::list_logs(dir)?);
    // The last file that starts at or before the position can hold it.
    while ahead.len() > 1 && ahead[1].0 <= from {
        ahead.pop_front();
    }
    Ok(LogReader {
        from,
        ahead,
        file: None,
        last: None,
        recent: VecDeque::new(),
        torn: Vec::new(),
        finished: false,
    })
}

/// Opens one log file for reading, for tools.
#[must_use]
pub fn read_log_file(path: &Path) -> LogReader {
    LogReader {
        from: Zxid(i64::MIN),
        ahead: VecDeque::from([(Zxid::ZERO, path.to_owned())]),
        file: None,
        last: None,
        recent: VecDeque::new(),
        torn: Vec::new(),
        finished: false,
    }
}

impl LogReader {
    /// The torn ends met so far: the last file's, and harmless ones that Java left in older files.
    #[must_use]
    pub fn torn(&self) -> &[TornTail] {
        &self.torn
    }

    /// The file the last transaction came from, and where the record behind it starts.
    #[must_use]
    pub fn place(&self) -> Option<(&Path, u64)> {
        self.file
            .as_ref()
            .map(|file| (file.path.as_path(), file.window.position()))
    }

    fn open_next(&mut self) -> Result<bool, StorageError> {
        let Some((_, path)) = self.ahead.pop_front() else {
            return Ok(false);
        };
        let mut window = Window::open(&path)?;
        let header = window.ahead(FILE_HEADER_LEN)?;
        let header = header[..header.len().min(FILE_HEADER_LEN)].to_vec();
        // The process ended before the header was durable, so no record of it ever was.
        let torn = if header.len() < FILE_HEADER_LEN {
            format::file_header().starts_with(&header) || header.iter().all(|byte| *byte == 0)
        } else {
            header.iter().all(|byte| *byte == 0) && window.only_zeros_ahead()?
        };
        if torn {
            self.torn.push(TornTail {
                path,
                offset: 0,
                reason: "a file without a whole header",
            });
            return Ok(true);
        }
        format::check_file_header(&header).map_err(|problem| StorageError::WrongFile {
            path: path.clone(),
            expected: "transaction log",
            problem,
        })?;
        window.skip(FILE_HEADER_LEN);
        self.file = Some(OpenFile { path, window });
        Ok(true)
    }

    /// The first transaction of the files ahead, without moving.
    fn first_ahead(&self) -> Result<Option<Zxid>, StorageError> {
        for (_, path) in &self.ahead {
            let mut window = Window::open(path)?;
            if window.ahead(FILE_HEADER_LEN)?.len() < FILE_HEADER_LEN {
                continue;
            }
            window.skip(FILE_HEADER_LEN);
            if let Parsed::Record { zxid, .. } = window.record()? {
                return Ok(Some(zxid));
            }
        }
        Ok(None)
    }

    /// What stands behind the last whole record of the open file: its end, a torn end or damage.
    fn end_of_file(&mut self, reason: Option<&'static str>) -> Result<(), StorageError> {
        let Some(mut file) = self.file.take() else {
            return Ok(());
        };
        let offset = file.window.position();
        let reason = match reason {
            Some(reason) => reason,
            None if file.window.only_zeros_ahead()? => return Ok(()),
            None => "zeros stand before something else",
        };
        let last = self.last.unwrap_or(Zxid::ZERO);
        // Rare and small: whoever writes logs ends before the next step of zeros in advance.
        let rest = file.window.rest()?;
        if let Some((at, zxid)) = format::record_anywhere(&rest, last) {
            return Err(StorageError::LogDamaged {
                path: file.path,
                offset,
                problem: format!(
                    "{reason}, but transaction {zxid} stands whole at byte {}",
                    offset + at as u64
                ),
            });
        }
        if let Some(next) = self.first_ahead()? {
            // Java leaves a torn end where it is and goes on in a new file. Nothing is lost where
            // the next transaction follows directly; or where a new epoch begins and the torn
            // record was never whole: had it been committed, the new leader would have sent it again.
            let follows = self.last.is_some() && next == last.next();
            let new_epoch = next.epoch() > last.epoch() && next.counter() == 1;
            let never_whole = new_epoch && !format::has_end_mark(&rest);
            if !(follows || never_whole) {
                return Err(StorageError::LogDamaged {
                    path: file.path,
                    offset,
                    problem: format!("{reason}, and {next} follows {last} in the next file"),
                });
            }
        }
        self.torn.push(TornTail {
            path: file.path,
            offset,
            reason,
        });
        Ok(())
    }

    fn step(&mut self) -> Result<Option<(Zxid, Bytes)>, StorageError> {
        loop {
            let Some(file) = &mut self.file else {
                if !self.open_next()? {
                    return Ok(None);
                }
                continue;
            };
            let offset = file.window.position();
            match file.window.record()? {
                Parsed::Record {
                    zxid,
                    checksum,
                    payload,
                    len,
                } => {
                    if self.last.is_some_and(|last| zxid <= last) {
                        // A follower of Java can log a transaction twice when it changes leaders.
                        if !self.recent.contains(&(zxid, checksum)) {
                            return Err(StorageError::LogDamaged {
                                path: file.path.clone(),
                                offset,
                                problem: format!(
                                    "{zxid} stands behind {} with another content",
                                    self.last.unwrap_or_default()
                                ),
                            });
                        }
                        file.window.skip(len);
                        continue;
                    }
                    let wanted = zxid >= self.from;
                    let payload = wanted.then(|| Bytes::copy_from_slice(payload));
                    file.window.skip(len);
                    self.last = Some(zxid);
                    if self.recent.len() == RECENT_MAX {
                        self.recent.pop_front();
                    }
                    self.recent.push_back((zxid, checksum));
                    if let Some(payload) = payload {
                        return Ok(Some((zxid, payload)));
                    }
                }
                Parsed::End => self.end_of_file(None)?,
                Parsed::Bad(reason) => self.end_of_file(Some(reason))?,
            }
        }
    }
}

impl Iterator for LogReader {
    type Item = Result<(Zxid, Bytes), StorageError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.finished {
            return None;
        }
        let step = self.step().transpose();
        self.finished = !matches!(step, Some(Ok(_)));
        step
    }
}

/// Where a log ends.
#[derive(Debug)]
pub(super) struct LastLogged {
    /// The last whole transaction, `ZERO` for an empty log.
    pub(super) zxid: Zxid,
    /// What stands behind it.
    pub(super) torn: Vec<TornTail>,
}

/// Finds the end of a log. Only the last files are read: as many as hold no whole record, and one.
pub(super) fn last_logged(dir: &Path) -> Result<LastLogged, StorageError> {
    let logs = files::list_logs(dir)?;
    for start in (0..logs.len()).rev() {
        let mut reader = read_log(dir, logs[start].0)?;
        let mut last = None;
        for entry in &mut reader {
            last = Some(entry?.0);
        }
        if let Some(zxid) = last {
            return Ok(LastLogged {
                zxid,
                torn: reader.torn,
            });
        }
        if start == 0 {
            return Ok(LastLogged {
                zxid: Zxid::ZERO,
                torn: reader.torn,
            });
        }
    }
    Ok(LastLogged {
        zxid: Zxid::ZERO,
        torn: Vec::new(),
    })
}
