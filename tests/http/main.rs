//! The contract of the host over real HTTP: replies, refusals, logs, metrics, start-up, and what happens
//! when callers meet, clocks are wrong or the database is away.
//!
//! Most tests share one host and one database and keep to a campaign of their own. A test that looks at
//! everything that a host wrote or holds starts its own.

mod api;
mod auth;
mod client;
mod clock;
mod command_line;
mod concurrency;
mod config;
mod credentials;
mod csv;
mod database;
mod dev;
mod disconnect;
mod envelope;
mod errors;
mod export;
mod exports;
mod find;
mod imports;
mod input;
mod json;
mod limits;
mod load;
mod logs;
mod metrics;
mod openapi;
mod platform;
mod reservations;
mod s3;
mod security;
mod stop;
mod traces;
mod upload;
