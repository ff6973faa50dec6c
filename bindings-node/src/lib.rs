//! The Node.js addon over the crate `code-service`. Nothing is here yet.
