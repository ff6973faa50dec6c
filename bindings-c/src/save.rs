//! Saves: a list of codes, or a CSV file that the caller hands over piece by piece.

use std::ffi::{c_char, c_void};
use std::io;

use bytes::Bytes;
use code_service_core::Rows;
use futures_util::stream::{self, Stream};
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

use crate::boundary::{self, CodeServiceText, Out, UserData, give};
use crate::calls::{self, Call, CodeService, CodeServiceCancel};
use crate::error::{CodeServiceError, CodeServiceStatus, Failure};
use crate::operations::{campaign, code_type};
use crate::results::CodeServiceSaveReport;

/// Hands over the next bytes of a file: writes up to `size` of them to `buffer` and returns how many; 0 at the end of
/// the file, less than 0 if it cannot be read any further.
///
/// Runs on a thread of the library, once at a time, and may take as long as it does. It may call the library, but must
/// not close or free its service. It must not throw: an exception that leaves it ends the process.
pub type CodeServiceRead =
    Option<unsafe extern "C-unwind" fn(user_data: *mut c_void, buffer: *mut c_char, size: usize) -> i64>;

/// How many bytes are asked for at once.
const PIECE: usize = 64 * 1024;

pub(crate) unsafe fn save(
    service: *const CodeService,
    campaign_id: CodeServiceText,
    of_type: CodeServiceText,
    codes: *const CodeServiceText,
    count: usize,
) -> Result<Call<CodeServiceSaveReport>, Failure> {
    let service = boundary::get("service", service)?;
    let rows = Rows::codes(boundary::texts("codes", codes, count)?);
    let (campaign, code_type) = (campaign(campaign_id)?, code_type(of_type)?);
    Ok(service.call(move |core| async move { Ok(core.save(&campaign, &code_type, rows).await?.into()) }))
}

pub(crate) unsafe fn save_csv(
    service: *const CodeService,
    campaign_id: CodeServiceText,
    of_type: CodeServiceText,
    read: CodeServiceRead,
    user_data: *mut c_void,
    cancel: Option<&CodeServiceCancel>,
) -> Result<Call<CodeServiceSaveReport>, Failure> {
    let service = boundary::get("service", service)?;
    let Some(read) = read else { return Err(Failure::invalid("read", "is a null pointer")) };
    let cancelled = calls::token(cancel);
    let rows = Rows::csv(pieces(File { read, user_data: UserData::new(user_data) }, cancelled.clone()));
    let (campaign, code_type) = (campaign(campaign_id)?, code_type(of_type)?);
    // Whoever cancels may take the file away when it is answered: so it ends as any other file that cannot be read.
    Ok(service.call(move |core| async move {
        match core.save(&campaign, &code_type, rows).await {
            Err(_) if cancelled.is_cancelled() => Err(Failure::cancelled()),
            outcome => Ok(outcome?.into()),
        }
    }))
}

/// A file of the caller's.
struct File {
    read: unsafe extern "C-unwind" fn(*mut c_void, *mut c_char, usize) -> i64,
    user_data: UserData,
}

impl File {
    fn next(&mut self) -> io::Result<Bytes> {
        let mut buffer = vec![0_u8; PIECE];
        // SAFETY: the header says what the function must do, and that the data lives as long as the save.
        let size = unsafe { (self.read)(self.user_data.get(), buffer.as_mut_ptr().cast(), PIECE) };
        match usize::try_from(size) {
            Ok(size) if size <= PIECE => {
                buffer.truncate(size);
                Ok(buffer.into())
            }
            _ => Err(io::Error::other("the caller cannot read its file")),
        }
    }
}

fn pieces(file: File, cancelled: CancellationToken) -> impl Stream<Item = io::Result<Bytes>> + Send {
    stream::unfold((Some(file), cancelled), |(file, cancelled)| async {
        let mut file = file?;
        if cancelled.is_cancelled() {
            return Some((Err(io::Error::other("the call was cancelled")), (None, cancelled)));
        }
        let read = spawn_blocking(move || (file.next(), file)).await;
        match read {
            Ok((Ok(piece), _)) if piece.is_empty() => None,
            Ok((Ok(piece), file)) => Some((Ok(piece), (Some(file), cancelled))),
            Ok((Err(error), _)) => Some((Err(error), (None, cancelled))),
            Err(_) => Some((Err(io::Error::other("the reading of a file was stopped")), (None, cancelled))),
        }
    })
}

/// Saves codes into a campaign: new ones are inserted, those that are there get the type and a new date of saving and
/// keep everything else. Texts that are no codes are rejected, and listed in the report; one that is not UTF-8 is an
/// error, and nothing is saved. May be repeated.
///
/// `report` gets what was done, which the caller frees with `code_service_save_report_free`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn code_service_save(
    service: *const CodeService,
    campaign_id: CodeServiceText,
    r#type: CodeServiceText,
    codes: *const CodeServiceText,
    count: usize,
    report: *mut *mut CodeServiceSaveReport,
    error: *mut *mut CodeServiceError,
) -> CodeServiceStatus {
    boundary::call(error, || {
        let call = save(service, campaign_id, r#type, codes, count)?;
        let out = Out::new("report", report)?;
        out.put(give(call.wait()?));
        Ok(())
    })
}

/// The same with the codes of a CSV file, which `read` hands over: only the first column counts, the delimiter is a
/// comma, codes are trimmed, empty lines are skipped, and so are a byte-order mark and a first line that is just
/// `code`, or the header of an export. Memory is bounded, whatever the size of the file.
///
/// `user_data` is what `read` gets. It must live until the save is answered.
///
/// Errors: `unavailable` if `read` fails or the database does: rows before that are saved; save the same file again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn code_service_save_csv(
    service: *const CodeService,
    campaign_id: CodeServiceText,
    r#type: CodeServiceText,
    read: CodeServiceRead,
    user_data: *mut c_void,
    report: *mut *mut CodeServiceSaveReport,
    error: *mut *mut CodeServiceError,
) -> CodeServiceStatus {
    boundary::call(error, || {
        let call = save_csv(service, campaign_id, r#type, read, user_data, None)?;
        let out = Out::new("report", report)?;
        out.put(give(call.wait()?));
        Ok(())
    })
}
