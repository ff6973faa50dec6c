//! The deployed Node.js service's way of working, on the plain driver.
//!
//! It serves two ends: tests that run it beside the new service on one collection, as during a migration,
//! and benchmarks that compare with it. Its weaknesses are kept on purpose: it trusts the pod's clock, hands
//! out fewer codes than exist when callers meet, and leaves a stale `reserveId` on codes it releases.

use std::time::Duration;

use futures_util::TryStreamExt;
use mongodb::bson::{Bson, DateTime, Document, RawArrayBuf, RawDocumentBuf, Uuid, doc, rawdoc};
use mongodb::error::{Error, Result};
use mongodb::options::IndexOptions;
use mongodb::{Collection, Database, IndexModel};

/// Rows that the old service gathers from an upload before it writes.
const ROWS_PER_BULK: usize = 50_000;
/// What one `update` command may hold: the server's limit of statements, and its message size.
const STATEMENTS_PER_COMMAND: usize = 100_000;
const BYTES_PER_COMMAND: usize = 48_000_000;
/// How often a reservation looks again for the codes that others took in between.
const REPEATS: usize = 2;

/// The old service over one database.
#[derive(Clone, Debug)]
pub struct OldService {
    /// The collection `codes`.
    pub codes: Collection<Document>,
    /// How long a reservation lasts.
    pub ttl: Duration,
}

/// What a save did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Saved {
    /// Rows given.
    pub rows: u64,
    /// Rows that were new.
    pub inserted: u64,
    /// Rows that were there before.
    pub updated: u64,
}

/// How many codes of a campaign and type are in each status.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Free, or reserved too long ago.
    pub available: u64,
    /// Held by somebody.
    pub reserved: u64,
    /// Given out for good.
    pub assigned: u64,
}

impl OldService {
    /// The service over the collection `codes` of `database`, with reservations of 24 hours.
    pub fn new(database: &Database) -> OldService {
        OldService { codes: database.collection("codes"), ttl: Duration::from_secs(24 * 60 * 60) }
    }

    /// Creates the three indexes of the deployed collection.
    ///
    /// # Errors
    /// Those of the driver, here and below.
    pub async fn create_indexes(&self) -> Result<()> {
        let by_pool = doc! { "_id.campaign_id": -1, "type": 1, "date.reserved": -1, "date.assigned": -1 };
        let sparse = IndexOptions::builder().sparse(true).build();
        self.codes
            .create_indexes([
                IndexModel::builder().keys(doc! { "_id.campaign_id": -1, "_id.code": 1 }).build(),
                IndexModel::builder().keys(by_pool).build(),
                IndexModel::builder().keys(doc! { "reserveId": -1 }).options(sparse).build(),
            ])
            .await?;
        Ok(())
    }

    /// Upserts `codes`, one unordered bulk per 50,000 rows.
    ///
    /// # Errors
    /// Also when the server rejects a row.
    pub async fn save(&self, campaign: &str, code_type: &str, codes: &[String]) -> Result<Saved> {
        let mut saved = Saved::default();
        for rows in codes.chunks(ROWS_PER_BULK) {
            let now = DateTime::now();
            let mut statements = Statements::default();
            for code in rows {
                let statement = rawdoc! {
                    "q": { "_id": { "campaign_id": campaign, "code": code.as_str() } },
                    "u": { "$set": { "type": code_type, "date.saved": now } },
                    "upsert": true,
                };
                if statements.is_full_for(&statement) {
                    self.update(std::mem::take(&mut statements), &mut saved).await?;
                }
                statements.push(&statement);
            }
            self.update(statements, &mut saved).await?;
        }
        Ok(saved)
    }

    /// Reserves up to `count` codes; returns them with the reservation's id.
    ///
    /// It may return fewer although enough are there, when other callers reserve at the same time.
    ///
    /// # Errors
    /// Those of the driver.
    pub async fn reserve(
        &self,
        campaign: &str,
        code_type: &str,
        count: usize,
    ) -> Result<(Vec<String>, String)> {
        let reserve_id = Uuid::new().to_string();
        let mut codes = Vec::new();
        for _ in 0..=REPEATS {
            let missing = count - codes.len();
            let ids = self.available_ids(campaign, code_type, missing).await?;
            if ids.is_empty() {
                break;
            }
            let now = DateTime::now();
            let mut guarded = self.available();
            guarded.insert("_id", doc! { "$in": ids });
            let taken = doc! { "$set": { "date.reserved": now, "reserveId": &reserve_id } };
            self.codes.update_many(guarded, taken).await?;
            codes = self.read_back(&reserve_id).await?;
            if codes.len() >= count {
                break;
            }
        }
        Ok((codes, reserve_id))
    }

