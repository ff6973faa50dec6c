//! What a code's dates mean: the three statuses, and the two questions every operation asks.
//!
//! A status is never stored. The same rules stand in [`crate::document`] as MongoDB filters, for the
//! statements that must decide inside the database; a test holds the two against each other.

use std::time::{Duration, SystemTime};

use crate::error::{Error, Result};
use crate::ids::{Code, CodeType, ReserveId};

/// Where a code stands at one moment of the database server's time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// Free to be reserved.
    Available,
    /// Held by a reservation that has not expired.
    Reserved,
    /// Given out for good.
    Assigned,
}

impl Status {
    /// The three statuses.
    pub const ALL: [Status; 3] = [Status::Available, Status::Reserved, Status::Assigned];

    /// Checks the name of a status.
    ///
    /// # Errors
    /// `invalid_argument` with the field `status`.
    pub fn parse(text: &str) -> Result<Self> {
        Status::ALL
            .into_iter()
            .find(|status| status.as_str() == text)
            .ok_or_else(|| Error::invalid("status", "is none of available, reserved, assigned"))
    }

    /// The status as every face of the service writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Available => "available",
            Status::Reserved => "reserved",
            Status::Assigned => "assigned",
        }
    }
}

/// A code with everything the database knows of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredCode {
    /// The code.
    pub code: Code,
    /// Its type.
    pub code_type: CodeType,
    /// Its status by the database server's time when it was read.
    pub status: Status,
    /// When it was last saved.
    pub saved: Option<SystemTime>,
    /// When it was reserved; kept after it is assigned, and after it expires until it is reserved again.
    pub reserved: Option<SystemTime>,
    /// When it was assigned.
    pub assigned: Option<SystemTime>,
    /// The id it was last reserved under. Only together with `reserved` does it mean anything: the old
    /// service leaves it behind when it releases a code.
    pub reserve_id: Option<ReserveId>,
}

/// The status of a code with these dates, at `now`, when reservations last `ttl`.
pub(crate) fn status_at(
    reserved: Option<SystemTime>,
    assigned: Option<SystemTime>,
    now: SystemTime,
    ttl: Duration,
) -> Status {
    match (assigned, reserved) {
        (Some(_), _) => Status::Assigned,
        // A date before the epoch minus ttl cannot overflow here: `now` and `reserved` both come from BSON dates.
        (None, Some(since)) if since + ttl > now => Status::Reserved,
        (None, _) => Status::Available,
    }
}

impl StoredCode {
    /// Whether the code is held under `id`: reserved under it, not assigned, and not taken by another since.
    ///
    /// An expired reservation still holds its code until somebody else reserves it.
    pub fn held_under(&self, id: &ReserveId) -> bool {
        self.assigned.is_none() && self.reserved.is_some() && self.reserve_id.as_ref() == Some(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: Duration = Duration::from_secs(86_400);

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000 + seconds)
    }

    #[test]
    fn a_reservation_ends_exactly_ttl_after_it_began() {
        let now = at(0);
        let ms = Duration::from_millis(1);
        assert_eq!(status_at(Some(now - TTL + ms), None, now, TTL), Status::Reserved);
        assert_eq!(status_at(Some(now - TTL), None, now, TTL), Status::Available);
        assert_eq!(status_at(Some(now - TTL - ms), None, now, TTL), Status::Available);
    }

    #[test]
    fn an_assigned_code_stays_assigned_whatever_its_reservation_says() {
        assert_eq!(status_at(None, Some(at(0)), at(9), TTL), Status::Assigned);
        assert_eq!(status_at(Some(at(0)), Some(at(0)), at(999_999), TTL), Status::Assigned);
    }

    #[test]
    fn a_stale_reserve_id_without_a_date_holds_nothing() {
        let id = ReserveId::random();
        let mut code = StoredCode {
            code: Code::parse("A").expect("valid"),
            code_type: CodeType::parse("tm").expect("valid"),
            status: Status::Available,
            saved: None,
            reserved: None,
            assigned: None,
            reserve_id: Some(id.clone()),
        };
        assert!(!code.held_under(&id));
        code.reserved = Some(at(0));
        assert!(code.held_under(&id));
        assert!(!code.held_under(&ReserveId::random()));
        code.assigned = Some(at(1));
        assert!(!code.held_under(&id));
    }

    #[test]
    fn a_status_is_read_by_its_name_only() {
        assert_eq!(Status::parse("reserved").expect("known"), Status::Reserved);
        assert!(Status::parse("Reserved").is_err());
    }
}
