//! What calls answer with. Objects are read with functions, so that they can grow.

use std::time::{SystemTime, UNIX_EPOCH};

use code_service_core::{
    Counts, IndexProblem, Reservation, ReservationState, SaveReport, SettleReport, Status, StoredCode,
};

use crate::boundary::{self, CodeServiceText};

/// What a code is. Computed from its dates and the database server's time.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CodeServiceCodeStatus {
    /// Where a status is asked for: of any. Never an answer.
    Any = 0,
    /// Free to be reserved.
    Available = 10,
    /// Held by a reservation that has not expired.
    Reserved = 20,
    /// Given out for good.
    Assigned = 30,
}

impl CodeServiceCodeStatus {
    fn of(status: Status) -> Self {
        match status {
            Status::Available => CodeServiceCodeStatus::Available,
            Status::Reserved => CodeServiceCodeStatus::Reserved,
            Status::Assigned => CodeServiceCodeStatus::Assigned,
        }
    }
}

/// How many codes of one campaign and type have each status: there are three, and it does not grow.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub struct CodeServiceCounts {
    /// Free to be reserved.
    pub available: u64,
    /// Held by reservations that have not expired.
    pub reserved: u64,
    /// Given out for good.
    pub assigned: u64,
}

impl From<Counts> for CodeServiceCounts {
    fn from(counts: Counts) -> Self {
        let Counts { available, reserved, assigned } = counts;
        CodeServiceCounts { available, reserved, assigned }
    }
}

/// Codes that are held under one reserve id. Free it with `code_service_reservation_free`.
pub struct CodeServiceReservation {
    pub(crate) core: Reservation,
}

/// What became of a reservation. Free it with `code_service_reservation_state_free`.
pub struct CodeServiceReservationState {
    reserve_id: String,
    campaign: String,
    code_type: String,
    codes: Vec<CodeServiceCode>,
    reserved: SystemTime,
    expires: SystemTime,
}

impl From<ReservationState> for CodeServiceReservationState {
    fn from(state: ReservationState) -> Self {
        CodeServiceReservationState {
            reserve_id: state.reserve_id.as_str().to_owned(),
            campaign: state.campaign.as_str().to_owned(),
            code_type: state.code_type.as_str().to_owned(),
            codes: state.codes.into_iter().map(CodeServiceCode::from).collect(),
            reserved: state.reserved,
            expires: state.expires,
        }
    }
}

/// One code as it is stored. Free it with `code_service_code_free`, if it does not belong to something else.
pub struct CodeServiceCode {
    core: StoredCode,
}

impl From<StoredCode> for CodeServiceCode {
    fn from(core: StoredCode) -> Self {
        CodeServiceCode { core }
    }
}

/// What an assign or a release did. Free it with `code_service_settle_report_free`.
pub struct CodeServiceSettleReport {
    core: SettleReport,
}

impl From<SettleReport> for CodeServiceSettleReport {
    fn from(core: SettleReport) -> Self {
        CodeServiceSettleReport { core }
    }
}

/// What a save did. Free it with `code_service_save_report_free`.
pub struct CodeServiceSaveReport {
    core: SaveReport,
    reasons: Vec<String>,
}

impl From<SaveReport> for CodeServiceSaveReport {
    fn from(core: SaveReport) -> Self {
        let reasons = core.rejections.iter().map(|rejection| rejection.reason.to_string()).collect();
        CodeServiceSaveReport { core, reasons }
    }
}

/// What is wrong with the indexes. Free it with `code_service_index_problems_free`.
pub struct CodeServiceIndexProblems {
    messages: Vec<String>,
}

impl From<Vec<IndexProblem>> for CodeServiceIndexProblems {
    fn from(problems: Vec<IndexProblem>) -> Self {
        CodeServiceIndexProblems { messages: problems.iter().map(ToString::to_string).collect() }
    }
}

/// Milliseconds since 1970.
fn milliseconds(time: SystemTime) -> i64 {
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_millis()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_millis()).map_or(i64::MIN, |before| -before),
    }
}

/// A time that may not be there.
unsafe fn put_time(time: Option<SystemTime>, place: *mut i64) -> bool {
    // SAFETY: null, or the caller's to be written.
    if let (Some(time), Ok(place)) = (time, unsafe { boundary::get_mut("", place) }) {
        *place = milliseconds(time);
    }
    time.is_some()
}

/// Reads something of an object; without one, `otherwise`.
unsafe fn of<O, T>(object: *const O, otherwise: T, read: impl FnOnce(&O) -> T) -> T {
    // SAFETY: null, or an object that is alive.
    match unsafe { boundary::get_optional(object) } {
        Some(object) => read(object),
        None => otherwise,
    }
}

