//! The operations, each answered by a callback.

use std::ffi::c_void;
use std::ptr;

use crate::boundary::{self, CodeServiceText, UserData, give};
use crate::calls::{Call, CodeService, CodeServiceCancel, Threads};
use crate::error::{CodeServiceError, CodeServiceStatus, Failure};
use crate::operations::{self, Held, Settle, give_optional};
use crate::options::{self, CodeServiceOptions};
use crate::results::{
    CodeServiceCode, CodeServiceCounts, CodeServiceIndexProblems, CodeServiceReservation,
    CodeServiceReservationState, CodeServiceSaveReport, CodeServiceSettleReport,
};
use crate::save::{self, CodeServiceRead};

/// Takes the answer of a reserve: a reservation or an error, the other is NULL. The callee frees what it gets.
///
/// As all callbacks, it runs once, on a thread of the service's own on which callbacks run one after another. It may
/// call any function of the library; while it waits for something, other callbacks wait, too. It must not throw: an
/// exception that leaves it ends the process.
pub type CodeServiceReserved = Option<
    unsafe extern "C-unwind" fn(
        user_data: *mut c_void,
        status: CodeServiceStatus,
        reservation: *mut CodeServiceReservation,
        error: *mut CodeServiceError,
    ),
>;

/// Takes the answer of a recover or of a look at a reservation; both are NULL if nothing is held. The callee frees what
/// it gets.
pub type CodeServiceHeld = Option<
    unsafe extern "C-unwind" fn(
        user_data: *mut c_void,
        status: CodeServiceStatus,
        state: *mut CodeServiceReservationState,
        error: *mut CodeServiceError,
    ),
>;

/// Takes the answer of an assign or a release. The callee frees what it gets.
pub type CodeServiceSettled = Option<
    unsafe extern "C-unwind" fn(
        user_data: *mut c_void,
        status: CodeServiceStatus,
        report: *mut CodeServiceSettleReport,
        error: *mut CodeServiceError,
    ),
>;

/// Takes the answer of a save. The callee frees what it gets.
pub type CodeServiceSaved = Option<
    unsafe extern "C-unwind" fn(
        user_data: *mut c_void,
        status: CodeServiceStatus,
        report: *mut CodeServiceSaveReport,
        error: *mut CodeServiceError,
    ),
>;

/// Takes the answer of a count, which is all zeros if there is an error. The callee frees the error.
pub type CodeServiceCounted = Option<
    unsafe extern "C-unwind" fn(
        user_data: *mut c_void,
        status: CodeServiceStatus,
        counts: CodeServiceCounts,
        error: *mut CodeServiceError,
    ),
>;

/// Takes the answer of a find; both are NULL if there is no such code. The callee frees what it gets.
pub type CodeServiceFound = Option<
    unsafe extern "C-unwind" fn(
        user_data: *mut c_void,
        status: CodeServiceStatus,
        found: *mut CodeServiceCode,
        error: *mut CodeServiceError,
    ),
>;

/// Takes the answer of a look at the indexes. The callee frees what it gets.
pub type CodeServiceVerified = Option<
    unsafe extern "C-unwind" fn(
        user_data: *mut c_void,
        status: CodeServiceStatus,
        problems: *mut CodeServiceIndexProblems,
        error: *mut CodeServiceError,
    ),
>;

/// Takes a service that is connected, which is the callee's from here on, or an error.
pub type CodeServiceConnected = Option<
    unsafe extern "C-unwind" fn(
        user_data: *mut c_void,
        status: CodeServiceStatus,
        service: *mut CodeService,
        error: *mut CodeServiceError,
    ),
>;

/// Takes the end of something that has no other answer. The callee frees the error.
pub type CodeServiceDone = Option<
    unsafe extern "C-unwind" fn(
        user_data: *mut c_void,
        status: CodeServiceStatus,
        error: *mut CodeServiceError,
    ),
>;

pub(crate) fn needed<T>(done: Option<T>) -> Result<T, Failure> {
    done.ok_or_else(|| Failure::invalid("done", "is a null pointer"))
}

/// An outcome as callbacks get it.
pub(crate) fn answer<T, C>(
    outcome: Result<T, Failure>,
    nothing: C,
    answer: impl FnOnce(T) -> C,
) -> (CodeServiceStatus, C, *mut CodeServiceError) {
    match outcome {
        Ok(value) => (CodeServiceStatus::Ok, answer(value), ptr::null_mut()),
        Err(failure) => (failure.status(), nothing, give(failure.into())),
    }
}

