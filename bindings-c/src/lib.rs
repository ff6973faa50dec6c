//! The C ABI over the crate `code-service`. Nothing is here yet.
