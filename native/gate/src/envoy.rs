//! What Envoy does for a request, in the types of this library.

use crate::abi::*;
use std::cell::RefCell;

thread_local! {
    // One worker handles one hook at a time, so its requests share this memory.
    static HEADERS: RefCell<Vec<Header>> = const { RefCell::new(Vec::new()) };
    static CHUNKS: RefCell<Vec<Buf>> = const { RefCell::new(Vec::new()) };
}

/// Write to Envoy's log.
pub fn log(level: u32, text: &str) {
    // SAFETY: Envoy copies the text.
    unsafe { envoy_dynamic_module_callback_log(level, Buf::of(text.as_bytes())) }
}

/// One request in Envoy, while a hook for it runs.
#[derive(Clone, Copy)]
pub struct Http(Ptr);

#[rustfmt::skip]
impl Http {
    /// The request of a pointer that a hook was called with.
    pub fn of(pointer: Ptr) -> Http {
        Http(pointer)
    }

    /// Show all headers of a kind. Nothing may be set meanwhile.
    pub fn each_header<'a>(self, kind: u32, mut see: impl FnMut(&'a [u8], &'a [u8])) {
        HEADERS.with_borrow_mut(|headers| {
            // SAFETY: Envoy writes as many headers as it has said, and has their texts until something is set.
            unsafe {
                let count = envoy_dynamic_module_callback_http_get_headers_size(self.0, kind);
                headers.clear();
                headers.reserve(count);
                if !envoy_dynamic_module_callback_http_get_headers(self.0, kind, headers.as_mut_ptr()) {
                    return;
                }
                headers.set_len(count);
                for header in headers.iter() {
                    see(header.key.bytes(), header.value.bytes());
                }
            }
        });
    }

    /// The first value of a header.
    pub fn header<'a>(self, kind: u32, name: &[u8]) -> Option<&'a [u8]> {
        let (mut found, mut count) = (Buf::NONE, 0);
        // SAFETY: Envoy copies the name; the caller reads the value before it sets anything.
        unsafe {
            envoy_dynamic_module_callback_http_get_header(self.0, kind, Buf::of(name), &mut found, 0, &mut count)
                .then(|| found.bytes())
        }
    }

    /// Set a header, or replace it.
    pub fn set(self, kind: u32, name: &[u8], value: &[u8]) {
        // SAFETY: Envoy copies both.
        unsafe { envoy_dynamic_module_callback_http_set_header(self.0, kind, Buf::of(name), Buf::of(value)) };
    }

    /// Add a header that is not there. To set it would have Envoy look for it first, which costs as much again.
    pub fn add(self, kind: u32, name: &[u8], value: &[u8]) {
        // SAFETY: Envoy copies both.
        unsafe { envoy_dynamic_module_callback_http_add_header(self.0, kind, Buf::of(name), Buf::of(value)) };
    }

    /// Remove a header.
    pub fn remove(self, kind: u32, name: &[u8]) {
        // SAFETY: Envoy copies the name; without a value it removes the header.
        unsafe { envoy_dynamic_module_callback_http_set_header(self.0, kind, Buf::of(name), Buf::NONE) };
    }

    /// Answer the request. Envoy's table of replies makes the body, by the status and the details.
    ///
    /// Envoy calls the hook for local replies meanwhile, so nobody may hold the stream.
    pub fn reply(self, status: u32, details: &str, headers: &[(&[u8], Vec<u8>)]) {
        let headers: Vec<_> =
            headers.iter().map(|(key, value)| Header { key: Buf::of(key), value: Buf::of(value) }).collect();
        let details = Buf::of(details.as_bytes());
        // SAFETY: Envoy copies all of it.
        unsafe {
            envoy_dynamic_module_callback_http_send_response(
                self.0, status, headers.as_ptr(), headers.len(), Buf::NONE, details,
            );
        }
    }

    /// Show each piece of a body that has come, as Envoy holds it.
    pub fn each_chunk(self, kind: u32, mut see: impl FnMut(&[u8])) {
        CHUNKS.with_borrow_mut(|chunks| {
            // SAFETY: Envoy writes as many pieces as it has said, and has them until the hook ends.
            unsafe {
                let count = envoy_dynamic_module_callback_http_get_body_chunks_size(self.0, kind);
                chunks.clear();
                chunks.reserve(count);
                if count == 0 || !envoy_dynamic_module_callback_http_get_body_chunks(self.0, kind, chunks.as_mut_ptr()) {
                    return;
                }
                chunks.set_len(count);
                for chunk in chunks.iter() {
                    see(chunk.bytes());
                }
            }
        });
    }

    /// The status of the answer; 0 if there is none yet.
    pub fn status(self) -> u64 {
        self.header(RESPONSE_HEADERS, b":status").map_or(0, status_of)
    }

    /// Remove the first bytes of a body that has come.
    pub fn drain_body(self, kind: u32, length: usize) {
        // SAFETY: nobody has the pieces any more.
        unsafe { envoy_dynamic_module_callback_http_drain_body(self.0, kind, length) };
    }

    /// Add a text to the end of a body that has come.
    pub fn append_body(self, kind: u32, text: &[u8]) {
        // SAFETY: Envoy copies the text.
        unsafe { envoy_dynamic_module_callback_http_append_body(self.0, kind, Buf::of(text)) };
    }

    /// Choose the route again: the headers have changed.
    pub fn route_again(self) {
        // SAFETY: there is nothing to promise.
        unsafe { envoy_dynamic_module_callback_http_clear_route_cache(self.0) }
    }

    /// Have Envoy choose the route now: it does when it is asked for the cluster.
    pub fn choose_route(self) {
        self.metadata(METADATA_CLUSTER, "", "");
    }

    /// A text in metadata: of the request, or of the replica.
    pub fn metadata<'a>(self, source: u32, namespace: &str, key: &str) -> Option<&'a [u8]> {
        let mut found = Buf::NONE;
        let (namespace, key) = (Buf::of(namespace.as_bytes()), Buf::of(key.as_bytes()));
        // SAFETY: Envoy only reads the names; the caller reads the value before it sets anything.
        unsafe {
            envoy_dynamic_module_callback_http_get_metadata_string(self.0, source, namespace, key, &mut found)
                .then(|| found.bytes())
        }
    }

    /// Set a text in the metadata of the request.
    pub fn set_metadata(self, namespace: &str, key: &str, value: &[u8]) {
        let (namespace, key) = (Buf::of(namespace.as_bytes()), Buf::of(key.as_bytes()));
        // SAFETY: Envoy copies all of it.
        unsafe { envoy_dynamic_module_callback_http_set_dynamic_metadata_string(self.0, namespace, key, Buf::of(value)) }
    }

    /// An attribute that is a text.
    pub fn text<'a>(self, attribute: u32) -> Option<&'a [u8]> {
        let mut found = Buf::NONE;
        // SAFETY: the caller reads the value before it sets anything.
        unsafe {
            envoy_dynamic_module_callback_http_filter_get_attribute_string(self.0, attribute, &mut found)
                .then(|| found.bytes())
        }
    }

    /// An attribute that is a number.
    pub fn number(self, attribute: u32) -> Option<u64> {
        let mut found = 0;
        // SAFETY: Envoy writes one number.
        unsafe {
            envoy_dynamic_module_callback_http_filter_get_attribute_int(self.0, attribute, &mut found).then_some(found)
        }
    }

    /// Add to a counter that `define_counter` has made for the configuration of this request.
    pub fn count(self, counter: usize, by: u64) {
        // SAFETY: the counter has no labels.
        unsafe { envoy_dynamic_module_callback_http_filter_increment_counter(self.0, counter, std::ptr::null(), 0, by) };
    }
}

