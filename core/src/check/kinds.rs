//! What a check can find, in words for the people who run the database.

/// What is wrong, or worth knowing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum FindingKind {
    /// An index is missing, or has other properties than it must.
    Index,
    /// A code is there twice: a second document names it, with another `_id`.
    IdTwice,
    /// The fields of an `_id` are in the wrong order.
    IdOrder,
    /// A document has an `_id` that is none of a code.
    NoCode,
    /// A code has no usable type.
    BadType,
    /// A date of a code is no date.
    BadDate,
    /// A code has no date of saving.
    NotSaved,
    /// A document has fields that none of the services writes.
    ExtraField,
    /// A code is reserved, and under no usable id.
    ReservedWithoutId,
    /// A code has a reserveId and is not reserved.
    StaleId,
    /// A code was reserved in the future.
    ReservedInFuture,
    /// A code was assigned in the future.
    AssignedInFuture,
    /// One reserveId holds codes of several campaigns.
    ManyCampaigns,
    /// One reserveId holds codes of several types.
    ManyTypes,
    /// A reservation of the ledger has codes of another campaign.
    OtherCampaign,
    /// A reservation of the ledger has codes of another type.
    OtherType,
    /// An entry of the ledger cannot be read.
    BadEntry,
    /// An entry of the ledger should have been swept long ago.
    NotSwept,
    /// Codes that dead attempts have left should have gone back long ago.
    LeftBehind,
    /// More codes are held under an id of the ledger than belong to its answer.
    Surplus,
    /// A reservation of the ledger has fewer codes than it was made for.
    Fewer,
}

impl FindingKind {
    /// Every kind, in the order of a report.
    pub const ALL: [FindingKind; 21] = [
        FindingKind::Index,
        FindingKind::IdTwice,
        FindingKind::IdOrder,
        FindingKind::NoCode,
        FindingKind::BadType,
        FindingKind::BadDate,
        FindingKind::NotSaved,
        FindingKind::ExtraField,
        FindingKind::ReservedWithoutId,
        FindingKind::StaleId,
        FindingKind::ReservedInFuture,
        FindingKind::AssignedInFuture,
        FindingKind::ManyCampaigns,
        FindingKind::ManyTypes,
        FindingKind::OtherCampaign,
        FindingKind::OtherType,
        FindingKind::BadEntry,
        FindingKind::NotSwept,
        FindingKind::LeftBehind,
        FindingKind::Surplus,
        FindingKind::Fewer,
    ];