fn text_at<T>(list: &[T], place: usize, text: impl FnOnce(&T) -> &str) -> CodeServiceText {
    list.get(place).map_or(CodeServiceText::NONE, |item| CodeServiceText::of(text(item)))
}

/// The id that the codes are held under: the caller's, or one that was made.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn code_service_reservation_reserve_id(
    reservation: *const CodeServiceReservation,
) -> CodeServiceText {
    of(reservation, CodeServiceText::NONE, |it| CodeServiceText::of(it.core.reserve_id.as_str()))
}

/// How many codes there are. Fewer than were asked for only if that was allowed, or if some of an earlier reservation
/// were released since.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn code_service_reservation_count(reservation: *const CodeServiceReservation) -> usize {
    of(reservation, 0, |it| it.core.codes.len())
}

/// One of the codes, from 0; empty where there is none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn code_service_reservation_code(
    reservation: *const CodeServiceReservation,
    place: usize,
) -> CodeServiceText {
    of(reservation, CodeServiceText::NONE, |it| text_at(&it.core.codes, place, |code| code.as_str()))
}

/// When they were reserved, by the database server's clock, in milliseconds since 1970: a moment before, rather than
/// after.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn code_service_reservation_reserved_ms(
    reservation: *const CodeServiceReservation,
) -> i64 {
    of(reservation, 0, |it| milliseconds(it.core.reserved))
}

/// Until when they are held, in milliseconds since 1970.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn code_service_reservation_expires_ms(
    reservation: *const CodeServiceReservation,
) -> i64 {
    of(reservation, 0, |it| milliseconds(it.core.expires))
}

/// Whether an earlier call under the same id reserved them.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn code_service_reservation_replayed(
    reservation: *const CodeServiceReservation,
) -> bool {
    of(reservation, false, |it| it.core.replayed)
}

/// Frees a reservation; its codes stay reserved. NULL is fine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn code_service_reservation_free(reservation: *mut CodeServiceReservation) {
    drop(boundary::take(reservation));
}

/// Its id.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn code_service_reservation_state_reserve_id(
    state: *const CodeServiceReservationState,
) -> CodeServiceText {
    of(state, CodeServiceText::NONE, |it| CodeServiceText::of(&it.reserve_id))
}

/// Its campaign.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn code_service_reservation_state_campaign_id(
    state: *const CodeServiceReservationState,
) -> CodeServiceText {
    of(state, CodeServiceText::NONE, |it| CodeServiceText::of(&it.campaign))
}

/// The type of its codes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn code_service_reservation_state_type(
    state: *const CodeServiceReservationState,
) -> CodeServiceText {
    of(state, CodeServiceText::NONE, |it| CodeServiceText::of(&it.code_type))
}

/// How many codes it still has: without those that were released, or expired and taken by others.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn code_service_reservation_state_count(
    state: *const CodeServiceReservationState,
) -> usize {
    of(state, 0, |it| it.codes.len())
}

/// One of its codes with its status now, from 0; NULL where there is none. It belongs to the state.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn code_service_reservation_state_code(
    state: *const CodeServiceReservationState,
    place: usize,
) -> *const CodeServiceCode {
    of(state, std::ptr::null(), |it| it.codes.get(place).map_or(std::ptr::null(), std::ptr::from_ref))
}

/// When its codes were reserved, in milliseconds since 1970.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn code_service_reservation_state_reserved_ms(
    state: *const CodeServiceReservationState,
) -> i64 {
    of(state, 0, |it| milliseconds(it.reserved))
}

/// Until when it holds them, in milliseconds since 1970.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn code_service_reservation_state_expires_ms(
    state: *const CodeServiceReservationState,
) -> i64 {
    of(state, 0, |it| milliseconds(it.expires))
}

/// Frees it. NULL is fine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn code_service_reservation_state_free(state: *mut CodeServiceReservationState) {
    drop(boundary::take(state));
}

/// The code itself.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn code_service_code_text(code: *const CodeServiceCode) -> CodeServiceText {
    of(code, CodeServiceText::NONE, |it| CodeServiceText::of(it.core.code.as_str()))
}

/// Its type.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn code_service_code_type(code: *const CodeServiceCode) -> CodeServiceText {
    of(code, CodeServiceText::NONE, |it| CodeServiceText::of(it.core.code_type.as_str()))
}

/// Its status when it was looked up.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn code_service_code_status(code: *const CodeServiceCode) -> CodeServiceCodeStatus {
    of(code, CodeServiceCodeStatus::Any, |it| CodeServiceCodeStatus::of(it.core.status))
}

