//! A stop takes no longer than free.

use std::time::{Duration, Instant};

use crate::container::Container;
use crate::image;
use crate::rows;

/// The stops of each that are compared at least, and at most on a machine that is busy.
const LEAST: usize = 5;
const MOST: usize = 40;
/// What a confined stop may take more.
const MORE: Duration = Duration::from_millis(100);

/// By turns, and the shortest of each: a busy machine makes some longer, a timer makes all.
#[test]
fn a_stop_takes_no_longer_than_free() {
    if !image::can_run_servers() {
        return;
    }
    for name in ["memcached", "a Go service"] {
        let server = rows::named(name);
        let both =
            [&["tini", "--"], &["/remit-init", "--"]].map(|front| Container::start(&server, front, &[]));
        let mut shortest = [Duration::MAX; 2];
        for round in 1..=MOST {
            for (container, shortest) in both.iter().zip(&mut shortest) {
                let done = container.client(&server, "again");
                assert!(done.ends_with('0'), "{name}: {done}\n{}", container.log());
                let begun = Instant::now();
                let code = container.stop();
                *shortest = begun.elapsed().min(*shortest);
                assert_eq!(code, server.ends, "{name}: {}", container.log());
                container.start_again();
            }
            if round >= LEAST && shortest[1] <= shortest[0] + MORE {
                break;
            }
        }
        let [free, confined] = shortest;
        assert!(confined <= free + MORE, "{name}: {confined:?} confined, {free:?} free");
    }
}
