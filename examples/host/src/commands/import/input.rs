//! The file that is imported: unpacked, and as long as it is.

use std::io;
use std::path::Path;
use std::pin::Pin;

use futures_util::StreamExt;
use indicatif::ProgressBar;
use tokio::fs::File;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio_util::io::{ReaderStream, StreamReader};

use crate::cli;
use crate::commands::backend::Input;
use crate::commands::output;
use crate::file::{self, Format};

/// How much of the file is read at once.
const CHUNK: usize = 64 * 1024;
/// The first line of an export as CSV. It is the header of a file of codes, too.
const EXPORTED: &[u8] = b"code,type,status,saved,reserved,assigned,reserveId\n";
/// What is read in its place, so that the rows keep their numbers.
const HEADER: &[u8] = b"code\n";

type Reader = Pin<Box<dyn AsyncRead + Send>>;

/// Opens a file, and a bar of what is read of it. With `measured` the length of what is in it is known, if it is a file.
pub(super) async fn open(
    path: &Path,
    format: Option<cli::Format>,
    measured: bool,
) -> io::Result<(Input, ProgressBar)> {
    let of_name = Format::of(&path.to_string_lossy());
    let format = format.unwrap_or(if of_name.ndjson { cli::Format::Ndjson } else { cli::Format::Csv });
    let (reader, size) = opened(path).await?;
    let bar = output::bar_of_bytes(size);
    let mut reader = unpacked(Box::pin(bar.wrap_async_read(reader)), of_name);
    let mut length = match size {
        Some(_) if of_name.gzip && measured => {
            let mut again = unpacked(opened(path).await?.0, of_name);
            Some(tokio::io::copy(&mut again, &mut tokio::io::sink()).await?)
        }
        Some(_) if of_name.gzip => None,
        size => size,
    };
    let mut start = Vec::new();
    (&mut reader).take(EXPORTED.len() as u64).read_to_end(&mut start).await?;
    if start == EXPORTED {
        start = HEADER.to_vec();
        length = length.map(|length| length - (EXPORTED.len() - HEADER.len()) as u64);
    }
    let bytes = ReaderStream::with_capacity(io::Cursor::new(start).chain(reader), CHUNK).boxed();
    Ok((Input { bytes, length, format }, bar))
}

/// The bytes of a file, and how many there are if it is one.
async fn opened(path: &Path) -> io::Result<(Reader, Option<u64>)> {
    if path == Path::new("-") {
        return Ok((Box::pin(tokio::io::stdin()), None));
    }
    let file = File::open(path).await?;
    let metadata = file.metadata().await?;
    if metadata.is_dir() {
        return Err(io::Error::new(io::ErrorKind::IsADirectory, "is a folder"));
    }
    Ok((Box::pin(file), metadata.is_file().then_some(metadata.len())))
}

fn unpacked(reader: Reader, format: Format) -> Reader {
    if !format.gzip {
        return reader;
    }
    let bytes = ReaderStream::with_capacity(reader, CHUNK);
    Box::pin(StreamReader::new(file::unpacked(bytes).boxed()))
}
