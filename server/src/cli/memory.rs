//! Memory that is no longer needed, given back to the system.
//!
//! The allocator keeps a page with the thread that filled it until that thread looks at it again,
//! even where others have freed all that was on it. So what ten thousand connections took stays
//! with threads that have nothing to do any more, unless they look before they go to sleep.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// How often a thread looks at most: each look goes over all pages of the thread.
const PAUSE: Duration = Duration::from_secs(2);

thread_local! {
    static LOOKED: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// Gives back what the calling thread has, and does not need. For a thread that is about to sleep.
pub(super) fn give_back() {
    let now = Instant::now();
    let due = |last: Instant| now.duration_since(last) >= PAUSE;
    if LOOKED.get().is_none_or(due) {
        LOOKED.set(Some(now));
        // SAFETY: it takes no pointer, and touches what is free alone.
        unsafe { libmimalloc_sys::mi_collect(true) };
    }
}
