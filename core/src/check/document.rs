//! What is wrong with one document of the codes, by itself.
//!
//! A document changes in one step, so whatever a reserve, assign or release does to it, before and after that
//! step it is whole: what is found here is not half of something that is still going on.

use std::time::Duration;

use mongodb::bson::{Bson, DateTime, RawBsonRef, RawDocument};

use crate::check::FindingKind;
use crate::document::later;
use crate::ids::{MAX_ID_BYTES, MAX_TYPE_BYTES, check};

/// How far the clocks of others may be off: the deployed service writes dates by the clocks of its pods.
const FAST: Duration = Duration::from_secs(60);

/// A document that is not as it should be.
#[derive(Debug)]
pub(super) struct Suspect {
    pub(super) id: Bson,
    /// What the `_id` is.
    pub(super) naming: Naming,
    /// What else is wrong. Nothing that is no code is looked at further.
    pub(super) kinds: Vec<FindingKind>,
    /// The reserveId and the date of reserving as they were found.
    pub(super) reserve_id: Bson,
    pub(super) reserved: Bson,
}

/// What an `_id` is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Naming {
    /// That of a code.
    Right { campaign: String, code: String },
    /// That of a code with its two fields in the other order.
    Swapped { campaign: String, code: String },
    /// It names a code, but has more in it.
    More { campaign: String, code: String },
    /// Anything else.
    Nothing,
}

/// Looks at a document, at a moment of the server's clock after it was read. None: all is well.
pub(super) fn judge(document: &RawDocument, now: DateTime) -> Option<Suspect> {
    let mut fields = Fields::default();
    for (name, value) in document.iter().flatten() {
        match name.as_str() {
            "_id" => fields.id = Some(value),
            "type" => fields.code_type = present(value),
            "date" => fields.date = present(value),
            "reserveId" => fields.reserve_id = present(value),
            _ => fields.kinds.push(FindingKind::ExtraField),
        }
    }
    fields.look_at_type();
    fields.look_at_dates(now);
    let right = matches!(fields.id, Some(RawBsonRef::Document(id)) if is_right(id));
    if right && fields.kinds.is_empty() {
        return None;
    }
    let owned = |value: Option<RawBsonRef<'_>>| {
        value.and_then(|value| Bson::try_from(value).ok()).unwrap_or(Bson::Null)
    };
    let naming = naming(fields.id);
    let is_code = matches!(naming, Naming::Right { .. } | Naming::Swapped { .. });
    fields.kinds.sort();
    fields.kinds.dedup();
    Some(Suspect {
        id: owned(fields.id),
        naming,
        kinds: if is_code { fields.kinds } else { Vec::new() },
        reserve_id: owned(fields.reserve_id),
        reserved: owned(fields.reserved),
    })
}

#[derive(Default)]
struct Fields<'a> {
    id: Option<RawBsonRef<'a>>,
    code_type: Option<RawBsonRef<'a>>,
    date: Option<RawBsonRef<'a>>,
    reserve_id: Option<RawBsonRef<'a>>,
    reserved: Option<RawBsonRef<'a>>,
    kinds: Vec<FindingKind>,
}

