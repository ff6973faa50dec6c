//! The operations, each waited for.

use code_service_core::{CampaignId, Code, CodeType, Reserve, ReserveId};

use crate::boundary::{self, CodeServiceText, Out, give};
use crate::calls::{Call, CodeService};
use crate::error::{CodeServiceError, CodeServiceStatus, Failure};
use crate::results::{
    CodeServiceCode, CodeServiceCounts, CodeServiceIndexProblems, CodeServiceReservation,
    CodeServiceReservationState, CodeServiceSettleReport,
};

/// What a call of `assign` or `release` is.
#[derive(Clone, Copy)]
pub(crate) enum Settle {
    Assign,
    Release,
}

/// What a call that finds a reservation is.
#[derive(Clone, Copy)]
pub(crate) enum Held {
    Look,
    Recover,
}

pub(crate) unsafe fn campaign(text: CodeServiceText) -> Result<CampaignId, Failure> {
    Ok(CampaignId::parse(boundary::text("campaignId", text)?)?)
}

pub(crate) unsafe fn code_type(text: CodeServiceText) -> Result<CodeType, Failure> {
    Ok(CodeType::parse(boundary::text("type", text)?)?)
}

unsafe fn reserve_id(text: CodeServiceText) -> Result<Option<ReserveId>, Failure> {
    Ok(boundary::optional_text("reserveId", text)?.map(ReserveId::parse).transpose()?)
}

pub(crate) unsafe fn one_code(name: &str, text: CodeServiceText) -> Result<Code, Failure> {
    Code::parse(boundary::text(name, text)?).map_err(|reason| Failure::invalid(name, &reason.to_string()))
}

pub(crate) unsafe fn reserve(
    service: *const CodeService,
    campaign_id: CodeServiceText,
    of_type: CodeServiceText,
    count: u32,
    partial: bool,
    id: CodeServiceText,
) -> Result<Call<CodeServiceReservation>, Failure> {
    let service = boundary::get("service", service)?;
    let mut wish = Reserve::new(campaign(campaign_id)?, code_type(of_type)?, count);
    wish.partial = partial;
    wish.reserve_id = reserve_id(id)?;
    Ok(service.call(|core| async move { Ok(CodeServiceReservation { core: core.reserve(wish).await? }) }))
}

pub(crate) unsafe fn held(
    service: *const CodeService,
    id: CodeServiceText,
    how: Held,
) -> Result<Call<Option<CodeServiceReservationState>>, Failure> {
    let service = boundary::get("service", service)?;
    let id = ReserveId::parse(boundary::text("reserveId", id)?)?;
    Ok(service.call(move |core| async move {
        let found = match how {
            Held::Look => core.reservation(&id).await?,
            Held::Recover => core.recover(&id).await?,
        };
        Ok(found.map(CodeServiceReservationState::from))
    }))
}

pub(crate) unsafe fn settle(
    service: *const CodeService,
    campaign_id: CodeServiceText,
    codes: *const CodeServiceText,
    count: usize,
    id: CodeServiceText,
    how: Settle,
) -> Result<Call<CodeServiceSettleReport>, Failure> {
    let service = boundary::get("service", service)?;
    let campaign = campaign(campaign_id)?;
    let codes = Code::parse_all(boundary::texts("codes", codes, count)?)?;
    let id = reserve_id(id)?;
    Ok(service.call(move |core| async move {
        let report = match how {
            Settle::Assign => core.assign(&campaign, codes, id.as_ref()).await?,
            Settle::Release => core.release(&campaign, codes, id.as_ref()).await?,
        };
        Ok(report.into())
    }))
}

pub(crate) unsafe fn count(
    service: *const CodeService,
    campaign_id: CodeServiceText,
    of_type: CodeServiceText,
) -> Result<Call<CodeServiceCounts>, Failure> {
    let service = boundary::get("service", service)?;
    let (campaign, code_type) = (campaign(campaign_id)?, code_type(of_type)?);
    Ok(service.call(move |core| async move { Ok(core.count(&campaign, &code_type).await?.into()) }))
}

pub(crate) unsafe fn find(
    service: *const CodeService,
    campaign_id: CodeServiceText,
    code: CodeServiceText,
) -> Result<Call<Option<CodeServiceCode>>, Failure> {
    let service = boundary::get("service", service)?;
    let (campaign, code) = (campaign(campaign_id)?, one_code("code", code)?);
    Ok(service
        .call(move |core| async move { Ok(core.find(&campaign, &code).await?.map(CodeServiceCode::from)) }))
}

pub(crate) unsafe fn ensure_indexes(service: *const CodeService) -> Result<Call<()>, Failure> {
    let service = boundary::get("service", service)?;
    Ok(service.call(|core| async move { Ok(core.ensure_indexes().await?) }))
}

pub(crate) unsafe fn verify_indexes(
    service: *const CodeService,
) -> Result<Call<CodeServiceIndexProblems>, Failure> {
    let service = boundary::get("service", service)?;
    Ok(service.call(|core| async move { Ok(core.verify_indexes().await?.into()) }))
}

/// An object that the caller gets, or null for none.
pub(crate) fn give_optional<T>(object: Option<T>) -> *mut T {
    object.map_or(std::ptr::null_mut(), give)
}

