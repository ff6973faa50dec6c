//! The indexes: exactly those of the deployed service on the codes, two on the ledger, and those of the jobs.

use std::fmt;
use std::time::Duration;

use futures_util::TryStreamExt;
use mongodb::bson::{Bson, Document, doc};
use mongodb::error::ErrorKind as DriverErrorKind;
use mongodb::options::IndexOptions;
use mongodb::{Collection, IndexModel};

use crate::error::{Error, Result};
use crate::store::{Store, database_error};
use crate::task::{MEDIUM, Within};

/// Looking one code up, and exporting in key order.
pub(crate) fn by_code() -> Document {
    doc! { "_id.campaign_id": -1, "_id.code": 1 }
}

/// Finding available codes, and counting.
pub(crate) fn by_status() -> Document {
    doc! { "_id.campaign_id": -1, "type": 1, "date.reserved": -1, "date.assigned": -1 }
}

/// Finding the codes of a reservation.
pub(crate) fn by_reserve_id() -> Document {
    doc! { "reserveId": -1 }
}

/// Finding entries of the ledger whose attempts may have left something behind.
pub(crate) fn by_sweep() -> Document {
    doc! { "sweep": 1 }
}

/// What is wrong with an index, and how to mend it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexProblem {
    /// The collection it should be on.
    pub collection: String,
    /// The name it has, or should have.
    pub index: String,
    /// Whether there is an index of other properties in its place. False: there is none.
    pub different: bool,
}

impl fmt::Display for IndexProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let IndexProblem { collection, index, different } = self;
        if *different {
            write!(
                f,
                "the index {index} of the collection {collection} has other properties than it must: drop it with \
                 db.getCollection(\"{collection}\").dropIndex(\"{index}\"), and make it again with ensure_indexes"
            )
        } else {
            write!(f, "the collection {collection} has no index {index}: make it with ensure_indexes")
        }
    }
}

/// An index as it must be.
struct Wanted<'a> {
    collection: &'a Collection<Document>,
    keys: Document,
    sparse: bool,
    expire_after: Option<Duration>,
}

fn wanted(store: &Store) -> [Wanted<'_>; 9] {
    let on_codes = |keys, sparse| Wanted { collection: &store.codes, keys, sparse, expire_after: None };
    let on_jobs = |keys| Wanted { collection: &store.jobs, keys, sparse: false, expire_after: None };
    // Documents that are thrown away at the date that they hold.
    let purged = |collection| Wanted {
        collection,
        keys: doc! { "purge": 1 },
        sparse: false,
        expire_after: Some(Duration::ZERO),
    };
    [
        on_codes(by_code(), false),
        on_codes(by_status(), false),
        on_codes(by_reserve_id(), true),
        purged(&store.ledger),
        Wanted { collection: &store.ledger, keys: by_sweep(), sparse: true, expire_after: None },
        on_jobs(doc! { "campaign_id": 1, "created": -1 }),
        on_jobs(doc! { "state": 1, "created": 1 }),
        purged(&store.jobs),
        purged(&store.batches),
    ]
}

impl Wanted<'_> {
    fn name(&self) -> String {
        name(&self.keys)
    }

    fn model(&self) -> IndexModel {
        let options = IndexOptions::builder()
            .sparse(self.sparse.then_some(true))
            .expire_after(self.expire_after)
            .build();
        IndexModel::builder().keys(self.keys.clone()).options(options).build()
    }

    /// Whether an index is the one that is wanted, and not one that only begins like it.
    fn is(&self, found: &IndexModel) -> bool {
        let options = found.options.clone().unwrap_or_default();
        options.sparse.unwrap_or(false) == self.sparse
            && options.expire_after == self.expire_after
            && !options.unique.unwrap_or(false)
            && !options.hidden.unwrap_or(false)
            && options.partial_filter_expression.is_none()
            && options.collation.is_none()
    }
}

/// The name that MongoDB derives from the keys of an index.
fn name(keys: &Document) -> String {
    let parts: Vec<String> = keys.iter().map(|(key, way)| format!("{key}_{}", direction(way))).collect();
    parts.join("_")
}

/// Servers answer with 1, 1.0 or 1_i64, depending on who made the index.
fn direction(way: &Bson) -> i64 {
    match way.as_i64().or(way.as_i32().map(i64::from)) {
        Some(way) => way,
        None => way.as_f64().map_or(0, |way| way as i64),
    }
}

/// Creates the indexes that are missing.
pub(crate) async fn ensure(store: &Store) -> Result<()> {
    for index in wanted(store) {
        match problem(&index).await? {
            None => {}
            Some(problem) if problem.different => {
                return Err(Error::Internal { reason: problem.to_string(), source: None });
            }
            Some(_) => {
                // For as long as it takes: minutes, on millions of codes.
                let created = index.collection.create_index(index.model()).await;
                created.map_err(|e| database_error("creating an index", e))?;
            }
        }
    }
    Ok(())
}

/// What is wrong with the indexes; empty if nothing is.
pub(crate) async fn verify(store: &Store) -> Result<Vec<IndexProblem>> {
    let mut problems = Vec::new();
    for index in wanted(store) {
        problems.extend(problem(&index).await?);
    }
    Ok(problems)
}

/// An index is known by its keys, whatever its name is.
async fn problem(index: &Wanted<'_>) -> Result<Option<IndexProblem>> {
    let found = list(index.collection).await?;
    let same_keys = found.iter().filter(|model| name(&model.keys) == index.name());
    let mut different = None;
    for model in same_keys {
        if index.is(model) {
            return Ok(None);
        }
        let name = model.options.as_ref().and_then(|options| options.name.clone());
        different = Some(IndexProblem {
            collection: index.collection.name().to_owned(),
            index: name.unwrap_or_else(|| index.name()),
            different: true,
        });
    }
    Ok(Some(different.unwrap_or_else(|| IndexProblem {
        collection: index.collection.name().to_owned(),
        index: index.name(),
        different: false,
    })))
}

async fn list(collection: &Collection<Document>) -> Result<Vec<IndexModel>> {
    let failed = |e| database_error("listing the indexes", e);
    let listed = async { collection.list_indexes().await?.try_collect().await };
    match listed.within(MEDIUM).await {
        Ok(indexes) => Ok(indexes),
        // NamespaceNotFound: a collection that nothing was written to has no index.
        Err(error) => match error.kind.as_ref() {
            DriverErrorKind::Command(command) if command.code == 26 => Ok(Vec::new()),
            _ => Err(failed(error)),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_are_those_that_mongodb_derives() {
        assert_eq!(name(&by_code()), "_id.campaign_id_-1__id.code_1");
        assert_eq!(name(&by_status()), "_id.campaign_id_-1_type_1_date.reserved_-1_date.assigned_-1");
        assert_eq!(name(&by_reserve_id()), "reserveId_-1");
        assert_eq!(name(&doc! { "a": 1.0, "b": -1_i64 }), "a_1_b_-1");
    }
}