    /// Assigns `codes`, reserved or available; returns how many were not assigned before.
    ///
    /// # Errors
    /// Those of the driver.
    pub async fn assign(&self, campaign: &str, codes: &[String]) -> Result<u64> {
        let filter = doc! { "_id": { "$in": ids(campaign, codes) }, "date.assigned": null };
        let change = doc! { "$set": { "date.assigned": DateTime::now() } };
        Ok(self.codes.update_many(filter, change).await?.modified_count)
    }

    /// Releases those of `codes` that are reserved; returns how many. Their `reserveId` stays, stale.
    ///
    /// # Errors
    /// Those of the driver.
    pub async fn release(&self, campaign: &str, codes: &[String]) -> Result<u64> {
        let filter = doc! {
            "_id": { "$in": ids(campaign, codes) },
            "date.reserved": { "$ne": null },
            "date.assigned": null,
        };
        let change = doc! { "$unset": { "date.reserved": "" } };
        Ok(self.codes.update_many(filter, change).await?.modified_count)
    }

    /// Counts all three statuses with a query each, at the same time.
    ///
    /// # Errors
    /// Those of the driver.
    pub async fn count(&self, campaign: &str, code_type: &str) -> Result<Counts> {
        let pool = doc! { "_id.campaign_id": campaign, "type": code_type };
        let with = |status: Document| pool.clone().into_iter().chain(status).collect::<Document>();
        let reserved = doc! { "date.assigned": null, "date.reserved": { "$gt": self.expiry() } };
        let (available, reserved, assigned) = tokio::try_join!(
            self.codes.count_documents(with(self.available())).into_future(),
            self.codes.count_documents(with(reserved)).into_future(),
            self.codes.count_documents(with(doc! { "date.assigned": { "$ne": null } })).into_future(),
        )?;
        Ok(Counts { available, reserved, assigned })
    }

    /// Filter of what is available now, by the pod's clock.
    fn available(&self) -> Document {
        doc! {
            "date.assigned": null,
            "$or": [{ "date.reserved": null }, { "date.reserved": { "$lte": self.expiry() } }],
        }
    }

    /// Reservations made up to this moment have expired.
    fn expiry(&self) -> DateTime {
        let ttl = i64::try_from(self.ttl.as_millis()).expect("a ttl is shorter than 292 million years");
        DateTime::from_millis(DateTime::now().timestamp_millis() - ttl)
    }

    async fn available_ids(&self, campaign: &str, code_type: &str, count: usize) -> Result<Vec<Bson>> {
        let mut filter = doc! { "_id.campaign_id": campaign, "type": code_type };
        filter.extend(self.available());
        // A limit of 0 means none to the server.
        let limit = i64::try_from(count).expect("a count fits").max(1);
        let found = self.codes.find(filter).projection(doc! { "_id": 1 }).limit(limit).await?;
        found.map_ok(|mut code| code.remove("_id").unwrap_or(Bson::Null)).try_collect().await
    }

    async fn read_back(&self, reserve_id: &str) -> Result<Vec<String>> {
        let found = self.codes.find(doc! { "reserveId": reserve_id }).projection(doc! { "_id": 1 }).await?;
        let code = |found: Document| Some(found.get_document("_id").ok()?.get_str("code").ok()?.to_owned());
        found.try_filter_map(|found| std::future::ready(Ok(code(found)))).try_collect().await
    }

    async fn update(&self, statements: Statements, saved: &mut Saved) -> Result<()> {
        let rows = statements.count as u64;
        let mut command = rawdoc! { "update": self.codes.name(), "ordered": false };
        command.append(mongodb::bson::cstr!("updates"), statements.updates);
        let reply = self.codes.client().database(&self.codes.namespace().db).run_raw_command(command).await?;
        if let Ok(errors) = reply.get_array("writeErrors") {
            return Err(Error::custom(format!("{} of {rows} rows were rejected", errors.len())));
        }
        let inserted = reply.get_array("upserted").map_or(0, Vec::len) as u64;
        saved.rows += rows;
        saved.inserted += inserted;
        saved.updated += rows - inserted;
        Ok(())
    }
}

/// The statements of one `update` command, with their size.
#[derive(Default)]
struct Statements {
    updates: RawArrayBuf,
    count: usize,
    bytes: usize,
}

impl Statements {
    fn is_full_for(&self, statement: &RawDocumentBuf) -> bool {
        self.count == STATEMENTS_PER_COMMAND || self.bytes + cost(statement) > BYTES_PER_COMMAND
    }

    fn push(&mut self, statement: &RawDocumentBuf) {
        self.bytes += cost(statement);
        self.count += 1;
        self.updates.push(statement.clone());
    }
}

/// Bytes of a statement in the array, whose keys are its positions as text.
fn cost(statement: &RawDocumentBuf) -> usize {
    statement.as_bytes().len() + 8
}

fn ids(campaign: &str, codes: &[String]) -> Vec<Document> {
    codes.iter().map(|code| doc! { "campaign_id": campaign, "code": code }).collect()
}
