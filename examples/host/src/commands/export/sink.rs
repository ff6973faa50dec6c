//! The file that an export is written to, packed or not, and by nobody else meanwhile.

use std::fs::{File, Metadata, TryLockError};
use std::io::{self, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;

pub(super) enum Sink {
    Plain(File),
    Gzip(GzEncoder<File>),
}

impl Sink {
    /// Goes on behind so many bytes of a file; what is packed begins at its beginning.
    pub(super) fn behind(mut file: File, length: u64, gzip: bool) -> io::Result<Self> {
        file.set_len(length)?;
        file.seek(SeekFrom::End(0))?;
        Ok(if gzip { Sink::Gzip(GzEncoder::new(file, Compression::default())) } else { Sink::Plain(file) })
    }

    /// Writes out all that is left, to the disk. The file is still this export's alone.
    pub(super) fn finish(self) -> io::Result<File> {
        let file = match self {
            Sink::Plain(file) => file,
            Sink::Gzip(encoder) => encoder.finish()?,
        };
        file.sync_all()?;
        Ok(file)
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Sink::Plain(file) => file.write(bytes),
            Sink::Gzip(encoder) => encoder.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Sink::Plain(file) => file.flush(),
            Sink::Gzip(encoder) => encoder.flush(),
        }
    }
}

/// Opens a file, or makes it, for this export alone as long as it is open.
pub(super) fn hold(path: &Path) -> io::Result<File> {
    let another = || io::Error::new(io::ErrorKind::ResourceBusy, "another export writes to it now");
    let file = File::options().create(true).write(true).truncate(false).open(path)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(another()),
        // Not every file system has locks.
        Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {}
        Err(TryLockError::Error(error)) => return Err(error),
    }
    // Between the opening and the lock another may have ended, and given the file its name.
    let place = |metadata: Metadata| (metadata.dev(), metadata.ino());
    if std::fs::metadata(path).map(place).ok() != Some(place(file.metadata()?)) {
        return Err(another());
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_held_by_one_until_it_is_closed() {
        let path = std::env::temp_dir().join(format!("code-service-hold-{}", std::process::id()));
        let first = hold(&path).expect("nobody else has it");
        assert_eq!(hold(&path).expect_err("it is held").kind(), io::ErrorKind::ResourceBusy);
        drop(first);
        hold(&path).expect("nobody has it any more");
        std::fs::remove_file(&path).expect("ours");
    }
}
