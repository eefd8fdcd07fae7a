//! The bounded queue before a sink. Lines that do not fit are counted in their place, so that a
//! reader sees where they were lost.

use std::collections::VecDeque;

/// An item of the queue.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum QueueItem {
    /// A line without its seq, and how many events it stands for.
    Line { text: String, stands_for: u64 },
    /// Events that did not fit here.
    Lost { count: u64, why: String },
}

impl QueueItem {
    /// How many events are lost if it is never written.
    pub(super) fn stands_for(&self) -> u64 {
        match self {
            QueueItem::Line { stands_for, .. } => *stands_for,
            QueueItem::Lost { count, .. } => *count,
        }
    }

    fn bytes(&self) -> usize {
        match self {
            QueueItem::Line { text, .. } => text.len(),
            QueueItem::Lost { .. } => 0,
        }
    }
}

/// A queue of bounded lines and bytes.
#[derive(Debug)]
pub(super) struct Queue {
    items: VecDeque<QueueItem>,
    lines: usize,
    bytes: usize,
    most_lines: usize,
    most_bytes: usize,
}

impl Queue {
    pub(super) fn new(most_lines: usize, most_bytes: usize) -> Queue {
        Queue { items: VecDeque::new(), lines: 0, bytes: 0, most_lines, most_bytes }
    }

    /// Puts a line at the end; or counts it as lost, for `why`, where it does not fit.
    pub(super) fn push(&mut self, text: String, stands_for: u64, why: &str) {
        if self.lines < self.most_lines && self.bytes + text.len() <= self.most_bytes {
            self.lines += 1;
            self.bytes += text.len();
            self.items.push_back(QueueItem::Line { text, stands_for });
        } else if let Some(QueueItem::Lost { count, .. }) = self.items.back_mut() {
            *count += stands_for;
        } else {
            // A line comes before each of these, so they are bounded too.
            self.items.push_back(QueueItem::Lost { count: stands_for, why: why.to_owned() });
        }
    }

    pub(super) fn pop(&mut self) -> Option<QueueItem> {
        let item = self.items.pop_front()?;
        self.bytes -= item.bytes();
        self.lines -= usize::from(matches!(item, QueueItem::Line { .. }));
        Some(item)
    }

    /// How many events are in it or were lost in it.
    pub(super) fn stands_for(&self) -> u64 {
        self.items.iter().map(QueueItem::stands_for).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLOW: &str = "sink slow";

    #[test]
    fn losses_are_counted_where_they_happened() {
        let mut queue = Queue::new(2, 100);
        for (text, stands_for) in [("a", 1), ("b", 1), ("c", 1), ("d", 41)] {
            queue.push(text.into(), stands_for, SLOW);
        }
        assert_eq!(queue.stands_for(), 44);
        assert_eq!(queue.pop(), Some(QueueItem::Line { text: "a".into(), stands_for: 1 }));
        queue.push("e".into(), 1, SLOW);
        queue.push("f".into(), 1, SLOW);
        assert_eq!(queue.pop(), Some(QueueItem::Line { text: "b".into(), stands_for: 1 }));
        assert_eq!(queue.pop(), Some(QueueItem::Lost { count: 42, why: SLOW.into() }));
        assert_eq!(queue.pop(), Some(QueueItem::Line { text: "e".into(), stands_for: 1 }));
        assert_eq!(queue.pop(), Some(QueueItem::Lost { count: 1, why: SLOW.into() }));
        assert_eq!(queue.pop(), None);
        assert_eq!((queue.lines, queue.bytes), (0, 0));
    }

    #[test]
    fn bytes_are_bounded_and_so_are_the_marks_of_loss() {
        let mut queue = Queue::new(1000, 64);
        for _ in 0..100_000 {
            queue.push("0123456789".into(), 1, SLOW);
            queue.push("x".repeat(65), 1, SLOW);
        }
        assert_eq!(queue.stands_for(), 200_000);
        assert!(queue.bytes <= 64);
        assert!(queue.items.len() <= 2 * 6);
    }
}
