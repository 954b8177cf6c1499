//! What is still to happen, in the order of its time; at one moment, in the order of asking.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Events by their time.
pub(crate) struct Queue<T> {
    /// Time, order of asking, place in `events`.
    order: BinaryHeap<Reverse<(u64, u64, usize)>>,
    events: Vec<Option<T>>,
    free: Vec<usize>,
    asked: u64,
}

impl<T> Queue<T> {
    pub(crate) fn new() -> Self {
        Queue {
            order: BinaryHeap::new(),
            events: Vec::new(),
            free: Vec::new(),
            asked: 0,
        }
    }

    pub(crate) fn push(&mut self, time: u64, event: T) {
        let place = self.free.pop().unwrap_or_else(|| {
            self.events.push(None);
            self.events.len() - 1
        });
        self.events[place] = Some(event);
        self.asked += 1;
        self.order.push(Reverse((time, self.asked, place)));
    }

    /// When the next event is due.
    pub(crate) fn next_time(&self) -> Option<u64> {
        self.order.peek().map(|Reverse((time, _, _))| *time)
    }

    pub(crate) fn pop(&mut self) -> Option<(u64, T)> {
        let Reverse((time, _, place)) = self.order.pop()?;
        self.free.push(place);
        let event = self.events[place].take();
        Some((time, event.expect("every place in the order has its event")))
    }
}

#[test]
fn events_come_by_time_and_then_by_order_of_asking() {
    let mut queue = Queue::new();
    for (time, event) in [(5, "c"), (3, "a"), (5, "d"), (4, "b")] {
        queue.push(time, event);
    }
    let mut order = String::new();
    while let Some((_, event)) = queue.pop() {
        order.push_str(event);
        if event == "b" {
            queue.push(5, "e");
        }
    }
    assert_eq!(order, "abcde");
}
