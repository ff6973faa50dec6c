//! Exports: a cursor that is asked for one code after another.

use std::ffi::c_void;
use std::ptr;
use std::sync::Arc;

use code_service_core::{Export, Status, StoredCode};
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt};

use crate::boundary::{self, CodeServiceText, Out, UserData, give};
use crate::calls::{CodeService, CodeServiceCancel, Sender, Threads};
use crate::error::{CodeServiceError, CodeServiceStatus, Failure};
use crate::operations::{campaign, one_code};
use crate::operations_async::{CodeServiceDone, answer, needed};
use crate::results::{CodeServiceCode, CodeServiceCodeStatus};

/// An export that is under way. Free it with `code_service_export_free`.
pub struct CodeServiceExport {
    threads: Arc<Threads>,
    codes: Pages,
    /// The last code that was handed out, and those that follow, the next one last.
    page: Vec<CodeServiceCode>,
    current: Option<CodeServiceCode>,
    /// Why it is over before its end.
    failed: Option<Failure>,
}

/// Takes one code of an export. It belongs to the library and is gone when the function returns. Returns whether more
/// are wanted. It may call the library, as all callbacks.
///
/// Runs on the thread of the service's callbacks. It must not throw: an exception that leaves it ends the process.
pub type CodeServiceOnCode =
    Option<unsafe extern "C-unwind" fn(user_data: *mut c_void, code: *const CodeServiceCode) -> bool>;

/// How many codes are asked for at once.
const PAGE: usize = 500;

type Pages = BoxStream<'static, Result<Vec<StoredCode>, code_service_core::Error>>;

unsafe fn begin(
    service: &CodeService,
    campaign_id: CodeServiceText,
    of_type: CodeServiceText,
    status: i32,
    after: CodeServiceText,
) -> Result<Pages, Failure> {
    let mut export = Export::default();
    if let Some(of_type) = boundary::optional_text("type", of_type)? {
        export.code_type = Some(code_service_core::CodeType::parse(of_type)?);
    }
    export.status = match status {
        status if status == CodeServiceCodeStatus::Any as i32 => None,
        status if status == CodeServiceCodeStatus::Available as i32 => Some(Status::Available),
        status if status == CodeServiceCodeStatus::Reserved as i32 => Some(Status::Reserved),
        status if status == CodeServiceCodeStatus::Assigned as i32 => Some(Status::Assigned),
        _ => return Err(Failure::invalid("status", "must be one of CodeServiceCodeStatus")),
    };
    if !after.data.is_null() {
        export.after = Some(one_code("after", after)?);
    }
    let campaign = campaign(campaign_id)?;
    Ok(service.core.export(&campaign, export).try_chunks(PAGE).map_err(|failed| failed.1).boxed())
}

/// The next codes, none at the end.
async fn next_page(pages: &mut Pages) -> Result<Vec<CodeServiceCode>, Failure> {
    let page = pages.try_next().await?;
    Ok(page.unwrap_or_default().into_iter().map(CodeServiceCode::from).collect())
}