/// Reserves `count` available codes of a campaign and type (1 to 100,000): all, or none unless `partial` is set.
///
/// With a `reserve_id` of the caller's own (1 to 256 bytes without control characters) the call may be repeated, from
/// any process and after whatever has happened: the same id gives the same codes, until they expire. Without one a new
/// one is made.
///
/// `reservation` gets the reservation, which the caller frees with `code_service_reservation_free`.
///
/// Errors: `not_enough_codes` (nothing is held), `reservation_mismatch`, `reservation_expired`, `unavailable` (nothing
/// is held), `outcome_unknown` (recover its reserve id), `invalid_argument`, `closed`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn code_service_reserve(
    service: *const CodeService,
    campaign_id: CodeServiceText,
    r#type: CodeServiceText,
    count: u32,
    partial: bool,
    reserve_id: CodeServiceText,
    reservation: *mut *mut CodeServiceReservation,
    error: *mut *mut CodeServiceError,
) -> CodeServiceStatus {
    boundary::call(error, || {
        let call = reserve(service, campaign_id, r#type, count, partial, reserve_id)?;
        let out = Out::new("reservation", reservation)?;
        out.put(give(call.wait()?));
        Ok(())
    })
}

/// Finds out what became of a reserve under the caller's own id, for good: waits for attempts that go on, and ends dead
/// ones.
///
/// `state` gets what is held, which the caller frees with `code_service_reservation_state_free`; NULL if nothing is
/// held, and nothing will be of any attempt that had begun.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn code_service_recover(
    service: *const CodeService,
    reserve_id: CodeServiceText,
    state: *mut *mut CodeServiceReservationState,
    error: *mut *mut CodeServiceError,
) -> CodeServiceStatus {
    boundary::call(error, || {
        let call = held(service, reserve_id, Held::Recover)?;
        let out = Out::new("state", state)?;
        out.put(give_optional(call.wait()?));
        Ok(())
    })
}

/// Looks up the codes of a reserve id with their status now.
///
/// `state` gets them, which the caller frees with `code_service_reservation_state_free`; NULL if there are none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn code_service_reservation(
    service: *const CodeService,
    reserve_id: CodeServiceText,
    state: *mut *mut CodeServiceReservationState,
    error: *mut *mut CodeServiceError,
) -> CodeServiceStatus {
    boundary::call(error, || {
        let call = held(service, reserve_id, Held::Look)?;
        let out = Out::new("state", state)?;
        out.put(give_optional(call.wait()?));
        Ok(())
    })
}

/// Gives codes out for good (1 to 100,000). With a `reserve_id` only those that are held under it; the others are lost.
/// A code that is assigned already keeps its date and is not counted.
///
/// `report` gets what was done, which the caller frees with `code_service_settle_report_free`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn code_service_assign(
    service: *const CodeService,
    campaign_id: CodeServiceText,
    codes: *const CodeServiceText,
    count: usize,
    reserve_id: CodeServiceText,
    report: *mut *mut CodeServiceSettleReport,
    error: *mut *mut CodeServiceError,
) -> CodeServiceStatus {
    boundary::call(error, || {
        let call = settle(service, campaign_id, codes, count, reserve_id, Settle::Assign)?;
        let out = Out::new("report", report)?;
        out.put(give(call.wait()?));
        Ok(())
    })
}

/// Gives reserved codes back (1 to 100,000). With a `reserve_id` only those that are held under it; the others are
/// lost. May be repeated.
///
/// `report` gets what was done, which the caller frees with `code_service_settle_report_free`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn code_service_release(
    service: *const CodeService,
    campaign_id: CodeServiceText,
    codes: *const CodeServiceText,
    count: usize,
    reserve_id: CodeServiceText,
    report: *mut *mut CodeServiceSettleReport,
    error: *mut *mut CodeServiceError,
) -> CodeServiceStatus {
    boundary::call(error, || {
        let call = settle(service, campaign_id, codes, count, reserve_id, Settle::Release)?;
        let out = Out::new("report", report)?;
        out.put(give(call.wait()?));
        Ok(())
    })
}

/// Counts the codes of a campaign and type by status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn code_service_count(
    service: *const CodeService,
    campaign_id: CodeServiceText,
    r#type: CodeServiceText,
    counts: *mut CodeServiceCounts,
    error: *mut *mut CodeServiceError,
) -> CodeServiceStatus {
    boundary::call(error, || {
        let call = count(service, campaign_id, r#type)?;
        let out = Out::new("counts", counts)?;
        out.put(call.wait()?);
        Ok(())
    })
}

/// Looks one code up.
///
/// `found` gets it, which the caller frees with `code_service_code_free`; NULL if the campaign has no such code.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn code_service_find(
    service: *const CodeService,
    campaign_id: CodeServiceText,
    code: CodeServiceText,
    found: *mut *mut CodeServiceCode,
    error: *mut *mut CodeServiceError,
) -> CodeServiceStatus {
    boundary::call(error, || {
        let call = find(service, campaign_id, code)?;
        let out = Out::new("found", found)?;
        out.put(give_optional(call.wait()?));
        Ok(())
    })
}

/// Creates the indexes that are missing. Run it before the service is used, not at every start.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn code_service_ensure_indexes(
    service: *const CodeService,
    error: *mut *mut CodeServiceError,
) -> CodeServiceStatus {
    boundary::call(error, || ensure_indexes(service)?.wait())
}

/// Says what is wrong with the indexes: without the right ones the service must not be used.
///
/// `problems` gets them, which the caller frees with `code_service_index_problems_free`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn code_service_verify_indexes(
    service: *const CodeService,
    problems: *mut *mut CodeServiceIndexProblems,
    error: *mut *mut CodeServiceError,
) -> CodeServiceStatus {
    boundary::call(error, || {
        let call = verify_indexes(service)?;
        let out = Out::new("problems", problems)?;
        out.put(give(call.wait()?));
        Ok(())
    })
}
