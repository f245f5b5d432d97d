//! How often, and how many at once: the counts of a key, shared by all workers.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

const MINUTE_NS: u64 = 60_000_000_000;

/// What is left of a limit after a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Left {
    /// How many more requests may come now.
    pub requests: u64,
    /// After how many nanoseconds the next one that is not among them may come; 0 where one may come now.
    pub wait_ns: u64,
    /// After how many nanoseconds all of the limit is there again.
    pub full_ns: u64,
}

/// A bucket of requests that fills continuously, in one word: the time until which it is spent.
///
/// Source: the generic cell rate algorithm, ITU-T I.371.
#[derive(Default, Debug)]
pub struct Bucket {
    spent_until: AtomicU64,
}

impl Bucket {
    /// Take one request at a time, in nanoseconds, if there is one; and say what is left. `per_minute` is not 0.
    pub fn take(&self, now: u64, per_minute: u64) -> Result<Left, Left> {
        let cost = (MINUTE_NS / per_minute).max(1);
        let room = cost * per_minute; // a minute, but for the rest of the division
        let mut seen = self.spent_until.load(Ordering::Relaxed);
        loop {
            let spent = seen.max(now);
            let after = spent + cost;
            if after - now > room {
                return Err(left(spent - now, room, cost));
            }
            match self.spent_until.compare_exchange_weak(seen, after, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return Ok(left(after - now, room, cost)),
                Err(other) => seen = other,
            }
        }
    }
}

/// What is left of a bucket in which one request takes `cost`, and which is full again after `full_ns`.
fn left(full_ns: u64, room: u64, cost: u64) -> Left {
    // A limit that was lower a moment ago may have spent more than this one has.
    Left { requests: room.saturating_sub(full_ns) / cost, wait_ns: (full_ns + cost).saturating_sub(room), full_ns }
}

/// The requests of a key that are in flight.
#[derive(Default, Debug)]
pub struct Flight {
    count: AtomicU32,
}

impl Flight {
    /// Count one more, unless there are `most` already.
    pub fn begin(&self, most: u32) -> bool {
        let add = |count: u32| (count < most).then_some(count + 1);
        self.count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).is_ok()
    }

    /// Count one less. Each successful `begin` has exactly one `end`.
    pub fn end(&self) {
        let before = self.count.fetch_sub(1, Ordering::Relaxed);
        debug_assert!(before > 0, "a request ended twice");
    }

    /// How many there are.
    #[cfg(test)]
    pub fn now(&self) -> u32 {
        self.count.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::{Bucket, Flight, MINUTE_NS};
    use std::sync::Arc;

    #[test]
    fn a_minute_of_requests_comes_at_once_and_then_one_after_another() {
        let bucket = Bucket::default();
        for left in (0..5).rev() {
            assert_eq!(bucket.take(1, 5).map(|left| left.requests), Ok(left));
        }
        let refused = bucket.take(1, 5).unwrap_err();
        assert_eq!((refused.requests, refused.wait_ns, refused.full_ns), (0, MINUTE_NS / 5, MINUTE_NS));
        assert!(bucket.take(MINUTE_NS / 5, 5).is_err());
        assert!(bucket.take(1 + MINUTE_NS / 5, 5).is_ok());
        assert!(bucket.take(2 + MINUTE_NS / 5, 5).is_err());
    }

    #[test]
    fn a_bucket_holds_no_more_than_a_minute() {
        let bucket = Bucket::default();
        assert!(bucket.take(1, 3).is_ok());
        let later = 100 * MINUTE_NS;
        assert_eq!((0..5).filter(|_| bucket.take(later, 3).is_ok()).count(), 3);
    }

    #[test]
    fn a_limit_that_does_not_divide_a_minute_is_exact() {
        for limit in [7, 60, 999, 1_000_000_000] {
            let bucket = Bucket::default();
            let tries = limit.min(1_000) + 1;
            let taken = (0..tries).filter(|_| bucket.take(1, limit).is_ok()).count() as u64;
            assert_eq!(taken, limit.min(tries), "{limit}");
        }
    }

    #[test]
    fn a_limit_that_was_raised_has_nothing_left_at_first() {
        let bucket = Bucket::default();
        assert!(bucket.take(1, 1).is_ok());
        assert_eq!(bucket.take(2, 983_606_558).unwrap_err().requests, 0);
    }

    #[test]
    fn threads_share_a_bucket_exactly() {
        let bucket = Arc::new(Bucket::default());
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let bucket = Arc::clone(&bucket);
                std::thread::spawn(move || (0..1_000).filter(|_| bucket.take(1, 777).is_ok()).count())
            })
            .collect();
        assert_eq!(threads.into_iter().map(|each| each.join().unwrap()).sum::<usize>(), 777);
    }

    #[test]
    fn no_more_than_the_limit_are_in_flight() {
        let flight = Flight::default();
        assert!(flight.begin(2) && flight.begin(2));
        assert!(!flight.begin(2));
        flight.end();
        assert!(flight.begin(2));
        assert_eq!(flight.now(), 2);
        assert!(flight.begin(3));
    }
}
