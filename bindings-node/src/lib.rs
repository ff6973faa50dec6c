//! The Node.js addon over the crate `code-service`: conversion only.
//!
//! JavaScript (`index.js`) numbers its calls, and what it asks and what it is answered are JSON: to cross the
//! border once, with a string that both sides read fast, costs less than to cross it for every property.
//! Whatever ends between two turns of the event loop is answered by one call.
//!
//! No call waits here: all that waits does so on threads of the addon's own (`runtime.rs`).

mod answers;
mod calls;
mod error;
mod methods;
mod runtime;
mod uploads;

use std::sync::Arc;

use napi::bindgen_prelude::{BufferSlice, Function};
use napi_derive::napi;

use calls::{Answers, Calls, End};

/// A service, connected or not, and the calls that are under way on it.
#[napi]
pub struct Native {
    calls: Option<Arc<Calls>>,
}

#[napi]
impl Native {
    /// `settle` gets arrays of answers, as JSON.
    #[napi(constructor, catch_unwind)]
    pub fn new(settle: Function<String, ()>) -> napi::Result<Self> {
        let (end, set) = End::new();
        let calls = Arc::new(Calls::new(Answers::to(&settle, end)?));
        set(&calls);
        Ok(Native { calls: Some(calls) })
    }

    /// Begins calls, a line each: a number, which its answer carries, the method, and the arguments as JSON.
    #[napi(catch_unwind)]
    pub fn begin(&self, lines: String) {
        if let Some(calls) = &self.calls {
            methods::begin_all(calls, lines);
        }
    }

    /// Adds a piece of a CSV file to a save that is under way.
    #[napi(catch_unwind)]
    pub fn push_bytes(&self, call: u32, bytes: BufferSlice) {
        if let Some(calls) = &self.calls {
            calls.uploads.push_bytes(call, &bytes);
        }
    }

    /// Adds codes, a JSON array, to a save that is under way.
    #[napi(catch_unwind)]
    pub fn push_codes(&self, call: u32, codes: String) {
        if let Some(calls) = &self.calls {
            calls.uploads.push_codes(call, &codes);
        }
    }

    /// Adds codes, a JSON array, to a call that has not begun.
    #[napi(catch_unwind)]
    pub fn stack_codes(&self, call: u32, codes: String) -> napi::Result<()> {
        let codes = serde_json::from_str(&codes);
        let codes = codes.map_err(|_| napi::Error::from_reason("codes are not stacked as JSON"))?;
        if let Some(calls) = &self.calls {
            calls.stacks.push(call, codes);
        }
        Ok(())
    }

    /// More answers, as `settle` gets them, if it was told that there are.
    #[napi(catch_unwind)]
    pub fn more(&self) -> String {
        self.calls.as_ref().map_or_else(|| "[]".to_owned(), |calls| calls.more())
    }

    /// Says that nothing more comes of a save that is under way; with a reason, that its source has failed.
    #[napi(catch_unwind)]
    pub fn end_of_rows(&self, call: u32, failed: bool) {
        if let Some(calls) = &self.calls {
            calls.uploads.end(call, failed);
        }
    }

    /// Ends a call without an answer. False if its answer is on its way.
    #[napi(catch_unwind)]
    pub fn abort(&self, call: u32) -> bool {
        self.calls.as_ref().is_some_and(|calls| calls.abort(call))
    }

    /// Ends all calls without an answer, and lets go of everything.
    #[napi(catch_unwind)]
    pub fn end_all(&mut self) {
        if let Some(calls) = self.calls.take() {
            calls.abort_all();
        }
    }
}