impl Fields<'_> {
    fn look_at_type(&mut self) {
        let is_type =
            |value: &RawBsonRef<'_>| value.as_str().is_some_and(|text| check(text, MAX_TYPE_BYTES).is_ok());
        if !self.code_type.as_ref().is_some_and(is_type) {
            self.kinds.push(FindingKind::BadType);
        }
    }

    fn look_at_dates(&mut self, now: DateTime) {
        let (mut saved, mut assigned) = (None, None);
        match self.date {
            Some(RawBsonRef::Document(dates)) => {
                for (name, value) in dates.iter().flatten() {
                    match name.as_str() {
                        "saved" => saved = present(value),
                        "reserved" => self.reserved = present(value),
                        "assigned" => assigned = present(value),
                        _ => self.kinds.push(FindingKind::ExtraField),
                    }
                }
            }
            Some(_) => self.kinds.push(FindingKind::BadDate),
            None => {}
        }
        if saved.is_none() && !self.kinds.contains(&FindingKind::BadDate) {
            self.kinds.push(FindingKind::NotSaved);
        }
        let dates = [
            (saved, None),
            (self.reserved, Some(FindingKind::ReservedInFuture)),
            (assigned, Some(FindingKind::AssignedInFuture)),
        ];
        for (date, in_future) in dates {
            match date {
                None => {}
                Some(RawBsonRef::DateTime(date)) if date > later(now, FAST) => self.kinds.extend(in_future),
                Some(RawBsonRef::DateTime(_)) => {}
                Some(_) => self.kinds.push(FindingKind::BadDate),
            }
        }
        let is_id =
            |value: RawBsonRef<'_>| value.as_str().is_some_and(|text| check(text, MAX_ID_BYTES).is_ok());
        match (self.reserved, self.reserve_id) {
            (None, Some(_)) => self.kinds.push(FindingKind::StaleId),
            // What was assigned without an id, after an attempt had died with it, has none.
            (Some(RawBsonRef::DateTime(_)), id) if assigned.is_none() && !id.is_some_and(is_id) => {
                self.kinds.push(FindingKind::ReservedWithoutId);
            }
            _ => {}
        }
    }
}