/// The number of a status; 0 if it is none.
pub fn status_of(text: &[u8]) -> u64 {
    std::str::from_utf8(text).ok().and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

/// A request, while an access log hears of it: that of the router, or that of a listener.
#[derive(Clone, Copy)]
pub struct Logged(Ptr);

impl Logged {
    /// The request of a pointer that a hook was called with.
    pub fn of(pointer: Ptr) -> Logged {
        Logged(pointer)
    }

    /// The status of its answer; 0 if it has none.
    pub fn status(self) -> u64 {
        let mut found = 0;
        // SAFETY: Envoy writes one number.
        unsafe { envoy_dynamic_module_callback_access_logger_get_attribute_int(self.0, RESPONSE_CODE, &mut found) };
        found
    }

    /// How long it took, in milliseconds; None while it has not ended.
    pub fn duration_ms(self) -> Option<u64> {
        let mut timing = Timing { began: 0, complete: -1, bytes: [-1; 6] };
        // SAFETY: Envoy writes one `Timing`.
        unsafe { envoy_dynamic_module_callback_access_logger_get_timing_info(self.0, &mut timing) };
        Some(u64::try_from(timing.complete).ok()? / 1_000_000)
    }

    /// The first value of a header.
    pub fn header<'a>(self, name: &[u8]) -> Option<&'a [u8]> {
        let (mut found, mut count) = (Buf::NONE, 0);
        // SAFETY: Envoy only reads the name, and has the value until the hook ends.
        unsafe {
            envoy_dynamic_module_callback_access_logger_get_header_value(
                self.0,
                REQUEST_HEADERS,
                Buf::of(name),
                &mut found,
                0,
                &mut count,
            )
            .then(|| found.bytes())
        }
    }

    /// The name of its route.
    pub fn route<'a>(self) -> Option<&'a [u8]> {
        let mut found = Buf::NONE;
        // SAFETY: Envoy has the text until the hook ends.
        unsafe { envoy_dynamic_module_callback_access_logger_get_route_name(self.0, &mut found).then(|| found.bytes()) }
    }

    /// The name of the replica.
    pub fn replica<'a>(self) -> Option<&'a [u8]> {
        let mut found = Buf::NONE;
        // SAFETY: Envoy has the text until the hook ends.
        unsafe {
            envoy_dynamic_module_callback_access_logger_get_upstream_host(self.0, &mut found).then(|| found.bytes())
        }
    }
}

/// A configuration in Envoy, while a hook for it runs on the main thread.
#[derive(Clone, Copy)]
pub struct Settings(Ptr);

impl Settings {
    /// The configuration of a pointer that a hook was called with.
    pub fn of(pointer: Ptr) -> Settings {
        Settings(pointer)
    }

    /// Make a counter with some labels, while the configuration begins; None if Envoy does not want one.
    pub fn define_counter(self, name: &str, labels: &[&str]) -> Option<usize> {
        let (mut id, labels) = (0, labels.iter().map(|label| Buf::of(label.as_bytes())).collect::<Vec<_>>());
        // SAFETY: Envoy copies all texts.
        let refused = unsafe {
            envoy_dynamic_module_callback_http_filter_config_define_counter(
                self.0,
                Buf::of(name.as_bytes()),
                labels.as_ptr(),
                labels.len(),
                &mut id,
            )
        };
        (refused == 0).then_some(id)
    }

    /// Add to a counter that `define_counter` has made with as many labels.
    pub fn count(self, counter: usize, values: &[&[u8]], by: u64) {
        let values: Vec<_> = values.iter().map(|value| Buf::of(value)).collect();
        // SAFETY: Envoy copies the texts.
        unsafe {
            envoy_dynamic_module_callback_http_filter_config_increment_counter(
                self.0,
                counter,
                values.as_ptr(),
                values.len(),
                by,
            )
        };
    }

    /// What can have the main thread call the hook for scheduled events, from any thread.
    pub fn scheduler(self) -> Scheduler {
        // SAFETY: there is nothing to promise.
        Scheduler(unsafe { envoy_dynamic_module_callback_http_filter_config_scheduler_new(self.0) })
    }
}

/// See `Settings::scheduler`.
pub struct Scheduler(Ptr);

// SAFETY: Envoy makes it for other threads than the main one.
unsafe impl Send for Scheduler {}

impl Scheduler {
    /// Have the hook called.
    pub fn schedule(&self) {
        // SAFETY: it was not given back yet. Envoy calls nothing for a configuration that has ended.
        unsafe { envoy_dynamic_module_callback_http_filter_config_scheduler_commit(self.0, 0) }
    }

    /// A name of it, which no other one has at the same time.
    pub fn id(&self) -> usize {
        self.0.addr()
    }
}

impl Drop for Scheduler {
    fn drop(&mut self) {
        // SAFETY: it is given back once.
        unsafe { envoy_dynamic_module_callback_http_filter_config_scheduler_delete(self.0) }
    }
}

/// Whether Envoy only checks a configuration.
pub fn is_validation() -> bool {
    // SAFETY: the hook for configurations runs on the main thread, as this must.
    unsafe { envoy_dynamic_module_callback_is_validation_mode() }
}