/// When it was saved last, in milliseconds since 1970. False if that is not known; then nothing is written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn code_service_code_saved_ms(code: *const CodeServiceCode, time: *mut i64) -> bool {
    put_time(of(code, None, |it| it.core.saved), time)
}

/// When it was reserved. False if it is not; then nothing is written. Also an expired reservation has its time.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn code_service_code_reserved_ms(code: *const CodeServiceCode, time: *mut i64) -> bool {
    put_time(of(code, None, |it| it.core.reserved), time)
}

/// When it was assigned. False if it is not; then nothing is written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn code_service_code_assigned_ms(code: *const CodeServiceCode, time: *mut i64) -> bool {
    put_time(of(code, None, |it| it.core.assigned), time)
}

/// The reserve id that it carries; empty if none. It is held under it only while it is reserved.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn code_service_code_reserve_id(code: *const CodeServiceCode) -> CodeServiceText {
    of(code, CodeServiceText::NONE, |it| {
        it.core.reserve_id.as_ref().map_or(CodeServiceText::NONE, |id| CodeServiceText::of(id.as_str()))
    })
}

/// Frees a code of `code_service_find`. NULL is fine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn code_service_code_free(code: *mut CodeServiceCode) {
    drop(boundary::take(code));
}

/// How many codes were given.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn code_service_settle_report_in(report: *const CodeServiceSettleReport) -> u64 {
    of(report, 0, |it| it.core.given)
}

/// How many have changed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn code_service_settle_report_updated(report: *const CodeServiceSettleReport) -> u64 {
    of(report, 0, |it| it.core.updated)
}

/// How many of them are not held under the given reserve id. None if none was given.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn code_service_settle_report_lost_count(
    report: *const CodeServiceSettleReport,
) -> usize {
    of(report, 0, |it| it.core.lost.len())
}

/// One of those, from 0; empty where there is none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn code_service_settle_report_lost(
    report: *const CodeServiceSettleReport,
    place: usize,
) -> CodeServiceText {
    of(report, CodeServiceText::NONE, |it| text_at(&it.core.lost, place, |code| code.as_str()))
}

/// Frees it. NULL is fine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn code_service_settle_report_free(report: *mut CodeServiceSettleReport) {
    drop(boundary::take(report));
}

/// How many rows there were: inserted, updated and rejected ones.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn code_service_save_report_in(report: *const CodeServiceSaveReport) -> u64 {
    of(report, 0, |it| it.core.rows)
}

/// How many codes were new.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn code_service_save_report_inserted(report: *const CodeServiceSaveReport) -> u64 {
    of(report, 0, |it| it.core.inserted)
}

/// How many rows had a code that was there already, from before or from an earlier row.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn code_service_save_report_updated(report: *const CodeServiceSaveReport) -> u64 {
    of(report, 0, |it| it.core.updated)
}

/// How many rows held no valid code.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn code_service_save_report_rejected(report: *const CodeServiceSaveReport) -> u64 {
    of(report, 0, |it| it.core.rejected)
}

/// How many of those are listed: the first 1,000.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn code_service_save_report_rejections(report: *const CodeServiceSaveReport) -> usize {
    of(report, 0, |it| it.core.rejections.len())
}

/// The row of one of the listed ones, which count from 0: its line in a file, its place in a list from 1; 0 where
/// there is none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn code_service_save_report_rejection_row(
    report: *const CodeServiceSaveReport,
    place: usize,
) -> u64 {
    of(report, 0, |it| it.core.rejections.get(place).map_or(0, |rejection| rejection.row))
}

/// Why it was rejected, for people.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn code_service_save_report_rejection_reason(
    report: *const CodeServiceSaveReport,
    place: usize,
) -> CodeServiceText {
    of(report, CodeServiceText::NONE, |it| text_at(&it.reasons, place, String::as_str))
}

/// Frees it. NULL is fine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn code_service_save_report_free(report: *mut CodeServiceSaveReport) {
    drop(boundary::take(report));
}

/// How many there are: 0 if all indexes are as they must be.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn code_service_index_problems_count(
    problems: *const CodeServiceIndexProblems,
) -> usize {
    of(problems, 0, |it| it.messages.len())
}

/// What is wrong and how to mend it, for people; from 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn code_service_index_problems_message(
    problems: *const CodeServiceIndexProblems,
    place: usize,
) -> CodeServiceText {
    of(problems, CodeServiceText::NONE, |it| text_at(&it.messages, place, String::as_str))
}

/// Frees it. NULL is fine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn code_service_index_problems_free(problems: *mut CodeServiceIndexProblems) {
    drop(boundary::take(problems));
}
