//! The scan: every document of the codes once, and the repairs of those that are wrong by themselves.

use std::collections::HashSet;

use futures_util::TryStreamExt;
use mongodb::bson::{Bson, Document, doc};
use mongodb::error::{
    Error as DriverError, ErrorKind as DriverErrorKind, Result as DriverResult, WriteFailure,
};

use mongodb::options::Hint;

use crate::check::document::{Naming, Suspect, judge};
use crate::check::{Example, FindingKind, Report};
use crate::document::{released, unassigned};
use crate::error::Result;
use crate::ids::Code;
use crate::indexes;
use crate::store::{Store, database_error};
use crate::task::{LONG, MEDIUM, Within};

/// How many documents come at once.
const BATCH: u32 = 5_000;
/// How many statements a command has.
const STATEMENTS: usize = 1_000;

/// Looks at all documents in the order in which they lie, or those of a campaign in that of their codes: neither is
/// changed by a reserve, assign or release. `indexed`: the codes have their indexes.
pub(super) async fn documents(store: &Store, indexed: bool, report: &mut Report<'_>) -> Result<()> {
    let failed = |e| database_error("checking the codes", e);
    let mut found = store.codes.find(doc! {}).batch_size(BATCH);
    if let Some(campaign) = &report.check.campaign {
        found = store.codes.find(doc! { "_id.campaign_id": campaign.as_str() }).batch_size(BATCH);
        if indexed {
            found = found.hint(Hint::Keys(indexes::by_code()));
        }
    }
    let mut batches = found.batch().within(LONG).await.map_err(failed)?;
    while let Some(batch) = batches.try_next().within(LONG).await.map_err(failed)? {
        // After the documents were read: none of their dates can be later, by this clock.
        let now = store.server_time().await?;
        let mut suspects = Vec::new();
        for document in batch.doc_slices().map_err(failed)?.into_iter().flatten() {
            report.seen.documents += 1;
            suspects.extend(document.as_document().and_then(|document| judge(document, now)));
        }
        look_at(store, report, suspects).await?;
        report.tell();
    }
    Ok(())
}

async fn look_at(store: &Store, report: &mut Report<'_>, suspects: Vec<Suspect>) -> Result<()> {
    let twice = named_twice(store, &suspects).await?;
    let mut mending: Vec<(FindingKind, Vec<Document>)> = Vec::new();
    let mut swapped = Vec::new();
    for suspect in &suspects {
        let example = suspect.example();
        let naming = match &suspect.naming {
            Naming::Right { .. } => None,
            Naming::Swapped { campaign, code } | Naming::More { campaign, code }
                if twice.contains(&(campaign.as_str(), code.as_str())) =>
            {
                Some(FindingKind::IdTwice)
            }
            Naming::Swapped { campaign, code } => {
                swapped.push((&suspect.id, doc! { "campaign_id": campaign, "code": code }));
                Some(FindingKind::IdOrder)
            }
            Naming::More { .. } | Naming::Nothing => Some(FindingKind::NoCode),
        };
        for kind in naming.into_iter().chain(suspect.kinds.iter().copied()) {
            report.add(kind, 1, [example.clone()]);
            if let Some(statement) = suspect.statement(kind) {
                match mending.iter_mut().find(|(of, _)| *of == kind) {
                    Some((_, statements)) => statements.push(statement),
                    None => mending.push((kind, vec![statement])),
                }
            }
        }
    }
    if !report.check.repair {
        return Ok(());
    }
    for (kind, statements) in mending {
        for some in statements.chunks(STATEMENTS) {
            report.repaired(kind, mend(store, some).await?);
        }
    }
    // After what is wrong with them was mended under the `_id` that they have.
    for (wrong, right) in swapped {
        report.repaired(FindingKind::IdOrder, put_in_order(store, wrong, &right).await?);
    }
    Ok(())
}

