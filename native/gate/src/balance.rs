//! Which replica of a model gets a request: the one that had its conversation before, or the one with the fewest.
//!
//! A conversation prefers replicas in an order of its own (rendezvous hashing), so a replica that comes or goes moves
//! only the conversations that it gets or had. No replica gets more than one and a half times its share of the requests
//! in flight that way: then the next replica in that order is asked.

use crate::mix::Mix;
use std::hash::{Hash, Hasher};

/// A replica that may get a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replica {
    /// A number of its own, the same in every gateway.
    pub id: u64,
    /// How many requests it has.
    pub active: u64,
    /// A try of this request has failed there.
    pub failed: bool,
}

/// How much of its share of the requests a replica has at most, in percent.
const BOUND_PERCENT: u64 = 150;

/// One request in so many is balanced without its conversation, so that the control plane can compare both ways.
const COMPARED: u64 = 16;

/// How the replica of a request was chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BalancedBy {
    /// By what its conversation begins with.
    Prefix,
    /// By the requests of the replicas.
    Requests,
}

impl BalancedBy {
    /// The word of the ledger.
    pub fn word(self) -> &'static str {
        match self {
            BalancedBy::Prefix => "prefix",
            BalancedBy::Requests => "requests",
        }
    }
}

/// Whether a request is one of those that are balanced without their conversation, by its id.
pub fn is_compared(request: &[u8]) -> bool {
    !request.is_empty() && number_of(request).is_multiple_of(COMPARED)
}

/// A number that is the same for equal texts.
pub fn number_of(text: &[u8]) -> u64 {
    let mut number = Mix::default();
    text.hash(&mut number);
    number.finish()
}

/// The place of the replica for a request, in a list; None if the list is empty.
///
/// Without a `prefix` it is one with the fewest requests, by chance: `dice` is any number.
pub fn choose(replicas: &[Replica], prefix: Option<u64>, dice: u64) -> Option<usize> {
    let fresh = replicas.iter().any(|each| !each.failed);
    let open = || replicas.iter().enumerate().filter(move |(_, each)| !(fresh && each.failed));
    let Some(prefix) = prefix else { return fewest(open, dice) };
    let bound = bound(open().map(|(_, each)| each.active).sum(), open().count() as u64);
    let within = open().filter(|(_, each)| each.active < bound);
    within.max_by_key(|(_, each)| mixed(prefix ^ each.id)).map(|(place, _)| place)
}

fn fewest<'a, I: Iterator<Item = (usize, &'a Replica)>>(open: impl Fn() -> I, dice: u64) -> Option<usize> {
    let least = open().map(|(_, each)| each.active).min()?;
    let equal = || open().filter(|(_, each)| each.active == least);
    equal().nth((dice % equal().count() as u64) as usize).map(|(place, _)| place)
}

/// How many requests a replica has to have fewer of, so that it may get one more. A replica with no more than its share
/// always has.
fn bound(active: u64, replicas: u64) -> u64 {
    ((active + 1) * BOUND_PERCENT).div_ceil(100 * replicas.max(1))
}

/// Mix the bits of a number (the last step of SplitMix64).
pub fn mixed(number: u64) -> u64 {
    let number = (number ^ number >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ number >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ number >> 31
}

#[cfg(test)]
mod tests {
    use super::{Replica, bound, choose, is_compared, mixed};

    fn replicas(active: &[u64]) -> Vec<Replica> {
        let each = |(place, active): (usize, &u64)| Replica { id: mixed(place as u64), active: *active, failed: false };
        active.iter().enumerate().map(each).collect()
    }

    #[test]
    fn a_conversation_stays_where_it_was() {
        for prefix in (0..1_000).map(mixed) {
            let idle = choose(&replicas(&[0, 0, 0]), Some(prefix), 1);
            assert_eq!(idle, choose(&replicas(&[0, 0, 0]), Some(prefix), 2));
            assert_eq!(idle, choose(&replicas(&[4, 4, 4]), Some(prefix), 3));
        }
    }

    #[test]
    fn conversations_are_spread_evenly() {
        let mut counts = [0; 4];
        for prefix in (0..40_000).map(mixed) {
            counts[choose(&replicas(&[0; 4]), Some(prefix), 0).unwrap()] += 1;
        }
        assert!(counts.iter().all(|count| (9_500..10_500).contains(count)), "{counts:?}");
    }

    #[test]
    fn a_replica_that_comes_moves_only_its_share() {
        let moved = (0..10_000).map(mixed).filter(|prefix| {
            let before = choose(&replicas(&[0; 3]), Some(*prefix), 0);
            let after = choose(&replicas(&[0; 4]), Some(*prefix), 0);
            assert!(before == after || after == Some(3), "moved between replicas that were there");
            before != after
        });
        assert!((2_300..2_700).contains(&moved.count()));
    }

    #[test]
    fn a_busy_replica_passes_on_to_the_second_of_the_conversation() {
        for prefix in (0..1_000).map(mixed) {
            let order = |skip: &[usize]| {
                let mut active = [0; 5];
                skip.iter().for_each(|place| active[*place] = 9);
                choose(&replicas(&active), Some(prefix), 0).unwrap()
            };
            let first = order(&[]);
            let second = order(&[first]);
            assert_ne!(first, second);
            let third = order(&[first, second]);
            assert!(third != first && third != second);
        }
    }

    #[test]
    fn no_replica_gets_more_than_its_bound() {
        for count in 1..9 {
            let mut all = replicas(&vec![0; count]);
            for sent in 0..500u64 {
                let place = choose(&all, Some(7), 0).unwrap();
                all[place].active += 1;
                let bound = (sent + 1) as f64 * 1.5 / count as f64;
                assert!(all[place].active as f64 <= bound.ceil(), "{all:?}");
            }
        }
        assert_eq!((bound(0, 2), bound(1, 2), bound(3, 2), bound(0, 8)), (1, 2, 3, 1));
    }

    #[test]
    fn without_a_conversation_the_fewest_requests_decide() {
        for dice in 0..50 {
            assert_eq!(choose(&replicas(&[2, 1, 3]), None, dice), Some(1));
        }
        let equal: Vec<_> = (0..4).map(|dice| choose(&replicas(&[1, 0, 0, 1]), None, dice)).collect();
        assert_eq!(equal, [Some(1), Some(2), Some(1), Some(2)]);
    }

    #[test]
    fn one_request_in_sixteen_is_compared() {
        let compared = (0..16_000).filter(|id| is_compared(format!("id-{id}").as_bytes())).count();
        assert!((900..1_100).contains(&compared), "{compared}");
        assert!(!is_compared(b""));
    }

    #[test]
    fn a_replica_that_failed_is_asked_only_if_all_have() {
        let mut all = replicas(&[0, 5]);
        all[0].failed = true;
        for prefix in [None, Some(1), Some(2), Some(3), Some(4)] {
            assert_eq!(choose(&all, prefix, 0), Some(1));
        }
        all[1].failed = true;
        assert_eq!(choose(&all, None, 0), Some(0));
        assert_eq!(choose(&[], None, 0), None);
        assert_eq!(choose(&[], Some(1), 0), None);
    }
}
