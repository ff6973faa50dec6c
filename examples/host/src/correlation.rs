//! The correlation id: taken from the caller or made, and known wherever the request is worked on.

use std::sync::{Arc, OnceLock};

use axum::http::{HeaderMap, HeaderName};

/// The header it comes and goes in.
pub(crate) const HEADER: HeaderName = HeaderName::from_static("x-titan-correlation-id");
const MAX_LENGTH: usize = 128;

tokio::task_local! {
    static CURRENT: (String, User);
}

/// Who makes a request, once that is known.
#[derive(Debug, Clone, Default)]
pub(crate) struct User(Arc<OnceLock<String>>);

impl User {
    /// None before the token was looked at, and of a route that needs none.
    pub(crate) fn id(&self) -> Option<&str> {
        self.0.get().map(String::as_str)
    }
}

/// The request that is being worked on is of this user. Capped as the correlation id is: it goes into the log.
pub(crate) fn is_of(user: &str) {
    let _ = CURRENT.try_with(|(_, known)| known.0.set(user.chars().take(MAX_LENGTH).collect()));
}

/// The caller's id if it is at most 128 visible ASCII characters, else a new one.
pub(crate) fn of(headers: &HeaderMap) -> String {
    headers
        .get(HEADER)
        .and_then(|value| value.to_str().ok())
        .filter(|id| !id.is_empty() && id.len() <= MAX_LENGTH && id.bytes().all(|b| b.is_ascii_graphic()))
        .map_or_else(|| uuid::Uuid::new_v4().to_string(), str::to_owned)
}

/// Runs `work` as part of the request with this id.
pub(crate) async fn scope<F: Future>(id: String, user: User, work: F) -> F::Output {
    CURRENT.scope((id, user), work).await
}

/// The id of the request that is being worked on.
pub(crate) fn current() -> String {
    CURRENT.try_with(|(id, _)| id.clone()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_header(value: &[u8]) -> String {
        let mut headers = HeaderMap::new();
        headers.insert(HEADER, axum::http::HeaderValue::from_bytes(value).expect("a legal header"));
        of(&headers)
    }

    #[test]
    fn a_good_id_is_taken_and_any_other_replaced() {
        assert_eq!(of_header(b"abc-1"), "abc-1");
        assert_eq!(of_header(&[b'x'; 128]), "x".repeat(128));
        for bad in [&[b'x'; 129][..], b"", b"a b", b"\xc3\xa9"] {
            assert_eq!(of_header(bad).len(), 36, "a UUID instead");
        }
        assert_eq!(of(&HeaderMap::new()).len(), 36);
    }
}
