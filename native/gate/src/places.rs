//! A model's places for requests, shared by the keys that use it now.
//!
//! The queue of a model is bounded. Without a bound for each key, one that sends a thousand requests fills it, and all
//! others are refused. Max-min fairness, as far as counts can have it: a key may not have more than an equal share of
//! the places while another has a request there, and all of them while it is alone.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

type ByKey = HashMap<Box<[u8]>, u32>;

// All workers count together.
static TAKEN: Mutex<Option<HashMap<Box<[u8]>, ByKey>>> = Mutex::new(None);

/// A request of a key at a model. It gives its place back once, however that comes.
#[derive(Debug)]
pub struct Place {
    model: Box<[u8]>,
    key: Box<[u8]>,
}

/// Why there is no place for a request.
#[derive(Debug, PartialEq, Eq)]
pub enum Crowd {
    /// The key has as many as its share, which is this many.
    Share(u32),
    /// All keys together have all of them.
    Full,
}

impl Place {
    /// Take one of a model's places for a key.
    pub fn take(model: &[u8], key: &[u8], places: u32) -> Result<Place, Crowd> {
        let mut taken = taken();
        let by_key = taken.get_or_insert_default().entry(model.into()).or_default();
        let own = by_key.get(key).copied().unwrap_or(0);
        let keys = by_key.len() as u32 + u32::from(own == 0);
        let share = (places / keys).max(1);
        if keys > 1 && own >= share {
            return Err(Crowd::Share(share));
        }
        if by_key.values().sum::<u32>() >= places {
            return Err(Crowd::Full);
        }
        *by_key.entry(key.into()).or_default() += 1;
        Ok(Place { model: model.into(), key: key.into() })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = taken();
        let Some(models) = taken.as_mut() else { return };
        let Some(by_key) = models.get_mut(&self.model) else { return };
        if let Some(own) = by_key.get_mut(&self.key) {
            *own -= 1;
            if *own == 0 {
                by_key.remove(&self.key);
            }
        }
        if by_key.is_empty() {
            models.remove(&self.model);
        }
    }
}

fn taken() -> MutexGuard<'static, Option<HashMap<Box<[u8]>, ByKey>>> {
    TAKEN.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::{Crowd, Place, taken};

    fn many(model: &[u8], key: &[u8], places: u32, count: usize) -> Vec<Place> {
        (0..count).filter_map(|_| Place::take(model, key, places).ok()).collect()
    }

    #[test]
    fn a_key_that_is_alone_has_all_places() {
        let all = many(b"alone", b"a", 4, 9);
        assert_eq!(all.len(), 4);
        assert_eq!(Place::take(b"alone", b"a", 4).unwrap_err(), Crowd::Full);
        assert_eq!(Place::take(b"alone", b"b", 4).unwrap_err(), Crowd::Full, "it has a share, and waits for a place");
    }

    #[test]
    fn keys_have_equal_shares_while_both_have_requests() {
        let first = many(b"both", b"a", 6, 2);
        let second = many(b"both", b"b", 6, 9);
        assert_eq!(second.len(), 3);
        assert_eq!(Place::take(b"both", b"b", 6).unwrap_err(), Crowd::Share(3));
        assert!(Place::take(b"both", b"a", 6).is_ok());
        drop(first);
        assert_eq!(many(b"both", b"b", 6, 9).len(), 3, "it is alone again, and has three already");
    }

    #[test]
    fn a_key_that_has_more_than_its_share_gets_none_until_it_has_less() {
        let mut first = many(b"more", b"a", 4, 4);
        first.pop();
        let second = many(b"more", b"b", 4, 1);
        assert_eq!(Place::take(b"more", b"a", 4).unwrap_err(), Crowd::Share(2));
        first.pop();
        assert_eq!(Place::take(b"more", b"a", 4).unwrap_err(), Crowd::Share(2), "it has two, and that is its share");
        first.pop();
        assert!(Place::take(b"more", b"a", 4).is_ok());
        drop(second);
    }

    #[test]
    fn each_key_has_at_least_one_place() {
        let _others: Vec<_> = (0..5).flat_map(|key: u8| many(b"few", &[key], 9, 1)).collect();
        let own = many(b"few", b"new", 2, 3);
        assert_eq!(own.len(), 0, "there is none now");
        assert_eq!(many(b"few", b"new", 6, 3).len(), 1);
    }

    #[test]
    fn a_model_without_requests_is_forgotten() {
        drop(many(b"gone", b"a", 2, 2));
        assert!(!taken().as_ref().is_some_and(|models| models.contains_key(&b"gone"[..])));
    }
}
