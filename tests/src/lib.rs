//! The ground that tests and benchmarks of the workspace stand on: a real MongoDB, and the host as a process.
//!
//! # How to write a test
//!
//! Put a file beside the others, name it as a `[[test]]` in this crate's `Cargo.toml`, and take a fresh
//! database. The server behind it starts by itself at the first use and is gone when the tests have ended,
//! also when they fail or are killed.
//!
//! ```no_run
//! use mongodb::bson::{Document, doc};
//!
//! // With `#[tokio::test]` above it. The name is a sentence about one fact.
//! async fn what_was_written_can_be_read() {
//!     let test = code_service_tests::database().await;
//!     let codes = test.db.collection::<Document>("codes");
//!
//!     codes.insert_one(doc! { "_id": 1 }).await.expect("insert");
//!
//!     assert_eq!(codes.count_documents(doc! {}).await.expect("count"), 1);
//! }
//! ```
//!
//! `test.uri` is the connection string for the code under test; `test.db` looks past it.
//!
//! Tests run in parallel, so nothing may be shared but the server. A test that stops the server or turns on
//! a fail point starts its own with [`Mongod::start`], and one about elections or a broken network takes a
//! [`ReplicaSet`]. Nothing waits for luck: move time by writing dates, and wait for a fact with
//! [`supervised::wait_until`].
//!
//! # What is here
//!
//! | module | for |
//! |---|---|
//! | [`addon`] | the Node.js addon, laid out as npm installs it |
//! | [`binary`] | finding or downloading a mongod |
//! | [`built`] | the host and the addon, built when they are first asked for |
//! | [`c_library`] | the C library, and programs that are linked with it |
//! | [`caller`] | callers of the host who cost little |
//! | [`clock`] | programs with a wrong clock |
//! | [`collector`] | a real OpenTelemetry collector |
//! | [`load`] | more than a host can do |
//! | [`mongod`] | servers and databases |
//! | [`host`] | the HTTP host as a child process |
//! | [`keys`] | RSA key pairs and tokens |
//! | [`old_service`] | the deployed service's algorithms, as a neighbour and as the one to beat |
//! | [`programs`] | programs that tests call |
//! | [`proxy`] | breaking the network between clients and one member, command by command |
//! | [`repository`] | the repository that the tests are part of |
//! | [`replica_set`] | three members: elections, dead and paused servers |
//! | [`s3`] | a real S3 server, and faults in front of it |
//! | [`sample`] | random codes, and CSV files of them |
//! | [`supervised`] | child processes that end with the test process |
//! | [`vectors`] | what every face answers alike |

pub mod addon;
pub mod binary;
pub mod built;
pub mod c_library;
pub mod caller;
pub mod clock;
pub mod collector;
pub mod host;
pub mod keys;
pub mod load;
pub mod mongod;
pub mod old_service;
mod proc;
pub mod programs;
pub mod proxy;
pub mod replica_set;
pub mod repository;
pub mod s3;
pub mod sample;
mod server;
pub mod supervised;
pub mod vectors;
mod wire;

pub use host::Host;
pub use keys::Keys;
pub use mongod::{Database, Mongod, database, fresh_database};
pub use old_service::OldService;
pub use proxy::Proxy;
pub use replica_set::ReplicaSet;
pub use server::free_port;

/// The Rust examples of the pages compile.
#[cfg(doctest)]
mod pages {
    #[doc = include_str!("../../README.md")]
    struct Readme;
    #[doc = include_str!("../../core/README.md")]
    struct CoreReadme;
}
