//! What C hands over and gets back: all work with pointers.
//!
//! Everything here trusts what the header asks of callers: a pointer is null or points to what its type says, for as
//! long as the function runs (or, where the header says so, longer). Null, texts that are not UTF-8, and lengths that
//! cannot be are errors.

use std::ffi::{c_char, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;

use crate::error::{CodeServiceError, CodeServiceStatus, Failure};

/// A piece of UTF-8 text: `size` bytes from `data` on, without a zero at the end.
///
/// As an argument it is copied before the function returns; `{ NULL, 0 }` stands for nothing where something can be
/// left out. As an answer it belongs to the object that it was read from, and is valid until that is freed.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct CodeServiceText {
    /// The first byte. May be null if `size` is 0.
    pub data: *const c_char,
    /// How many bytes.
    pub size: usize,
}

impl CodeServiceText {
    /// Nothing.
    pub(crate) const NONE: CodeServiceText = CodeServiceText { data: ptr::null(), size: 0 };

    /// This text, for as long as whoever owns it lives.
    pub(crate) fn of(text: &str) -> Self {
        CodeServiceText { data: text.as_ptr().cast(), size: text.len() }
    }
}

/// Whatever the caller wants to get back in its callbacks.
#[derive(Clone, Copy)]
pub(crate) struct UserData(*mut c_void);

// SAFETY: it is never looked into here, and the header says on which thread callbacks get it.
unsafe impl Send for UserData {}

impl UserData {
    pub(crate) fn new(data: *mut c_void) -> Self {
        UserData(data)
    }

    pub(crate) fn get(self) -> *mut c_void {
        self.0
    }
}

/// Runs a function of the API: an error or a panic becomes a status and, if the caller wants to know more, an error
/// object.
pub(crate) unsafe fn call(
    error: *mut *mut CodeServiceError,
    work: impl FnOnce() -> Result<(), Failure>,
) -> CodeServiceStatus {
    let Err(failure) = guarded(work) else { return CodeServiceStatus::Ok };
    let status = failure.status();
    // SAFETY: null, or the caller's to be written.
    if let Some(error) = unsafe { error.as_mut() } {
        *error = give(failure.into());
    }
    status
}

/// A panic becomes an error.
fn guarded<T>(work: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err(Failure::panic()))
}

/// Runs what cannot fail, and answers `otherwise` if it panics all the same.
pub(crate) fn plain<T>(otherwise: T, work: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or(otherwise)
}

/// What an argument points to.
pub(crate) unsafe fn get<'a, T>(name: &str, pointer: *const T) -> Result<&'a T, Failure> {
    // SAFETY: null, or of this type and alive.
    unsafe { pointer.as_ref() }.ok_or_else(|| null(name))
}

/// The same for what may be left out.
pub(crate) unsafe fn get_optional<'a, T>(pointer: *const T) -> Option<&'a T> {
    // SAFETY: null, or of this type and alive.
    unsafe { pointer.as_ref() }
}

/// The same for what changes, and is used by one thread at a time.
pub(crate) unsafe fn get_mut<'a, T>(name: &str, pointer: *mut T) -> Result<&'a mut T, Failure> {
    // SAFETY: null, or of this type, alive, and nobody else's for now.
    unsafe { pointer.as_mut() }.ok_or_else(|| null(name))
}

/// Where an answer goes. It is written only on success.
pub(crate) struct Out<T>(*mut T);

impl<T> Out<T> {
    pub(crate) unsafe fn new(name: &str, place: *mut T) -> Result<Self, Failure> {
        if place.is_null() { Err(null(name)) } else { Ok(Out(place)) }
    }

    pub(crate) fn put(self, answer: T) {
        // SAFETY: it is not null, and the caller's to be written.
        unsafe { self.0.write(answer) }
    }
}

/// An object that is the caller's from here on.
pub(crate) fn give<T>(object: T) -> *mut T {
    Box::into_raw(Box::new(object))
}

/// Takes an object back. Nothing if there is none.
pub(crate) unsafe fn take<T>(object: *mut T) -> Option<Box<T>> {
    // SAFETY: null, or given by `give` and not taken yet.
    (!object.is_null()).then(|| unsafe { Box::from_raw(object) })
}

/// A text that must be there.
pub(crate) unsafe fn text(name: &str, text: CodeServiceText) -> Result<String, Failure> {
    // SAFETY: of our caller.
    match unsafe { optional_text(name, text) }? {
        Some(text) => Ok(text),
        None => Ok(String::new()),
    }
}

/// A text that may be left out.
pub(crate) unsafe fn optional_text(name: &str, text: CodeServiceText) -> Result<Option<String>, Failure> {
    if text.data.is_null() {
        return if text.size == 0 {
            Ok(None)
        } else {
            Err(Failure::invalid(name, "is a null pointer with a size"))
        };
    }
    if isize::try_from(text.size).is_err() {
        return Err(Failure::invalid(name, "has a size that no text can have"));
    }
    // SAFETY: not null, and so many bytes of the caller's.
    let bytes = unsafe { std::slice::from_raw_parts(text.data.cast::<u8>(), text.size) };
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(Some(text.to_owned())),
        Err(_) => Err(Failure::invalid(name, "is not UTF-8")),
    }
}

