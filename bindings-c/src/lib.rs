//! The C ABI over the crate `code-service`: conversion only. `include/code_service.h` is made of it, and is its
//! documentation.
//!
//! Every function takes what it is given apart ([`boundary`]), makes one [call](calls) of the core, and puts the answer
//! together ([`results`]).

#![allow(
    unsafe_op_in_unsafe_fn,
    clippy::missing_safety_doc,
    reason = "functions of the API are unsafe for one reason, which the header states; boundary.rs relies on it"
)]

pub mod boundary;
pub mod calls;
pub mod error;
pub mod export;
pub mod operations;
pub mod operations_async;
pub mod options;
pub mod results;
pub mod save;
