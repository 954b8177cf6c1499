//! What a case tells of itself, kept together: two cases may run at once.

use std::cell::RefCell;

thread_local! {
    static NOTES: RefCell<String> = const { RefCell::new(String::new()) };
}

/// A line of the case that runs on this thread.
macro_rules! note {
    ($($line:tt)*) => {
        $crate::notes::add(&format!($($line)*))
    };
}

/// See [`note!`].
pub(crate) fn add(line: &str) {
    NOTES.with_borrow_mut(|notes| {
        notes.push_str(line);
        notes.push('\n');
    });
}

/// All lines since the last call.
pub(crate) fn take() -> String {
    NOTES.take()
}
