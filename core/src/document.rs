//! The document of a code, byte-compatible with the deployed service, and the filters over it.
//!
//! ```text
//! { _id: { campaign_id: String, code: String },
//!   type: String,
//!   date: { saved: Date, reserved: Date?, assigned: Date? },
//!   reserveId: String? }
//! ```
//! A field that is missing and one that is null mean the same. Time in a filter is `$$NOW`, the database
//! server's clock: this process's clock decides nothing.

use std::time::{Duration, SystemTime};

use mongodb::bson::{Bson, DateTime, Document, RawBsonRef, RawDocument, RawDocumentBuf, doc, rawdoc};

use crate::error::{Error, Result};
use crate::ids::{CampaignId, Code, CodeType, ReserveId};
use crate::mutant::{Mutant, is};
use crate::status::{Status, StoredCode, status_at};

/// The `_id` of a code. The order of its fields is part of its identity.
pub(crate) fn id(campaign: &CampaignId, code: &Code) -> Document {
    doc! { "campaign_id": campaign.as_str(), "code": code.as_str() }
}

/// The same as bytes, for commands of many.
pub(crate) fn raw_id(campaign: &CampaignId, code: &Code) -> RawDocumentBuf {
    rawdoc! { "campaign_id": campaign.as_str(), "code": code.as_str() }
}

/// `{$in: […]}` over the `_id`s of these codes.
pub(crate) fn ids_in(campaign: &CampaignId, codes: &[Code]) -> Document {
    let ids: Vec<Bson> = codes.iter().map(|code| id(campaign, code).into()).collect();
    doc! { "$in": ids }
}

/// A new code, as `save` inserts it.
pub(crate) fn new_code(
    campaign: &CampaignId,
    code: &Code,
    code_type: &CodeType,
    saved: DateTime,
) -> RawDocumentBuf {
    rawdoc! { "_id": raw_id(campaign, code), "type": code_type.as_str(), "date": { "saved": saved } }
}

/// The moment before which a reservation has expired, as an expression of the server's clock.
fn cutoff(ttl: Duration) -> Document {
    if is(Mutant::PodClock) {
        return doc! { "$literal": cutoff_at(DateTime::now(), ttl) };
    }
    doc! { "$subtract": ["$$NOW", millis(ttl)] }
}

/// The same for a moment that the server has told.
fn cutoff_at(now: DateTime, ttl: Duration) -> DateTime {
    DateTime::from_millis(now.timestamp_millis() - millis(ttl))
}

/// A duration in the milliseconds of MongoDB's dates.
pub(crate) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// Adds to `filter` that a code was never reserved, or was released.
pub(crate) fn free(mut filter: Document) -> Document {
    filter.insert("date.reserved", Bson::Null);
    filter.insert("date.assigned", Bson::Null);
    filter
}

/// Adds to `filter` that a code's reservation had expired at a moment of the server's clock. The index finds
/// these without looking at the others, which it cannot by `$$NOW`.
pub(crate) fn expired_at(mut filter: Document, now: DateTime, ttl: Duration) -> Document {
    let now = if is(Mutant::PodClock) { DateTime::now() } else { now };
    filter.insert("date.reserved", doc! { "$lte": cutoff_at(now, ttl) });
    filter.insert("date.assigned", Bson::Null);
    filter
}

/// Of `date.reserved`: that the reservation had not expired at a moment of the server's clock.
pub(crate) fn not_expired_at(now: DateTime, ttl: Duration) -> Document {
    doc! { "$gt": cutoff_at(now, ttl) }
}

/// Adds to `filter` that a code is available: free or expired. The guard of every claim.
pub(crate) fn available(mut filter: Document, ttl: Duration) -> Document {
    filter.insert("date.assigned", Bson::Null);
    filter.insert(
        "$or",
        vec![
            doc! { "date.reserved": Bson::Null },
            doc! { "date.reserved": { "$type": "date" }, "$expr": { "$lte": ["$date.reserved", cutoff(ttl)] } },
        ],
    );
    filter
}

/// Adds to `filter` that a command has begun before a moment of the server's clock: later it finds nothing.
pub(crate) fn begun_before(mut filter: Document, moment: DateTime) -> Document {
    filter.insert("$expr", doc! { "$lt": ["$$NOW", moment] });
    filter
}

/// A moment of the server's clock, so much later.
pub(crate) fn later(moment: DateTime, by: Duration) -> DateTime {
    DateTime::from_millis(moment.timestamp_millis().saturating_add(millis(by)))
}

/// Adds to `filter` that a code is held under `id` (see [`StoredCode::held_under`]).
pub(crate) fn held(mut filter: Document, id: &ReserveId) -> Document {
    filter.insert("reserveId", id.as_str());
    reserved(filter)
}

/// Adds to `filter` that a code is not assigned.
pub(crate) fn unassigned(mut filter: Document) -> Document {
    filter.insert("date.assigned", Bson::Null);
    filter
}

/// Adds to `filter` that a code is held under `id`, or was assigned while it was.
pub(crate) fn carrying(mut filter: Document, id: &ReserveId) -> Document {
    filter.insert("reserveId", id.as_str());
    // Without it the id is a stale one, and the code was available when it was assigned.
    filter.insert("date.reserved", doc! { "$ne": Bson::Null });
    filter
}

/// Adds to `filter` that a code was assigned while it was held under `id`.
pub(crate) fn assigned_under(filter: Document, id: &ReserveId) -> Document {
    let mut filter = carrying(filter, id);
    filter.insert("date.assigned", doc! { "$ne": Bson::Null });
    filter
}