/// Begins what `code_service_reserve` does, and returns. `done` gets the answer.
///
/// As of all such functions: if this one does not return `CODE_SERVICE_STATUS_OK`, nothing has begun and `done` is not
/// called. `cancel` may be NULL. `user_data` is what `done` gets.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn code_service_reserve_async(
    service: *const CodeService,
    campaign_id: CodeServiceText,
    r#type: CodeServiceText,
    count: u32,
    partial: bool,
    reserve_id: CodeServiceText,
    cancel: *const CodeServiceCancel,
    done: CodeServiceReserved,
    user_data: *mut c_void,
    error: *mut *mut CodeServiceError,
) -> CodeServiceStatus {
    boundary::call(error, || {
        let call = operations::reserve(service, campaign_id, r#type, count, partial, reserve_id)?;
        let (done, user_data) = (needed(done)?, UserData::new(user_data));
        call.start(boundary::get_optional(cancel), move |outcome| {
            let (status, reservation, error) = answer(outcome, ptr::null_mut(), give);
            done(user_data.get(), status, reservation, error);
        });
        Ok(())
    })
}

/// Begins what `code_service_recover` does.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn code_service_recover_async(
    service: *const CodeService,
    reserve_id: CodeServiceText,
    cancel: *const CodeServiceCancel,
    done: CodeServiceHeld,
    user_data: *mut c_void,
    error: *mut *mut CodeServiceError,
) -> CodeServiceStatus {
    boundary::call(error, || start_held(service, reserve_id, Held::Recover, cancel, done, user_data))
}

/// Begins what `code_service_reservation` does.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn code_service_reservation_async(
    service: *const CodeService,
    reserve_id: CodeServiceText,
    cancel: *const CodeServiceCancel,
    done: CodeServiceHeld,
    user_data: *mut c_void,
    error: *mut *mut CodeServiceError,
) -> CodeServiceStatus {
    boundary::call(error, || start_held(service, reserve_id, Held::Look, cancel, done, user_data))
}

unsafe fn start_held(
    service: *const CodeService,
    reserve_id: CodeServiceText,
    how: Held,
    cancel: *const CodeServiceCancel,
    done: CodeServiceHeld,
    user_data: *mut c_void,
) -> Result<(), Failure> {
    let call = operations::held(service, reserve_id, how)?;
    let (done, user_data) = (needed(done)?, UserData::new(user_data));
    call.start(boundary::get_optional(cancel), move |outcome| {
        let (status, state, error) = answer(outcome, ptr::null_mut(), give_optional);
        done(user_data.get(), status, state, error);
    });
    Ok(())
}

/// Begins what `code_service_assign` does. The codes are copied before it returns.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn code_service_assign_async(
    service: *const CodeService,
    campaign_id: CodeServiceText,
    codes: *const CodeServiceText,
    count: usize,
    reserve_id: CodeServiceText,
    cancel: *const CodeServiceCancel,
    done: CodeServiceSettled,
    user_data: *mut c_void,
    error: *mut *mut CodeServiceError,
) -> CodeServiceStatus {
    boundary::call(error, || {
        let call = operations::settle(service, campaign_id, codes, count, reserve_id, Settle::Assign)?;
        start_settle(call, cancel, done, user_data)
    })
}

/// Begins what `code_service_release` does. The codes are copied before it returns.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn code_service_release_async(
    service: *const CodeService,
    campaign_id: CodeServiceText,
    codes: *const CodeServiceText,
    count: usize,
    reserve_id: CodeServiceText,
    cancel: *const CodeServiceCancel,
    done: CodeServiceSettled,
    user_data: *mut c_void,
    error: *mut *mut CodeServiceError,
) -> CodeServiceStatus {
    boundary::call(error, || {
        let call = operations::settle(service, campaign_id, codes, count, reserve_id, Settle::Release)?;
        start_settle(call, cancel, done, user_data)
    })
}

unsafe fn start_settle(
    call: Call<CodeServiceSettleReport>,
    cancel: *const CodeServiceCancel,
    done: CodeServiceSettled,
    user_data: *mut c_void,
) -> Result<(), Failure> {
    let (done, user_data) = (needed(done)?, UserData::new(user_data));
    call.start(boundary::get_optional(cancel), move |outcome| {
        let (status, report, error) = answer(outcome, ptr::null_mut(), give);
        done(user_data.get(), status, report, error);
    });
    Ok(())
}

/// Begins what `code_service_count` does.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn code_service_count_async(
    service: *const CodeService,
    campaign_id: CodeServiceText,
    r#type: CodeServiceText,
    cancel: *const CodeServiceCancel,
    done: CodeServiceCounted,
    user_data: *mut c_void,
    error: *mut *mut CodeServiceError,
) -> CodeServiceStatus {
    boundary::call(error, || {
        let call = operations::count(service, campaign_id, r#type)?;
        let (done, user_data) = (needed(done)?, UserData::new(user_data));
        call.start(boundary::get_optional(cancel), move |outcome| {
            let (status, counts, error) = answer(outcome, CodeServiceCounts::default(), |counts| counts);
            done(user_data.get(), status, counts, error);
        });
        Ok(())
    })
}

/// Begins what `code_service_find` does.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn code_service_find_async(
    service: *const CodeService,
    campaign_id: CodeServiceText,
    code: CodeServiceText,
    cancel: *const CodeServiceCancel,
    done: CodeServiceFound,
    user_data: *mut c_void,
    error: *mut *mut CodeServiceError,
) -> CodeServiceStatus {
    boundary::call(error, || {
        let call = operations::find(service, campaign_id, code)?;
        let (done, user_data) = (needed(done)?, UserData::new(user_data));
        call.start(boundary::get_optional(cancel), move |outcome| {
            let (status, found, error) = answer(outcome, ptr::null_mut(), give_optional);
            done(user_data.get(), status, found, error);
        });
        Ok(())
    })
}

