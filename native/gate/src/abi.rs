//! The part of Envoy's interface for dynamic modules that this library uses.
//!
//! Source: `source/extensions/dynamic_modules/abi/abi.h` of Envoy 1.40, which calls it "v0.2.0". Envoy promises that a
//! module for one minor version works with the next one. Envoy's program has the functions; the loader binds them.

use std::ffi::c_void;

/// The version that this library was written for, as Envoy wants to hear it.
pub const VERSION: &[u8] = b"v0.2.0\0";

/// An object of Envoy or of this library, as the other side sees it.
pub type Ptr = *mut c_void;

/// A text, of whichever side.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Buf {
    /// Its first byte; null where there is no text.
    pub ptr: *const u8,
    /// How many bytes it has.
    pub len: usize,
}

impl Buf {
    /// No text.
    pub const NONE: Buf = Buf { ptr: std::ptr::null(), len: 0 };

    /// A text of this library.
    pub fn of(bytes: &[u8]) -> Buf {
        Buf { ptr: bytes.as_ptr(), len: bytes.len() }
    }

    /// The bytes of a text of Envoy.
    ///
    /// # Safety
    /// Envoy must still have the text: it has until the hook ends, or until something is set.
    pub unsafe fn bytes<'a>(self) -> &'a [u8] {
        if self.ptr.is_null() || self.len == 0 {
            return &[];
        }
        // SAFETY: the caller promises that the text is there.
        unsafe { std::slice::from_raw_parts(self.ptr, self.len) }
    }
}

/// A header, of whichever side.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Header {
    /// Its name, in lower case.
    pub key: Buf,
    /// Its value.
    pub value: Buf,
}

/// Times of a request: when it began, in nanoseconds since the epoch, and how long after that its last byte was sent and
/// bytes of its replica's and of its client's connection came and went, in nanoseconds; -1 for what was not.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Timing {
    /// When it began.
    pub began: i64,
    /// After how long it was complete.
    pub complete: i64,
    /// The others.
    pub bytes: [i64; 6],
}

pub const REQUEST_HEADERS: u32 = 0;
pub const RESPONSE_HEADERS: u32 = 2;

pub const RECEIVED_REQUEST_BODY: u32 = 0;
pub const RECEIVED_RESPONSE_BODY: u32 = 2;

pub const CONTINUE: u32 = 0;
pub const STOP: u32 = 1;
pub const BODY_STOP_AND_BUFFER: u32 = 1;
pub const BODY_STOP_WITHOUT_BUFFER: u32 = 3;

pub const METADATA_DYNAMIC: u32 = 0;
pub const METADATA_ROUTE: u32 = 1;
pub const METADATA_CLUSTER: u32 = 2;
pub const METADATA_HOST: u32 = 3;

pub const LOG_ERROR: u32 = 4;

pub const RESPONSE_CODE: u32 = 15;
pub const RESPONSE_CODE_DETAILS: u32 = 16;
pub const RESPONSE_FLAGS: u32 = 17;
pub const RESPONSE_SIZE: u32 = 21;
pub const ATTEMPT_COUNT: u32 = 53;
pub const ROUTE_NAME: u32 = 61;

/// The number of requests that a replica has, among the counts of a replica.
pub const REQUESTS_ACTIVE: u32 = 7;

