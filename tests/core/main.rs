//! The behaviour of the core on a real MongoDB: one file per theme, one fact per test.

mod check;
mod check_at_work;
mod concurrency;
mod connect;
mod document;
mod engine;
mod expiry;
mod export;
mod faults;
mod generate;
mod held_up;
mod idempotent;
mod imports;
mod indexes;
mod look;
mod old_service;
mod recover;
mod reserve;
mod save;
mod secrets;
mod settle;
mod support;
mod undo;
mod vectors;
mod words;
