//! As much of MongoDB's wire protocol as the harness speaks itself.
//!
//! The driver is for the code under test. It keeps what it knows of a server for a while, so it is slow to see
//! that one has come, gone, or stands still; [`ask`] sees it at once, and works outside of a runtime.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use mongodb::bson::{Document, RawDocument};
use tokio::io::{AsyncRead, AsyncReadExt};

/// Length, request id, response to, and operation: four numbers of four bytes.
const HEADER: usize = 16;

/// The header, four bytes of flags, and one byte for the kind of section: the command follows.
const BEFORE_COMMAND: usize = HEADER + 5;

const OP_MSG: i32 = 2013;

/// What the server itself takes at most.
const LONGEST: usize = 48_000_000;

/// One whole message, of any operation.
pub(crate) struct Message(Vec<u8>);

impl Message {
    /// The next message of a connection.
    pub(crate) async fn read(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Message> {
        let mut length = [0; 4];
        from.read_exact(&mut length).await?;
        let mut message = Message::of_length(length)?;
        from.read_exact(&mut message.0[4..]).await?;
        Ok(message)
    }

    fn read_blocking(from: &mut impl Read) -> io::Result<Message> {
        let mut length = [0; 4];
        from.read_exact(&mut length)?;
        let mut message = Message::of_length(length)?;
        from.read_exact(&mut message.0[4..])?;
        Ok(message)
    }

    fn of_length(bytes: [u8; 4]) -> io::Result<Message> {
        let length = usize::try_from(i32::from_le_bytes(bytes)).unwrap_or(0);
        if !(HEADER..=LONGEST).contains(&length) {
            return Err(io::Error::other("this is not MongoDB's protocol"));
        }
        let mut message = vec![0; length];
        message[..4].copy_from_slice(&bytes);
        Ok(Message(message))
    }

    /// A command as clients send it.
    fn of_command(command: &Document) -> io::Result<Message> {
        let command = command.to_vec().map_err(io::Error::other)?;
        let length = i32::try_from(BEFORE_COMMAND + command.len()).map_err(io::Error::other)?;
        let mut message = Vec::new();
        for number in [length, 1, 0, OP_MSG, 0] {
            message.extend(number.to_le_bytes());
        }
        message.push(0);
        message.extend(command);
        Ok(Message(message))
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    pub(crate) fn request_id(&self) -> i32 {
        self.number(4)
    }

    /// The request that this message answers.
    pub(crate) fn response_to(&self) -> i32 {
        self.number(8)
    }

    fn number(&self, at: usize) -> i32 {
        let bytes = self.0[at..at + 4].try_into().expect("a header is long enough");
        i32::from_le_bytes(bytes)
    }

    /// The command's name, and the collection if its value is one.
    pub(crate) fn command(&self) -> Option<(&str, Option<&str>)> {
        let (name, value) = self.document()?.iter().next()?.ok()?;
        Some((name.as_str(), value.as_str()))
    }

    /// The command or reply without the sequences of documents that may stand beside it.
    fn document(&self) -> Option<&RawDocument> {
        if self.number(12) != OP_MSG || *self.0.get(BEFORE_COMMAND - 1)? != 0 {
            return None;
        }
        let document = &self.0[BEFORE_COMMAND..];
        let length = i32::from_le_bytes(document.get(..4)?.try_into().ok()?);
        RawDocument::from_bytes(document.get(..usize::try_from(length).ok()?)?).ok()
    }

    /// Whether a member of a replica set begins a connection so: its `hello` says that it is one.
    pub(crate) fn is_hello_of_member(&self) -> bool {
        const WORD: &[u8] = b"internalClient\0";
        self.0.windows(WORD.len()).any(|window| window == WORD)
    }
}

/// Runs a command on the database `admin` of the server at `port`, on a connection of its own.
///
/// Connecting, sending and every wait for an answer may take up to `limit`.
pub(crate) fn ask(port: u16, command: &Document, limit: Duration) -> io::Result<Document> {
    let mut command = command.clone();
    command.insert("$db", "admin");
    let mut server = TcpStream::connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)), limit)?;
    server.set_read_timeout(Some(limit))?;
    server.set_write_timeout(Some(limit))?;
    server.write_all(Message::of_command(&command)?.bytes())?;
    let reply = Message::read_blocking(&mut server)?;
    let reply = reply.document().ok_or_else(|| io::Error::other("the reply is none"))?;
    let reply = Document::try_from(reply).map_err(io::Error::other)?;
    // A write that a majority has not confirmed says so beside its success.
    let is_done = reply.get_f64("ok").is_ok_and(|ok| ok == 1.0) && !reply.contains_key("writeConcernError");
    if is_done { Ok(reply) } else { Err(io::Error::other(reply.to_string())) }
}

#[cfg(test)]
mod tests {
    use mongodb::bson::doc;

    use super::*;

    fn message(command: &Document) -> Message {
        Message::of_command(command).expect("a small document")
    }

    #[test]
    fn a_command_is_known_by_its_first_field() {
        let update = message(&doc! { "update": "codes", "find": "other" });
        assert_eq!(update.command(), Some(("update", Some("codes"))));
        assert_eq!(message(&doc! { "ping": 1 }).command(), Some(("ping", None)));
    }

    #[test]
    fn a_command_is_known_with_a_sequence_of_documents_behind_it() {
        let mut update = message(&doc! { "update": "codes" });
        update.0.extend(b"\x01sequence");
        assert_eq!(update.command(), Some(("update", Some("codes"))));
    }

    #[test]
    fn a_member_is_known_by_its_hello() {
        let member = doc! { "hello": 1, "internalClient": { "minWireVersion": 0, "maxWireVersion": 17 } };
        assert!(message(&member).is_hello_of_member());
        assert!(!message(&doc! { "hello": 1, "client": {} }).is_hello_of_member());
    }
}