#[rustfmt::skip]
unsafe extern "C" {
    pub fn envoy_dynamic_module_callback_log(level: u32, message: Buf);
    pub fn envoy_dynamic_module_callback_is_validation_mode() -> bool;
    pub fn envoy_dynamic_module_callback_http_get_headers_size(f: Ptr, kind: u32) -> usize;
    pub fn envoy_dynamic_module_callback_http_get_headers(f: Ptr, kind: u32, out: *mut Header) -> bool;
    pub fn envoy_dynamic_module_callback_http_get_header(f: Ptr, kind: u32, key: Buf, out: *mut Buf, index: usize, count: *mut usize) -> bool;
    pub fn envoy_dynamic_module_callback_http_add_header(f: Ptr, kind: u32, key: Buf, value: Buf) -> bool;
    pub fn envoy_dynamic_module_callback_http_set_header(f: Ptr, kind: u32, key: Buf, value: Buf) -> bool;
    pub fn envoy_dynamic_module_callback_http_send_response(f: Ptr, code: u32, headers: *const Header, count: usize, body: Buf, details: Buf);
    pub fn envoy_dynamic_module_callback_http_get_body_chunks_size(f: Ptr, kind: u32) -> usize;
    pub fn envoy_dynamic_module_callback_http_get_body_chunks(f: Ptr, kind: u32, out: *mut Buf) -> bool;
    pub fn envoy_dynamic_module_callback_http_drain_body(f: Ptr, kind: u32, bytes: usize) -> bool;
    pub fn envoy_dynamic_module_callback_http_append_body(f: Ptr, kind: u32, data: Buf) -> bool;
    pub fn envoy_dynamic_module_callback_http_clear_route_cache(f: Ptr);
    pub fn envoy_dynamic_module_callback_http_get_metadata_string(f: Ptr, source: u32, namespace: Buf, key: Buf, out: *mut Buf) -> bool;
    pub fn envoy_dynamic_module_callback_http_set_dynamic_metadata_string(f: Ptr, namespace: Buf, key: Buf, value: Buf);
    pub fn envoy_dynamic_module_callback_http_filter_get_attribute_string(f: Ptr, id: u32, out: *mut Buf) -> bool;
    pub fn envoy_dynamic_module_callback_http_filter_get_attribute_int(f: Ptr, id: u32, out: *mut u64) -> bool;
    pub fn envoy_dynamic_module_callback_http_filter_config_define_counter(c: Ptr, name: Buf, labels: *const Buf, count: usize, id: *mut usize) -> u32;
    pub fn envoy_dynamic_module_callback_access_logger_get_header_value(l: Ptr, kind: u32, key: Buf, out: *mut Buf, index: usize, count: *mut usize) -> bool;
    pub fn envoy_dynamic_module_callback_access_logger_get_route_name(l: Ptr, out: *mut Buf) -> bool;
    pub fn envoy_dynamic_module_callback_access_logger_get_upstream_host(l: Ptr, out: *mut Buf) -> bool;
    pub fn envoy_dynamic_module_callback_access_logger_get_attribute_int(l: Ptr, id: u32, out: *mut u64) -> bool;
    pub fn envoy_dynamic_module_callback_access_logger_get_timing_info(l: Ptr, out: *mut Timing);
    pub fn envoy_dynamic_module_callback_http_filter_config_increment_counter(c: Ptr, id: usize, labels: *const Buf, count: usize, by: u64) -> u32;
    pub fn envoy_dynamic_module_callback_http_filter_config_scheduler_new(c: Ptr) -> Ptr;
    pub fn envoy_dynamic_module_callback_http_filter_config_scheduler_commit(s: Ptr, event: u64);
    pub fn envoy_dynamic_module_callback_http_filter_config_scheduler_delete(s: Ptr);
    pub fn envoy_dynamic_module_callback_http_filter_increment_counter(f: Ptr, id: usize, labels: *const Buf, count: usize, by: u64) -> u32;
    pub fn envoy_dynamic_module_callback_lb_get_hosts_count(lb: Ptr, priority: u32) -> usize;
    pub fn envoy_dynamic_module_callback_lb_get_healthy_hosts_count(lb: Ptr, priority: u32) -> usize;
    pub fn envoy_dynamic_module_callback_lb_get_host_address(lb: Ptr, priority: u32, index: usize, out: *mut Buf) -> bool;
    pub fn envoy_dynamic_module_callback_lb_get_healthy_host_address(lb: Ptr, priority: u32, index: usize, out: *mut Buf) -> bool;
    pub fn envoy_dynamic_module_callback_lb_get_host_stat(lb: Ptr, priority: u32, index: usize, stat: u32) -> u64;
    pub fn envoy_dynamic_module_callback_lb_context_get_downstream_header(context: Ptr, name: Buf, out: *mut Buf, index: usize, count: *mut usize) -> bool;
    pub fn envoy_dynamic_module_callback_lb_context_should_select_another_host(lb: Ptr, context: Ptr, priority: u32, index: usize) -> bool;
}