/// Begins to list the codes of a campaign in the order of their bytes.
///
/// `type` and `after` (a code: only those behind it, to go on where an export has ended) can be left out; `status`
/// is one of `CodeServiceCodeStatus`. `cursor` gets the cursor, which the caller frees with `code_service_export_free`.
/// One thread uses it at a time.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn code_service_export(
    service: *const CodeService,
    campaign_id: CodeServiceText,
    r#type: CodeServiceText,
    status: i32,
    after: CodeServiceText,
    cursor: *mut *mut CodeServiceExport,
    error: *mut *mut CodeServiceError,
) -> CodeServiceStatus {
    boundary::call(error, || {
        let service = boundary::get("service", service)?;
        let codes = begin(service, campaign_id, r#type, status, after)?;
        let out = Out::new("cursor", cursor)?;
        let threads = Arc::clone(&service.threads);
        let (page, current, failed) = (Vec::new(), None, None);
        out.put(give(CodeServiceExport { threads, codes, page, current, failed }));
        Ok(())
    })
}

/// Moves a cursor on.
///
/// `code` gets the next code, which belongs to the cursor and is valid until it moves on or is freed; NULL at the end.
///
/// After an error the cursor is over, and answers the same again: begin another one behind the last code.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn code_service_export_next(
    cursor: *mut CodeServiceExport,
    code: *mut *const CodeServiceCode,
    error: *mut *mut CodeServiceError,
) -> CodeServiceStatus {
    boundary::call(error, || {
        let cursor = boundary::get_mut("cursor", cursor)?;
        let out = Out::new("code", code)?;
        if let Some(failure) = &cursor.failed {
            return Err(failure.clone());
        }
        if cursor.page.is_empty() {
            let CodeServiceExport { threads, codes, page, failed, .. } = cursor;
            *page = threads.wait(next_page(codes)).inspect_err(|failure| *failed = Some(failure.clone()))?;
            page.reverse();
        }
        cursor.current = cursor.page.pop();
        out.put(cursor.current.as_ref().map_or(ptr::null(), ptr::from_ref));
        Ok(())
    })
}

/// Frees a cursor, wherever it is, before its service. NULL is fine.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn code_service_export_free(cursor: *mut CodeServiceExport) {
    if let Some(cursor) = boundary::take(cursor) {
        boundary::plain((), || drop(cursor));
    }
}

/// Lists the codes of a campaign as `code_service_export` does, and hands each to `on_code`; at the end, or when that
/// wants no more, `done` is called, behind the last code.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn code_service_export_async(
    service: *const CodeService,
    campaign_id: CodeServiceText,
    r#type: CodeServiceText,
    status: i32,
    after: CodeServiceText,
    cancel: *const CodeServiceCancel,
    on_code: CodeServiceOnCode,
    done: CodeServiceDone,
    user_data: *mut c_void,
    error: *mut *mut CodeServiceError,
) -> CodeServiceStatus {
    boundary::call(error, || {
        let service = boundary::get("service", service)?;
        let mut pages = begin(service, campaign_id, r#type, status, after)?;
        let on_code = on_code.ok_or_else(|| Failure::invalid("on_code", "is a null pointer"))?;
        let (done, user_data) = (needed(done)?, UserData::new(user_data));
        let (callbacks, leaving) = (service.threads.callbacks(), service.threads.leaving());
        let work = async move {
            loop {
                let page = next_page(&mut pages).await?;
                if page.is_empty() {
                    return Ok(());
                }
                let more = handed_over(&callbacks, page, on_code, user_data);
                match leaving.run_until_cancelled(more).await {
                    Some(Ok(true)) => {}
                    Some(Ok(false)) => return Ok(()),
                    Some(Err(failure)) => return Err(failure),
                    None => return Err(code_service_core::Error::Closed.into()),
                }
            }
        };
        let starter = service.threads.starter();
        starter.start(boundary::get_optional(cancel), work, move |outcome| {
            let (status, (), error) = answer(outcome, (), |()| ());
            done(user_data.get(), status, error);
        });
        Ok(())
    })
}

/// Hands codes to the caller's function, where callbacks run. Whether more are wanted.
async fn handed_over(
    callbacks: &Sender,
    page: Vec<CodeServiceCode>,
    on_code: unsafe extern "C-unwind" fn(*mut c_void, *const CodeServiceCode) -> bool,
    user_data: UserData,
) -> Result<bool, Failure> {
    let (answer, answered) = tokio::sync::oneshot::channel();
    callbacks.send(Box::new(move || {
        // SAFETY: as the header says.
        let more = page.iter().all(|code| unsafe { on_code(user_data.get(), code) });
        let _ = answer.send(more);
    }));
    answered.await.map_err(|_| Failure::panic())
}