/// A list of texts.
pub(crate) unsafe fn texts(
    name: &str,
    texts: *const CodeServiceText,
    count: usize,
) -> Result<Vec<String>, Failure> {
    if count == 0 {
        return Ok(Vec::new());
    }
    if texts.is_null() {
        return Err(null(name));
    }
    if count > isize::MAX as usize / size_of::<CodeServiceText>() {
        return Err(Failure::invalid(name, "has a count that no list can have"));
    }
    // SAFETY: not null, and so many texts of the caller's.
    let texts = unsafe { std::slice::from_raw_parts(texts, count) };
    let item = |(place, item): (usize, &CodeServiceText)| {
        // SAFETY: as the list.
        let item = unsafe { optional_text(name, *item) };
        item.map(Option::unwrap_or_default).map_err(|failure| failure.at(name, place))
    };
    texts.iter().enumerate().map(item).collect()
}

/// The bytes that a struct of the caller's has in common with ours, which may be older or newer than its header. The
/// others of ours are zero.
///
/// # Errors
/// The caller's is smaller than the first version of it, is larger and says something that is not known here, or has a
/// size that was never set.
pub(crate) unsafe fn grown<T: Copy>(
    name: &str,
    given: *const T,
    size: usize,
    first_size: usize,
) -> Result<T, Failure> {
    /// Larger than it will ever be.
    const MOST: usize = 4_096;
    if !(first_size..=MOST).contains(&size) {
        return Err(Failure::invalid(name, "has a wrong size: call its init function first"));
    }
    // SAFETY: so many bytes of the caller's, as its size says.
    let bytes = unsafe { std::slice::from_raw_parts(given.cast::<u8>(), size) };
    let known = size.min(size_of::<T>());
    if bytes[known..].iter().any(|byte| *byte != 0) {
        return Err(Failure::invalid(
            name,
            "is of a newer version than the library, and uses what that does not know",
        ));
    }
    let mut ours = std::mem::MaybeUninit::<T>::zeroed();
    // SAFETY: as many bytes as either has. T is made of numbers and pointers, for which all zeros are a value.
    unsafe {
        ptr::copy_nonoverlapping(bytes.as_ptr(), ours.as_mut_ptr().cast::<u8>(), known);
        Ok(ours.assume_init())
    }
}

/// Writes zeros over a struct of so many bytes, and its size to its beginning.
pub(crate) unsafe fn clear(place: *mut usize, size: usize) {
    if place.is_null() || size < size_of::<usize>() {
        return;
    }
    // SAFETY: so many bytes of the caller's, and the size is the first field.
    unsafe {
        ptr::write_bytes(place.cast::<u8>(), 0, size);
        place.write(size);
    }
}

fn null(name: &str) -> Failure {
    Failure::invalid(name, "is a null pointer")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{code_service_error_free, code_service_error_message};

    #[test]
    fn a_panic_is_an_error() {
        let mut error = ptr::null_mut();
        // SAFETY: our own places, and the object is freed once.
        unsafe {
            assert_eq!(call(&raw mut error, || panic!("of a test")), CodeServiceStatus::Internal);
            assert_eq!(
                text("", code_service_error_message(error)).expect("a text"),
                "the operation panicked"
            );
            code_service_error_free(error);
        }
        assert_eq!(plain(7, || panic!("of a test")), 7);
    }

    #[test]
    fn a_struct_of_another_version_is_what_both_know() {
        let given = [16_usize, 5, 0];
        let size_of = size_of::<usize>;
        // SAFETY: the sizes are at most those of what is pointed to.
        unsafe {
            // Of an older header, of our own, and of a newer one that says nothing new.
            assert_eq!(
                grown("x", (&raw const given).cast::<[usize; 3]>(), 2 * size_of(), 16).ok(),
                Some([16, 5, 0])
            );
            assert_eq!(
                grown("x", (&raw const given).cast::<[usize; 2]>(), 2 * size_of(), 16).ok(),
                Some([16, 5])
            );
            assert_eq!(
                grown("x", (&raw const given).cast::<[usize; 2]>(), 3 * size_of(), 16).ok(),
                Some([16, 5])
            );
            // Of a newer one that does, and what is no version.
            assert!(grown("x", (&raw const given).cast::<[usize; 1]>(), 2 * size_of(), 8).is_err());
            assert!(grown("x", (&raw const given).cast::<[usize; 2]>(), size_of(), 16).is_err());
            assert!(grown("x", (&raw const given).cast::<[usize; 2]>(), usize::MAX, 16).is_err());
        }
    }
}
