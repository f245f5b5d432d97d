//! The functions that Envoy calls. Each ends a panic of the code behind it.
//!
//! A hook gets the request as Envoy knows it, and the `Stream` that this library has made for it.

use crate::abi::*;
use crate::admission::Refusal;
use crate::barrier::guarded;
use crate::begun::Begun;
use crate::config::Config;
use crate::counts;
use crate::envoy::{self, Http, Logged, Settings};
use crate::filter::{Step, Stream};
use std::sync::Arc;

/// The stream of a pointer.
///
/// # Safety
/// It must come from `envoy_dynamic_module_on_http_filter_new`, and not be destroyed yet, and no other hook may hold the
/// stream. Envoy runs one hook of a stream at a time, but while a request is answered, it calls the one for local
/// replies: see `act`.
unsafe fn stream<'a>(pointer: Ptr) -> &'a mut Stream {
    // SAFETY: see above.
    unsafe { &mut *pointer.cast::<Stream>() }
}

/// Run a hook for the request, and then do what it says: only then, because an answer calls another hook.
fn act(http: Http, hook: impl FnOnce() -> Step, hold: u32, refused: u32) -> u32 {
    match guarded(hook, || Step::Refuse(Refusal::of_bug(), Vec::new())) {
        Step::Continue => CONTINUE,
        Step::Hold => hold,
        Step::Refuse(refusal, headers) => {
            http.reply(refusal.status, &refusal.details, &headers);
            refused
        }
    }
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_program_init() -> *const u8 {
    VERSION.as_ptr()
}

#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_config_new(config: Ptr, _name: Buf, text: Buf) -> Ptr {
    let read = || {
        // SAFETY: Envoy has the text until this hook ends.
        match Config::read(Settings::of(config), unsafe { text.bytes() }) {
            Ok(found) => Box::into_raw(Box::new(Arc::new(found))).cast(),
            Err(error) => {
                envoy::log(LOG_ERROR, &format!("bateau_gate: the configuration cannot be used: {error}"));
                std::ptr::null_mut()
            }
        }
    };
    guarded(read, std::ptr::null_mut)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_config_destroy(pointer: Ptr) {
    // SAFETY: the pointer comes from the hook above, and Envoy gives it back once.
    let config = unsafe { Box::from_raw(pointer.cast::<Arc<Config>>()) };
    guarded(|| config.end(), || ());
}

/// The main thread has time for what `counts` has scheduled.
#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_config_scheduled(settings: Ptr, config: Ptr, _event: u64) {
    // SAFETY: the pointer comes from the hook for configurations.
    let config = unsafe { &*config.cast::<Arc<Config>>() };
    guarded(|| config.give_counts(Settings::of(settings)), || ());
}

#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_new(config: Ptr, _: Ptr) -> Ptr {
    // SAFETY: the pointer comes from the hook for configurations.
    let config = unsafe { &*config.cast::<Arc<Config>>() };
    guarded(|| Box::into_raw(Box::new(Stream::new(Arc::clone(config)))).cast(), std::ptr::null_mut)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_destroy(pointer: Ptr) {
    // SAFETY: the pointer comes from the hook above, and Envoy gives it back once.
    guarded(|| drop(unsafe { Box::from_raw(pointer.cast::<Stream>()) }), || ());
}

#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_request_headers(f: Ptr, pointer: Ptr, end: bool) -> u32 {
    let http = Http::of(f);
    // SAFETY: Envoy calls this with what the hook for new streams has returned.
    act(http, || unsafe { stream(pointer) }.request_headers(http, end), STOP, STOP)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_request_body(f: Ptr, pointer: Ptr, end: bool) -> u32 {
    let http = Http::of(f);
    let hook = || {
        // SAFETY: as above.
        unsafe { stream(pointer) }.request_body(http, end)
    };
    act(http, hook, BODY_STOP_AND_BUFFER, BODY_STOP_WITHOUT_BUFFER)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_request_trailers(f: Ptr, pointer: Ptr) -> u32 {
    let http = Http::of(f);
    // SAFETY: as above.
    act(http, || unsafe { stream(pointer) }.end_of_body(http), STOP, STOP)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_response_headers(f: Ptr, pointer: Ptr, end: bool) -> u32 {
    // SAFETY: as above. After a panic the answer passes as it is.
    let holds = guarded(|| unsafe { stream(pointer) }.response_headers(Http::of(f), end), || false);
    if holds { STOP } else { CONTINUE }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_response_body(f: Ptr, pointer: Ptr, end: bool) -> u32 {
    // SAFETY: as above.
    let holds = guarded(|| unsafe { stream(pointer) }.response_body(Http::of(f), end), || false);
    if holds { BODY_STOP_WITHOUT_BUFFER } else { CONTINUE }
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_response_trailers(_: Ptr, _: Ptr) -> u32 {
    CONTINUE
}

#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_local_reply(
    _: Ptr,
    pointer: Ptr,
    _status: u32,
    _details: Buf,
    _reset: bool,
) -> u32 {
    // SAFETY: as above.
    guarded(|| unsafe { stream(pointer) }.local_reply(), || ());
    CONTINUE
}

#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_http_filter_stream_complete(f: Ptr, pointer: Ptr) {
    // SAFETY: as above.
    guarded(|| unsafe { stream(pointer) }.complete(Http::of(f)), || ());
}

/// An access log.
enum Log {
    /// That of the router.
    Begun(Begun),
    /// That of a listener, which counts.
    Requests,
}

impl Log {
    /// Read the configuration of a log. An error says what is wrong with it.
    fn read(name: &[u8], text: &[u8]) -> Result<Log, String> {
        match name {
            b"bateau.requests" => Ok(Log::Requests),
            _ => Begun::read(text).map(Log::Begun),
        }
    }

    fn hear(&self, request: Logged) {
        match self {
            Log::Begun(begun) => begun.sent(request),
            Log::Requests => {
                let route = request.route().unwrap_or_default();
                counts::request(route, request.status(), request.duration_ms().unwrap_or_default());
            }
        }
    }
}

#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_access_logger_config_new(_config: Ptr, name: Buf, text: Buf) -> Ptr {
    let read = || {
        // SAFETY: Envoy has both texts until this hook ends.
        match unsafe { Log::read(name.bytes(), text.bytes()) } {
            Ok(found) => Arc::into_raw(Arc::new(found)).cast_mut().cast(),
            Err(error) => {
                envoy::log(LOG_ERROR, &format!("bateau_gate: the configuration of a log cannot be used: {error}"));
                std::ptr::null_mut()
            }
        }
    };
    guarded(read, std::ptr::null_mut)
}

#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_access_logger_config_destroy(pointer: Ptr) {
    // SAFETY: the pointer comes from the hook above, and Envoy gives it back once.
    guarded(|| drop(unsafe { Arc::from_raw(pointer.cast::<Log>()) }), || ());
}

