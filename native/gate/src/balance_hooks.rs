//! The functions that Envoy calls to balance the requests of a cluster.
//!
//! Envoy makes one balancer for each cluster in each worker. It knows the replicas, their health and their requests.

use crate::abi::*;
use crate::balance::{self, Replica, mixed, number_of};
use crate::barrier::guarded;

/// The header with what a conversation begins with. Replicas get it, too: Envoy asks for a replica after it has removed
/// the headers that a route removes.
pub const PREFIX_HEADER: &[u8] = b"x-bateau-prefix";
/// The only group of endpoints that Bateau uses.
const PRIORITY: u32 = 0;

/// The balancer of a cluster in one worker.
#[derive(Default)]
struct Balancer {
    dice: u64,
    replicas: Vec<Replica>,
}

/// A cluster and a request, while Envoy asks for a replica.
#[derive(Clone, Copy)]
struct Asked {
    cluster: Ptr,
    request: Ptr,
}

impl Asked {
    /// What the conversation of the request begins with.
    fn prefix(self) -> Option<u64> {
        let mut found = Buf::NONE;
        // SAFETY: Envoy only reads the name, and has the header while it asks. There may be no request.
        let text = unsafe {
            let is_there = envoy_dynamic_module_callback_lb_context_get_downstream_header(
                self.request,
                Buf::of(PREFIX_HEADER),
                &mut found,
                0,
                std::ptr::null_mut(),
            );
            is_there.then(|| found.bytes())?
        };
        u64::from_str_radix(std::str::from_utf8(text).ok()?, 16).ok()
    }

    /// The address of a replica in the list of the healthy ones, or in that of all.
    fn address(self, place: usize, of: unsafe extern "C" fn(Ptr, u32, usize, *mut Buf) -> bool) -> Buf {
        let mut found = Buf::NONE;
        // SAFETY: Envoy writes one text, which it has while it asks.
        unsafe { of(self.cluster, PRIORITY, place, &mut found) };
        found
    }

    /// Note the healthy replicas, in their order.
    fn note(self, prefix: bool, found: &mut Vec<Replica>) {
        found.clear();
        // SAFETY: there is nothing to promise.
        let (healthy, all) = unsafe {
            (
                envoy_dynamic_module_callback_lb_get_healthy_hosts_count(self.cluster, PRIORITY),
                envoy_dynamic_module_callback_lb_get_hosts_count(self.cluster, PRIORITY),
            )
        };
        let mut next = 0;
        for place in 0..healthy {
            let address = self.address(place, envoy_dynamic_module_callback_lb_get_healthy_host_address);
            // The healthy ones are a part of all, in the same order, and counts are known by the place among all.
            let among = (0..all).map(|step| (next + step) % all).find(|each| {
                let other = self.address(*each, envoy_dynamic_module_callback_lb_get_host_address);
                std::ptr::eq(other.ptr, address.ptr)
            });
            let among = among.unwrap_or(place);
            next = among + 1;
            // SAFETY: there is nothing to promise.
            let (active, failed) = unsafe {
                (
                    envoy_dynamic_module_callback_lb_get_host_stat(self.cluster, PRIORITY, among, REQUESTS_ACTIVE),
                    !self.request.is_null()
                        && envoy_dynamic_module_callback_lb_context_should_select_another_host(
                            self.cluster,
                            self.request,
                            PRIORITY,
                            among,
                        ),
                )
            };
            // SAFETY: Envoy has the address while it asks.
            let id = if prefix { number_of(unsafe { address.bytes() }) } else { 0 };
            found.push(Replica { id, active, failed });
        }
    }
}

impl Balancer {
    fn choose(&mut self, asked: Asked) -> Option<usize> {
        let prefix = asked.prefix();
        asked.note(prefix.is_some(), &mut self.replicas);
        self.dice = self.dice.wrapping_add(0x9e37_79b9_7f4a_7c15);
        balance::choose(&self.replicas, prefix, mixed(self.dice))
    }
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_lb_config_new(_: Ptr, _name: Buf, _text: Buf) -> Ptr {
    // There is nothing to configure, and null would be a refusal.
    std::ptr::NonNull::<u64>::dangling().as_ptr().cast()
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_lb_config_destroy(_: Ptr) {}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_lb_new(_config: Ptr, _cluster: Ptr) -> Ptr {
    Box::into_raw(Box::<Balancer>::default()).cast()
}

#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_lb_destroy(pointer: Ptr) {
    // SAFETY: the pointer comes from the hook above, and Envoy gives it back once.
    drop(unsafe { Box::from_raw(pointer.cast::<Balancer>()) });
}

/// Choose a replica by its place among the healthy ones. After a panic it is the first of them.
#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_lb_choose_host(
    cluster: Ptr,
    pointer: Ptr,
    request: Ptr,
    priority: *mut u32,
    place: *mut u32,
) -> bool {
    // SAFETY: the pointer comes from the hook for new balancers, and one worker uses it.
    let choose = || unsafe { &mut *pointer.cast::<Balancer>() }.choose(Asked { cluster, request });
    let Some(found) = guarded(choose, || Some(0)) else { return false };
    // SAFETY: Envoy gives room for both numbers.
    unsafe {
        *priority = PRIORITY;
        *place = found as u32;
    }
    true
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_lb_on_host_membership_update(_: Ptr, _: Ptr, _added: usize, _removed: usize) {}