/// Begins what `code_service_save` does. The codes are copied before it returns.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn code_service_save_async(
    service: *const CodeService,
    campaign_id: CodeServiceText,
    r#type: CodeServiceText,
    codes: *const CodeServiceText,
    count: usize,
    cancel: *const CodeServiceCancel,
    done: CodeServiceSaved,
    user_data: *mut c_void,
    error: *mut *mut CodeServiceError,
) -> CodeServiceStatus {
    boundary::call(error, || {
        let call = save::save(service, campaign_id, r#type, codes, count)?;
        let (done, user_data) = (needed(done)?, UserData::new(user_data));
        call.start(boundary::get_optional(cancel), move |outcome| {
            let (status, report, error) = answer(outcome, ptr::null_mut(), give);
            done(user_data.get(), status, report, error);
        });
        Ok(())
    })
}

/// Begins what `code_service_save_csv` does. `user_data` is what both `read` and `done` get. `done` comes after the last
/// `read`, also when it is cancelled.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn code_service_save_csv_async(
    service: *const CodeService,
    campaign_id: CodeServiceText,
    r#type: CodeServiceText,
    read: CodeServiceRead,
    cancel: *const CodeServiceCancel,
    done: CodeServiceSaved,
    user_data: *mut c_void,
    error: *mut *mut CodeServiceError,
) -> CodeServiceStatus {
    boundary::call(error, || {
        let cancel = boundary::get_optional(cancel);
        let call = save::save_csv(service, campaign_id, r#type, read, user_data, cancel)?;
        let (done, user_data) = (needed(done)?, UserData::new(user_data));
        call.start(None, move |outcome| {
            let (status, report, error) = answer(outcome, ptr::null_mut(), give);
            done(user_data.get(), status, report, error);
        });
        Ok(())
    })
}

/// Begins what `code_service_ensure_indexes` does.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn code_service_ensure_indexes_async(
    service: *const CodeService,
    cancel: *const CodeServiceCancel,
    done: CodeServiceDone,
    user_data: *mut c_void,
    error: *mut *mut CodeServiceError,
) -> CodeServiceStatus {
    boundary::call(error, || {
        let call = operations::ensure_indexes(service)?;
        let (done, user_data) = (needed(done)?, UserData::new(user_data));
        call.start(boundary::get_optional(cancel), move |outcome| {
            let (status, (), error) = answer(outcome, (), |()| ());
            done(user_data.get(), status, error);
        });
        Ok(())
    })
}

/// Begins what `code_service_verify_indexes` does.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn code_service_verify_indexes_async(
    service: *const CodeService,
    cancel: *const CodeServiceCancel,
    done: CodeServiceVerified,
    user_data: *mut c_void,
    error: *mut *mut CodeServiceError,
) -> CodeServiceStatus {
    boundary::call(error, || {
        let call = operations::verify_indexes(service)?;
        let (done, user_data) = (needed(done)?, UserData::new(user_data));
        call.start(boundary::get_optional(cancel), move |outcome| {
            let (status, problems, error) = answer(outcome, ptr::null_mut(), give);
            done(user_data.get(), status, problems, error);
        });
        Ok(())
    })
}

/// Begins what `code_service_close` does. The calls that it waits for include those that are answered by callbacks.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn code_service_close_async(
    service: *const CodeService,
    cancel: *const CodeServiceCancel,
    done: CodeServiceDone,
    user_data: *mut c_void,
    error: *mut *mut CodeServiceError,
) -> CodeServiceStatus {
    boundary::call(error, || {
        let service = boundary::get("service", service)?;
        let (done, user_data) = (needed(done)?, UserData::new(user_data));
        let call = service.call(|core| async move {
            core.close().await;
            Ok(())
        });
        call.start(boundary::get_optional(cancel), move |outcome| {
            let (status, (), error) = answer(outcome, (), |()| ());
            done(user_data.get(), status, error);
        });
        Ok(())
    })
}

/// Begins what `code_service_connect` does. `done` runs where callbacks of the service will run.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn code_service_connect_async(
    options: *const CodeServiceOptions,
    cancel: *const CodeServiceCancel,
    done: CodeServiceConnected,
    user_data: *mut c_void,
    error: *mut *mut CodeServiceError,
) -> CodeServiceStatus {
    boundary::call(error, || {
        let (options, workers) = options::parse(options)?;
        let (done, user_data) = (needed(done)?, UserData::new(user_data));
        let threads = Threads::start(workers)?;
        let starter = threads.starter();
        starter.start(boundary::get_optional(cancel), options::connect(options), move |outcome| {
            let outcome = options::connected(outcome, threads);
            let (status, service, error) = answer(outcome, ptr::null_mut(), give);
            done(user_data.get(), status, service, error);
        });
        Ok(())
    })
}
