//! Rows of saves on their way from JavaScript.

use std::collections::HashMap;
use std::io;
use std::sync::{Mutex, MutexGuard};

use bytes::Bytes;
use code_service::Rows;
use futures_util::stream;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// The saves that still get rows. JavaScript sends only so much ahead of what it was told has been taken.
#[derive(Default)]
pub(crate) struct Uploads(Mutex<HashMap<u32, Upload>>);

enum Upload {
    Bytes(UnboundedSender<io::Result<Bytes>>),
    Codes(UnboundedSender<io::Result<Vec<String>>>),
}

impl Uploads {
    /// Rows that will be pushed as the bytes of a CSV file; `taken` is called with every piece that is read.
    pub(crate) fn csv(&self, call: u32, taken: impl FnMut() + Send + 'static) -> Rows {
        let (send, receive) = unbounded_channel();
        self.open().insert(call, Upload::Bytes(send));
        Rows::csv(pieces(receive, taken))
    }

    /// Rows that will be pushed as codes.
    pub(crate) fn codes(&self, call: u32, taken: impl FnMut() + Send + 'static) -> Rows {
        let (send, receive) = unbounded_channel();
        self.open().insert(call, Upload::Codes(send));
        Rows::lists(pieces(receive, taken))
    }

    pub(crate) fn push_bytes(&self, call: u32, bytes: &[u8]) {
        if let Some(Upload::Bytes(send)) = self.open().get(&call) {
            // One whose save has failed needs no more.
            let _ = send.send(Ok(Bytes::copy_from_slice(bytes)));
        }
    }

    pub(crate) fn push_codes(&self, call: u32, codes: &str) {
        if let Some(Upload::Codes(send)) = self.open().get(&call) {
            let _ = send.send(serde_json::from_str(codes).map_err(io::Error::other));
        }
    }

    pub(crate) fn end(&self, call: u32, failed: bool) {
        let upload = self.open().remove(&call);
        let error = || io::Error::other("the source of the rows has failed");
        match upload {
            Some(Upload::Bytes(send)) if failed => drop(send.send(Err(error()))),
            Some(Upload::Codes(send)) if failed => drop(send.send(Err(error()))),
            _ => {}
        }
    }

    pub(crate) fn forget(&self, call: u32) {
        self.open().remove(&call);
    }

    fn open(&self) -> MutexGuard<'_, HashMap<u32, Upload>> {
        self.0.lock().expect("nothing panics while it holds this lock")
    }
}

fn pieces<T: Send + 'static>(
    receive: UnboundedReceiver<io::Result<T>>,
    taken: impl FnMut() + Send + 'static,
) -> impl futures_util::Stream<Item = io::Result<T>> + Send + 'static {
    stream::unfold((receive, taken), |(mut receive, mut taken)| async {
        let piece = receive.recv().await?;
        taken();
        Some((piece, (receive, taken)))
    })
}
