//! The headers of a request.

/// The header with the name of the key, which only the gateway may set.
pub const KEY_HEADER: &[u8] = b"x-bateau-key";
const OWN_HEADERS: &[u8] = b"x-bateau-";

/// The headers of a request that matter here.
#[derive(Default)]
pub struct Seen<'a> {
    /// Its secret, as `Bearer`.
    pub authorization: Option<&'a [u8]>,
    /// Its secret, in a header of its own.
    pub x_api_key: Option<&'a [u8]>,
    /// The type of its body.
    pub content_type: &'a [u8],
    /// Its path, with the query.
    pub path: &'a [u8],
    /// Its method.
    pub method: &'a [u8],
    /// Its id.
    pub id: &'a [u8],
    /// The trace that the client has named.
    pub traceparent: Option<&'a [u8]>,
    /// The names of headers that only the gateway may set.
    pub own: Vec<Vec<u8>>,
    /// Whether one of them names a key.
    pub names_key: bool,
}

impl<'a> Seen<'a> {
    /// See a header.
    pub fn see(&mut self, name: &'a [u8], value: &'a [u8]) {
        match name {
            b":path" => self.path = value,
            b":method" => self.method = value,
            b"x-request-id" => self.id = value,
            // Two of them are none.
            b"traceparent" => self.traceparent = Some(if self.traceparent.is_some() { b"" } else { value }),
            b"content-type" => self.content_type = value,
            b"authorization" => self.authorization = self.authorization.or(Some(value)),
            // Envoy's own filters take two for one text with a comma, which is no key.
            b"x-api-key" => self.x_api_key = Some(if self.x_api_key.is_some() { b"," } else { value }),
            _ if name.starts_with(OWN_HEADERS) => {
                self.names_key |= name == KEY_HEADER;
                self.own.push(name.to_vec());
            }
            _ => {}
        }
    }
}