    /// The word for this kind, which does not change.
    pub fn as_str(self) -> &'static str {
        match self {
            FindingKind::Index => "index",
            FindingKind::IdTwice => "id_twice",
            FindingKind::IdOrder => "id_order",
            FindingKind::NoCode => "no_code",
            FindingKind::BadType => "bad_type",
            FindingKind::BadDate => "bad_date",
            FindingKind::NotSaved => "not_saved",
            FindingKind::ExtraField => "extra_field",
            FindingKind::ReservedWithoutId => "reserved_without_id",
            FindingKind::StaleId => "stale_id",
            FindingKind::ReservedInFuture => "reserved_in_future",
            FindingKind::AssignedInFuture => "assigned_in_future",
            FindingKind::ManyCampaigns => "many_campaigns",
            FindingKind::ManyTypes => "many_types",
            FindingKind::OtherCampaign => "other_campaign",
            FindingKind::OtherType => "other_type",
            FindingKind::BadEntry => "bad_entry",
            FindingKind::NotSwept => "not_swept",
            FindingKind::LeftBehind => "left_behind",
            FindingKind::Surplus => "surplus",
            FindingKind::Fewer => "fewer",
        }
    }

    /// What it means, and where no repair is safe, what to do: a sentence or two for people.
    pub fn meaning(self) -> &'static str {
        match self {
            FindingKind::Index => {
                "An index is missing or different: calls are slow, or refused. Create the indexes; the example says \
                 which, and how."
            }
            FindingKind::IdTwice => {
                "Two documents are one and the same code, which can therefore be given out twice. Keep the one that \
                 somebody holds, and delete the other."
            }
            FindingKind::IdOrder => {
                "The _id has code before campaign_id: no service can find, assign or release the code by its name."
            }
            FindingKind::NoCode => {
                "The _id is not made of a campaign_id and a code, in this order and nothing else, each 1 to 256 \
                 bytes without control characters: nobody gets it from this service, and exports leave it out if its \
                 code is no text. Delete the document, or save the code as it should be."
            }
            FindingKind::BadType => {
                "The type is missing, or no text of 1 to 64 bytes: no reserve gets the code, and exports stop at it. \
                 Save the code again with its type."
            }
            FindingKind::BadDate => {
                "A date is of another kind: look-ups and exports stop at the code, and nobody can reserve it. Save \
                 it again if it is the date of saving; the other dates only people can know."
            }
            FindingKind::NotSaved => {
                "The code has no date of saving. Harmless; saving it again gives it one."
            }
            FindingKind::ExtraField => {
                "The document has a field that no service writes. It is left alone; whoever wrote it may need it."
            }
            FindingKind::ReservedWithoutId => {
                "The code is reserved under no usable id, so nobody can hold it; it is available again when that \
                 expires."
            }
            FindingKind::StaleId => {
                "The code is not reserved and has kept a reserveId, as the deployed service leaves it when it \
                 releases. Harmless."
            }
            FindingKind::ReservedInFuture => {
                "The code was reserved by a clock that is more than a minute fast, and expires so much later. Set \
                 the clock of whoever writes such dates."
            }
            FindingKind::AssignedInFuture => {
                "The code was assigned by a clock that is more than a minute fast. It stays assigned; set the clock \
                 of whoever writes such dates."
            }
            FindingKind::ManyCampaigns => {
                "Codes of several campaigns are held under one reserveId: a replay or look-up shows those of one. \
                 Release those that nobody has been given."
            }
            FindingKind::ManyTypes => {
                "Codes of several types are held under one reserveId. Harmless: that is what becomes of reserved \
                 codes that are saved again with another type."
            }
            FindingKind::OtherCampaign => {
                "Codes of the reservation are in another campaign than its entry in the ledger says: who reserves \
                 again under the id is given them as codes of that one. Find out whose they are, and release those \
                 that nobody has been given."
            }
            FindingKind::OtherType => {
                "Codes of the reservation have another type than it was made for. Harmless: that is what becomes of \
                 reserved codes that are saved again with another type."
            }
            FindingKind::BadEntry => {
                "The entry of the ledger lacks something or is of another kind: reserves under its reserveId fail. \
                 Delete the entry once nobody reserves under the id."
            }
            FindingKind::NotSwept => {
                "The attempt died more than a minute ago, and its entry has not been swept: no process of the \
                 service runs, or none can write."
            }
            FindingKind::LeftBehind => {
                "The code is reserved by an attempt that died, and belongs to nobody; the sweep should have given it \
                 back."
            }
            FindingKind::Surplus => {
                "Codes under the id belong to no answer: nobody gets them before they expire. Look at the \
                 reservation, and release those that are not in it."
            }
            FindingKind::Fewer => {
                "The reservation has fewer codes than it asked for: it was a partial one, or some were released. \
                 Harmless."
            }
        }
    }

    /// What [`Check::repair`](crate::Check::repair) does about it; None if nothing is safe to do without people.
    pub fn repair(self) -> Option<&'static str> {
        match self {
            FindingKind::IdOrder => Some("writes the document again with its _id in the right order"),
            FindingKind::ReservedWithoutId => Some("gives the code back"),
            FindingKind::StaleId => Some("removes the reserveId"),
            FindingKind::NotSwept => Some("sweeps the entry"),
            FindingKind::LeftBehind => Some("gives the code back"),
            FindingKind::Index
            | FindingKind::IdTwice
            | FindingKind::NoCode
            | FindingKind::BadType
            | FindingKind::BadDate
            | FindingKind::NotSaved
            | FindingKind::ExtraField
            | FindingKind::ReservedInFuture
            | FindingKind::AssignedInFuture
            | FindingKind::ManyCampaigns
            | FindingKind::ManyTypes
            | FindingKind::OtherCampaign
            | FindingKind::OtherType
            | FindingKind::BadEntry
            | FindingKind::Surplus
            | FindingKind::Fewer => None,
        }
    }

    /// Whether it is harmless, and only good to know.
    pub fn is_information(self) -> bool {
        match self {
            FindingKind::NotSaved
            | FindingKind::StaleId
            | FindingKind::ManyTypes
            | FindingKind::OtherType
            | FindingKind::Fewer => true,
            FindingKind::Index
            | FindingKind::IdTwice
            | FindingKind::IdOrder
            | FindingKind::NoCode
            | FindingKind::BadType
            | FindingKind::BadDate
            | FindingKind::ExtraField
            | FindingKind::ReservedWithoutId
            | FindingKind::ReservedInFuture
            | FindingKind::AssignedInFuture
            | FindingKind::ManyCampaigns
            | FindingKind::OtherCampaign
            | FindingKind::BadEntry
            | FindingKind::NotSwept
            | FindingKind::LeftBehind
            | FindingKind::Surplus => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_kind_has_a_word_of_its_own_and_stands_in_its_order() {
        let words: BTreeSet<&str> = FindingKind::ALL.into_iter().map(FindingKind::as_str).collect();
        assert_eq!(words.len(), FindingKind::ALL.len());
        assert!(FindingKind::ALL.is_sorted());
    }

    #[test]
    fn what_exports_do_not_have_is_said() {
        assert!(FindingKind::NoCode.meaning().contains("exports leave it out if its code is no text"));
        assert!(FindingKind::BadType.meaning().contains("exports stop at it"));
    }
}