/// Adds to `filter` that a code was reserved and not assigned, whether or not that has expired.
pub(crate) fn reserved(mut filter: Document) -> Document {
    filter.insert("date.reserved", doc! { "$ne": Bson::Null });
    filter.insert("date.assigned", Bson::Null);
    filter
}

/// An expression: that what was reserved at the date of `field` has not expired.
pub(crate) fn not_expired(field: &str, ttl: Duration) -> Document {
    doc! { "$gt": [field, cutoff(ttl)] }
}

/// Codes that were reserved under `id` and are assigned, or whose reservation has not expired.
pub(crate) fn in_use(id: &ReserveId, ttl: Duration) -> Document {
    doc! {
        "reserveId": id.as_str(),
        "date.reserved": { "$type": "date" },
        "$or": [
            { "date.assigned": { "$ne": Bson::Null } },
            { "$expr": not_expired("$date.reserved", ttl) },
        ],
    }
}

/// That a code had this status at a moment of the server's clock.
pub(crate) fn had_status(status: Status, now: DateTime, ttl: Duration) -> Document {
    match status {
        Status::Available => doc! {
            "date.assigned": Bson::Null,
            "$or": [{ "date.reserved": Bson::Null }, expired_at(doc! {}, now, ttl)],
        },
        Status::Reserved => unassigned(doc! { "date.reserved": not_expired_at(now, ttl) }),
        Status::Assigned => doc! { "date.assigned": { "$ne": Bson::Null } },
    }
}

/// The update that releases a code.
pub(crate) fn released() -> Document {
    doc! { "$unset": { "date.reserved": Bson::Null, "reserveId": Bson::Null } }
}

/// Reads the code of a document.
pub(crate) fn code(document: &Document) -> Result<Code> {
    let code = document.get_document("_id").and_then(|id| id.get_str("code"));
    code.map(Code::from_stored).map_err(|_| corrupt("_id.code"))
}

fn corrupt(field: &str) -> Error {
    Error::CorruptData { what: format!("a stored code has no usable {field}") }
}

/// Reads documents as they come from the database, all at one moment of the server's clock.
pub(crate) struct Reader {
    now: SystemTime,
    ttl: Duration,
    /// Of the document before: many codes in a row have the same.
    code_type: Option<CodeType>,
    reserve_id: Option<ReserveId>,
}

impl Reader {
    /// Statuses are those of this moment.
    pub(crate) fn at(now: DateTime, ttl: Duration) -> Self {
        Reader { now: now.to_system_time(), ttl, code_type: None, reserve_id: None }
    }

    /// The same for documents that carry the server's time of the query in the field `now`, as this one does.
    pub(crate) fn of(document: &RawDocument, ttl: Duration) -> Result<Self> {
        let now = document.get_datetime("now").map_err(|_| corrupt("time of reading"))?;
        Ok(Reader::at(now, ttl))
    }

    pub(crate) fn read(&mut self, document: &RawDocument) -> Result<StoredCode> {
        let (mut code, mut code_type, mut dates, mut reserve_id) = (None, None, None, None);
        // Each field is passed once: to look one up is to search the document from its front.
        for field in document {
            let (name, value) = field.map_err(|_| corrupt("fields"))?;
            match name.as_str() {
                "_id" => code = value.as_document().and_then(|id| id.get_str("code").ok()),
                "type" => code_type = value.as_str(),
                "date" => dates = value.as_document(),
                "reserveId" => reserve_id = value.as_str(),
                _ => {}
            }
        }
        let code = Code::from_stored(code.ok_or_else(|| corrupt("_id.code"))?);
        let code_type = self.code_type(code_type.ok_or_else(|| corrupt("type"))?);
        let [saved, reserved, assigned] = read_dates(dates)?;
        let reserve_id = reserve_id.and_then(|text| self.reserve_id(text));
        let status = status_at(reserved, assigned, self.now, self.ttl);
        Ok(StoredCode { code, code_type, status, saved, reserved, assigned, reserve_id })
    }

    fn code_type(&mut self, text: &str) -> CodeType {
        let before = self.code_type.take_if(|known| known.as_str() == text);
        self.code_type.insert(before.unwrap_or_else(|| CodeType::from_stored(text))).clone()
    }

    fn reserve_id(&mut self, text: &str) -> Option<ReserveId> {
        if self.reserve_id.as_ref().is_none_or(|known| known.as_str() != text) {
            self.reserve_id = ReserveId::parse(text).ok();
        }
        self.reserve_id.clone()
    }
}

/// The dates `saved`, `reserved` and `assigned`.
fn read_dates(dates: Option<&RawDocument>) -> Result<[Option<SystemTime>; 3]> {
    let mut found = [None; 3];
    for field in dates.into_iter().flatten() {
        let (name, value) = field.map_err(|_| corrupt("date"))?;
        let name = name.as_str();
        let Some(place) = ["saved", "reserved", "assigned"].iter().position(|known| *known == name) else {
            continue;
        };
        found[place] = match value {
            RawBsonRef::Null => None,
            RawBsonRef::DateTime(date) => Some(date.to_system_time()),
            _ => return Err(corrupt(&format!("date.{name}"))),
        };
    }
    Ok(found)
}

/// Reads the campaign of a document.
pub(crate) fn campaign(document: &RawDocument) -> Result<CampaignId> {
    let campaign = document.get_document("_id").and_then(|id| id.get_str("campaign_id"));
    campaign.map(CampaignId::from_stored).map_err(|_| corrupt("_id.campaign_id"))
}
