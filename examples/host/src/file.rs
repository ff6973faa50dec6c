//! Files of codes: what their names say of them, and their rows.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use async_compression::tokio::bufread::GzipDecoder;
use bytes::Bytes;
use code_service::Rows;
use futures_util::{Stream, StreamExt, stream};
use tokio::io::{AsyncRead, BufReader, ReadBuf};
use tokio_util::io::{ReaderStream, StreamReader};

/// How much is unpacked at once.
const PIECE: usize = 64 * 1024;

/// How the codes of a file are written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Format {
    /// A code in each line of JSON; else the first column of CSV.
    pub(crate) ndjson: bool,
    /// Compressed with gzip.
    pub(crate) gzip: bool,
}

impl Format {
    /// `.ndjson` and `.jsonl` are NDJSON, everything else is CSV; with `.gz` behind it it is compressed.
    pub(crate) fn of(name: &str) -> Self {
        let name = name.to_ascii_lowercase();
        let (name, gzip) = name.strip_suffix(".gz").map_or((name.as_str(), false), |name| (name, true));
        Format { ndjson: [".ndjson", ".jsonl"].iter().any(|end| name.ends_with(end)), gzip }
    }

    /// The rows of a file's bytes. One that begins as gzip does is compressed, whatever was said of it.
    pub(crate) fn rows(self, bytes: impl Stream<Item = io::Result<Bytes>> + Send + 'static) -> Rows {
        let bytes = if self.gzip { unpacked(bytes).boxed() } else { unpacked_if_gzip(bytes).boxed() };
        if self.ndjson { Rows::ndjson(bytes) } else { Rows::csv(bytes) }
    }
}

/// How every file begins that is compressed with gzip, and no file of codes.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// What is in a file that may be compressed.
fn unpacked_if_gzip(
    bytes: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
) -> impl Stream<Item = io::Result<Bytes>> + Send {
    stream::once(async move {
        let mut bytes = bytes.boxed();
        let (mut begun, mut read) = (Vec::new(), Vec::new());
        while begun.len() < GZIP.len()
            && let Some(piece) = bytes.next().await
        {
            if let Ok(piece) = &piece {
                begun.extend(piece.iter().take(GZIP.len()));
            }
            let failed = piece.is_err();
            read.push(piece);
            if failed {
                break;
            }
        }
        let whole = stream::iter(read).chain(bytes);
        if begun.starts_with(&GZIP) { unpacked(whole).boxed() } else { whole.boxed() }
    })
    .flatten()
}

/// What is in a file that is compressed.
pub(crate) fn unpacked(
    bytes: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
) -> impl Stream<Item = io::Result<Bytes>> + Send {
    let mut decoder = GzipDecoder::new(BufReader::new(StreamReader::new(
        bytes.map(|piece| piece.map_err(NotRead::wrap)).boxed(),
    )));
    // Files that were put behind each other are one.
    decoder.multiple_members(true);
    ReaderStream::with_capacity(Unpacker(decoder), PIECE)
}

/// An error of the source, and not of what it holds.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
struct NotRead(io::Error);

impl NotRead {
    fn wrap(error: io::Error) -> io::Error {
        io::Error::other(NotRead(error))
    }
}

/// Tells what is wrong with the file from what is wrong with its source, which may be better the next time.
struct Unpacker<D>(D);

impl<D: AsyncRead + Unpin> AsyncRead for Unpacker<D> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = ready!(Pin::new(&mut self.0).poll_read(context, buffer));
        Poll::Ready(read.map_err(|error| match error.downcast::<NotRead>() {
            Ok(NotRead(error)) => error,
            Err(_) => io::Error::new(io::ErrorKind::InvalidData, "the file is no gzip, or not all of one"),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_says_what_a_file_is() {
        for (name, ndjson, gzip) in [
            ("codes/c/tm/a.csv", false, false),
            ("codes/c/tm/a", false, false),
            ("a.NDJSON", true, false),
            ("a.jsonl.gz", true, true),
            ("a.csv.GZ", false, true),
            ("a.gz", false, true),
            ("ndjson", false, false),
        ] {
            assert_eq!(Format::of(name), Format { ndjson, gzip }, "{name}");
        }
    }
}