/// Each worker has a log of its own; all share the configuration.
#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_access_logger_new(config: Ptr, _logger: Ptr) -> Ptr {
    // SAFETY: the pointer comes from the hook for configurations, which has not got it back yet.
    unsafe { Arc::increment_strong_count(config.cast::<Log>()) };
    config
}

#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_access_logger_destroy(pointer: Ptr) {
    // SAFETY: as for the configuration; each log has counted itself.
    guarded(|| drop(unsafe { Arc::from_raw(pointer.cast::<Log>()) }), || ());
}

#[unsafe(no_mangle)]
unsafe extern "C" fn envoy_dynamic_module_on_access_logger_log(logger: Ptr, pointer: Ptr, _kind: u32) {
    // SAFETY: the pointer comes from the hook for new logs.
    let log = unsafe { &*pointer.cast::<Log>() };
    guarded(|| log.hear(Logged::of(logger)), || ());
}

/// Envoy looks for every hook when it loads a library. These are never called, because nothing asks for it.
macro_rules! unused {
    ($($name:ident($($type:ty),*) $(-> $result:ty = $value:expr)?;)*) => {$(
        #[unsafe(no_mangle)]
        extern "C" fn $name($(_: $type),*) $(-> $result)? { $($value)? }
    )*};
}

#[rustfmt::skip]
unused! {
    envoy_dynamic_module_on_http_filter_per_route_config_new(Buf, Buf) -> Ptr = std::ptr::null_mut();
    envoy_dynamic_module_on_http_filter_per_route_config_destroy(Ptr);
    envoy_dynamic_module_on_http_filter_http_callout_done(Ptr, Ptr, u64, u32, Ptr, usize, Ptr, usize);
    envoy_dynamic_module_on_http_filter_http_stream_headers(Ptr, Ptr, u64, Ptr, usize, bool);
    envoy_dynamic_module_on_http_filter_http_stream_data(Ptr, Ptr, u64, Ptr, usize, bool);
    envoy_dynamic_module_on_http_filter_http_stream_trailers(Ptr, Ptr, u64, Ptr, usize);
    envoy_dynamic_module_on_http_filter_http_stream_complete(Ptr, Ptr, u64);
    envoy_dynamic_module_on_http_filter_http_stream_reset(Ptr, Ptr, u64, u32);
    envoy_dynamic_module_on_http_filter_scheduled(Ptr, Ptr, u64);
    envoy_dynamic_module_on_http_filter_config_http_callout_done(Ptr, Ptr, u64, u32, Ptr, usize, Ptr, usize);
    envoy_dynamic_module_on_http_filter_config_http_stream_headers(Ptr, Ptr, u64, Ptr, usize, bool);
    envoy_dynamic_module_on_http_filter_config_http_stream_data(Ptr, Ptr, u64, Ptr, usize, bool);
    envoy_dynamic_module_on_http_filter_config_http_stream_trailers(Ptr, Ptr, u64, Ptr, usize);
    envoy_dynamic_module_on_http_filter_config_http_stream_complete(Ptr, Ptr, u64);
    envoy_dynamic_module_on_http_filter_config_http_stream_reset(Ptr, Ptr, u64, u32);
    envoy_dynamic_module_on_http_filter_downstream_above_write_buffer_high_watermark(Ptr, Ptr);
    envoy_dynamic_module_on_http_filter_downstream_below_write_buffer_low_watermark(Ptr, Ptr);
}