/// A field that is null is as good as missing.
fn present(value: RawBsonRef<'_>) -> Option<RawBsonRef<'_>> {
    (!matches!(value, RawBsonRef::Null)).then_some(value)
}

fn is_right(id: &RawDocument) -> bool {
    let mut fields = id.iter().flatten();
    let mut is_next = |wanted: &str| {
        fields.next().is_some_and(|(name, value)| {
            name.as_str() == wanted && value.as_str().is_some_and(|text| check(text, MAX_ID_BYTES).is_ok())
        })
    };
    is_next("campaign_id") && is_next("code") && fields.next().is_none()
}

fn naming(id: Option<RawBsonRef<'_>>) -> Naming {
    let Some(RawBsonRef::Document(id)) = id else { return Naming::Nothing };
    let text = |name: &str| id.get_str(name).ok().filter(|text| check(text, MAX_ID_BYTES).is_ok());
    let (Some(campaign), Some(code)) = (text("campaign_id"), text("code")) else { return Naming::Nothing };
    let (campaign, code) = (campaign.to_owned(), code.to_owned());
    if is_right(id) {
        Naming::Right { campaign, code }
    } else if id.iter().count() == 2 {
        Naming::Swapped { campaign, code }
    } else {
        Naming::More { campaign, code }
    }
}

#[cfg(test)]
mod tests {
    use mongodb::bson::{Document, RawDocumentBuf, doc};

    use super::*;

    const NOW: i64 = 1_800_000_000_000;

    fn at(milliseconds: i64) -> DateTime {
        DateTime::from_millis(NOW + milliseconds)
    }

    /// What is wrong with a code of this type, dates and reserveId.
    fn wrong(rest: Document) -> Vec<FindingKind> {
        let mut document = doc! { "_id": { "campaign_id": "summer", "code": "A" } };
        document.extend(rest);
        let raw = RawDocumentBuf::try_from(&document).expect("BSON");
        judge(&raw, at(0)).map(|suspect| suspect.kinds).unwrap_or_default()
    }

    fn name_of(id: Bson) -> Option<Naming> {
        let document = doc! { "_id": id, "type": "tm", "date": { "saved": at(0) } };
        let raw = RawDocumentBuf::try_from(&document).expect("BSON");
        judge(&raw, at(0)).map(|suspect| suspect.naming)
    }

    #[test]
    fn whatever_the_services_write_is_well() {
        for rest in [
            doc! { "type": "tm", "date": { "saved": at(0) } },
            doc! { "date": { "saved": at(0) }, "type": "tm" },
            doc! { "type": "tm", "date": { "saved": at(-9), "reserved": Bson::Null, "assigned": Bson::Null }, "reserveId": Bson::Null },
            doc! { "type": "tm", "date": { "saved": at(-9), "reserved": at(-5) }, "reserveId": "mine" },
            doc! { "type": "tm", "date": { "saved": at(-9), "reserved": at(-5), "assigned": at(0) }, "reserveId": "mine" },
            // Straight from available, and after the attempt that had reserved it has died.
            doc! { "type": "tm", "date": { "saved": at(-9), "assigned": at(0) } },
            doc! { "type": "tm", "date": { "saved": at(-9), "reserved": at(-5), "assigned": at(0) } },
            // By a clock that is a little fast.
            doc! { "type": "tm", "date": { "saved": at(-9), "reserved": at(60_000) }, "reserveId": "mine" },
        ] {
            assert_eq!(wrong(rest.clone()), [], "{rest}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_by_its_kind() {
        use FindingKind::*;
        let dates = |dates: Document| doc! { "type": "tm", "date": dates };
        for (rest, kinds) in [
            (doc! { "date": { "saved": at(0) } }, vec![BadType]),
            (doc! { "type": 7, "date": { "saved": at(0) } }, vec![BadType]),
            (doc! { "type": "", "date": { "saved": at(0) } }, vec![BadType]),
            (doc! { "type": "x".repeat(65), "date": { "saved": at(0) } }, vec![BadType]),
            (doc! { "type": "tm" }, vec![NotSaved]),
            (dates(doc! { "saved": Bson::Null }), vec![NotSaved]),
            (doc! { "type": "tm", "date": "today" }, vec![BadDate]),
            (dates(doc! { "saved": "today" }), vec![BadDate]),
            (dates(doc! { "saved": at(0), "reserved": NOW }), vec![BadDate]),
            (dates(doc! { "saved": at(0), "assigned": true }), vec![BadDate]),
            (dates(doc! { "saved": at(0), "seen": at(0) }), vec![ExtraField]),
            (doc! { "type": "tm", "date": { "saved": at(0) }, "note": "", "more": 1 }, vec![ExtraField]),
            (dates(doc! { "saved": at(0), "reserved": at(-1) }), vec![ReservedWithoutId]),
            (dates(doc! { "saved": at(0), "assigned": at(60_001) }), vec![AssignedInFuture]),
        ] {
            assert_eq!(wrong(rest.clone()), kinds, "{rest}");
        }
        let with_id = |id: Bson, mut rest: Document| {
            rest.insert("reserveId", id);
            wrong(rest)
        };
        assert_eq!(with_id("mine".into(), dates(doc! { "saved": at(0) })), [StaleId]);
        assert_eq!(with_id("mine".into(), dates(doc! { "saved": at(0), "assigned": at(0) })), [StaleId]);
        let reserved = dates(doc! { "saved": at(0), "reserved": at(0) });
        assert_eq!(with_id("".into(), reserved.clone()), [ReservedWithoutId]);
        assert_eq!(with_id(5.into(), reserved), [ReservedWithoutId]);
        let fast = dates(doc! { "saved": at(0), "reserved": at(60_001) });
        assert_eq!(with_id("mine".into(), fast), [ReservedInFuture]);
    }

    #[test]
    fn an_id_is_that_of_a_code_only_with_two_valid_texts_in_their_order() {
        let named = |naming: fn(String, String) -> Naming| Some(naming("c".to_owned(), "A".to_owned()));
        assert_eq!(name_of(doc! { "campaign_id": "c", "code": "A" }.into()), None);
        let swapped = named(|campaign, code| Naming::Swapped { campaign, code });
        assert_eq!(name_of(doc! { "code": "A", "campaign_id": "c" }.into()), swapped);
        let more = named(|campaign, code| Naming::More { campaign, code });
        assert_eq!(name_of(doc! { "campaign_id": "c", "code": "A", "x": 1 }.into()), more);
        for id in [
            Bson::from("A"),
            doc! {}.into(),
            doc! { "campaign_id": "c" }.into(),
            doc! { "campaign_id": "c", "code": 7 }.into(),
            doc! { "campaign_id": "c", "code": "" }.into(),
            doc! { "campaign_id": "c", "code": "A\n" }.into(),
            doc! { "campaign_id": "c".repeat(257), "code": "A" }.into(),
        ] {
            assert_eq!(name_of(id.clone()), Some(Naming::Nothing), "{id}");
        }
    }
}