/// The campaigns and codes of suspects whose document has a twin with the right `_id`.
///
/// The suspects are read again after the twins: one that is still there was there together with its twin. Else
/// another check may have put it in order in between.
async fn named_twice<'a>(store: &Store, suspects: &'a [Suspect]) -> Result<HashSet<(&'a str, &'a str)>> {
    let named: Vec<(&Bson, (&str, &str))> = suspects
        .iter()
        .filter_map(|suspect| match &suspect.naming {
            Naming::Swapped { campaign, code } | Naming::More { campaign, code } => {
                Some((&suspect.id, (campaign.as_str(), code.as_str())))
            }
            Naming::Right { .. } | Naming::Nothing => None,
        })
        .collect();
    let mut twice = HashSet::new();
    for some in named.chunks(STATEMENTS) {
        let right =
            |(campaign, code): (&str, &str)| Bson::from(doc! { "campaign_id": campaign, "code": code });
        let twins = existing(store, some.iter().map(|(_, name)| right(*name)).collect()).await?;
        let (with_twin, _): (Vec<_>, Vec<_>) =
            some.iter().partition(|(_, name)| twins.contains(&right(*name)));
        let still = existing(store, with_twin.iter().map(|(id, _)| (*id).clone()).collect()).await?;
        twice.extend(with_twin.into_iter().filter(|(id, _)| still.contains(id)).map(|(_, name)| name));
    }
    Ok(twice)
}

/// Those of the `_id`s that exist.
async fn existing(store: &Store, ids: Vec<Bson>) -> Result<Vec<Bson>> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let failed = |e| database_error("looking for codes that are there twice", e);
    let found = store.codes.find(doc! { "_id": { "$in": ids } }).projection(doc! { "_id": 1 });
    let found: Vec<Document> =
        found.within(MEDIUM).await.map_err(failed)?.try_collect().within(MEDIUM).await.map_err(failed)?;
    Ok(found.into_iter().filter_map(|mut document| document.remove("_id")).collect())
}

impl Suspect {
    fn example(&self) -> Example {
        match &self.naming {
            Naming::Right { campaign, code } | Naming::Swapped { campaign, code } => {
                Example::Code { campaign: campaign.clone(), code: Code::from_stored(code) }
            }
            Naming::More { .. } | Naming::Nothing => Example::document(&self.id),
        }
    }

    /// What mends it, if it still is as it was found.
    fn statement(&self, kind: FindingKind) -> Option<Document> {
        let found = doc! { "_id": { "$eq": &self.id }, "reserveId": { "$eq": &self.reserve_id } };
        let (filter, update) = match kind {
            FindingKind::StaleId => {
                let mut stale = found;
                stale.insert("date.reserved", Bson::Null);
                (stale, doc! { "$unset": { "reserveId": "" } })
            }
            FindingKind::ReservedWithoutId => {
                let mut reserved = unassigned(found);
                reserved.insert("date.reserved", doc! { "$eq": &self.reserved });
                (reserved, released())
            }
            _ => return None,
        };
        Some(doc! { "q": filter, "u": update, "multi": false })
    }
}

async fn mend(store: &Store, statements: &[Document]) -> Result<u64> {
    let command = doc! {
        "update": store.codes.name(),
        "updates": statements,
        "ordered": false,
        "writeConcern": { "w": "majority", "j": true },
    };
    store.write("repairing codes", command, MEDIUM).await
}

/// Writes a document again under the right `_id`, in one transaction: at no moment is the code there twice, or
/// not at all. Returns how many: none, if there is a right one by now, or somebody changes the wrong one.
async fn put_in_order(store: &Store, wrong: &Bson, right: &Document) -> Result<u64> {
    match in_transaction(store, wrong, right).within(MEDIUM).await {
        Err(error) if is_outrun(&error) => Ok(0),
        moved => moved.map_err(|e| database_error("repairing the _id of a code", e)),
    }
}

/// Nothing is changed unless it comes to its end: a session that is dropped ends its transaction.
async fn in_transaction(store: &Store, wrong: &Bson, right: &Document) -> DriverResult<u64> {
    let mut session = store.database.client().start_session().await?;
    session.start_transaction().await?;
    let wrong = doc! { "_id": { "$eq": wrong } };
    let found = store.codes.find_one(wrong.clone()).session(&mut session).await?;
    let Some(mut document) = found else { return Ok(0) };
    document.insert("_id", right);
    store.codes.insert_one(document).session(&mut session).await?;
    store.codes.delete_one(wrong).session(&mut session).await?;
    session.commit_transaction().await?;
    Ok(1)
}

/// Whether somebody else was faster: the key is there already, or the document is being changed.
fn is_outrun(error: &DriverError) -> bool {
    match error.kind.as_ref() {
        DriverErrorKind::Write(WriteFailure::WriteError(error)) => error.code == 11_000,
        DriverErrorKind::Command(error) => error.code == 112,
        _ => false,
    }
}
