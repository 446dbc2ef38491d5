//! Frames of the binary protocol: a VLQ length, then that number of bytes of content
//! (PEER-PROTOCOL, section 2).

use bytes::{Buf, Bytes, BytesMut};
use cad3::vlq;
use tokio_util::codec::Decoder;

use crate::failure::{Failure, FailureReason};

/// Maximum size of a frame length in bytes: peers accept contents of up to 50,000,000 bytes.
const MAX_LENGTH_BYTES: usize = 4;

/// Splits a stream of bytes into the contents of frames. A length above the maximum is an error
/// before any of the content is received.
#[derive(Debug)]
pub struct FrameDecoder {
    max_content: usize,
    /// Length of the content that is being received, if the length itself is complete.
    expected: Option<usize>,
}

impl FrameDecoder {
    /// Creates a decoder that accepts contents of up to `max_content` bytes.
    #[must_use]
    pub fn new(max_content: usize) -> Self {
        Self {
            max_content,
            expected: None,
        }
    }

    /// Reads the length of the next frame, or returns `None` if it is incomplete.
    fn read_length(&self, buffer: &mut BytesMut) -> Result<Option<usize>, Failure> {
        let head = &buffer[..buffer.len().min(MAX_LENGTH_BYTES)];
        let Some(end) = head.iter().position(|byte| byte & 0x80 == 0) else {
            if head.len() == MAX_LENGTH_BYTES {
                return Err(Failure::new(
                    FailureReason::Malformed,
                    format!(
                        "frame length of more than {MAX_LENGTH_BYTES} bytes: {}",
                        hex::encode(head)
                    ),
                ));
            }
            return Ok(None);
        };
        let (length, used) = vlq::read(&head[..=end]).map_err(|error| {
            Failure::new(
                FailureReason::Malformed,
                format!("the frame length is invalid: {error}"),
            )
        })?;
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if length > self.max_content {
            return Err(Failure::new(
                FailureReason::TooLarge,
                format!(
                    "frame of {length} bytes, at most {} are accepted",
                    self.max_content
                ),
            ));
        }
        buffer.advance(used);
        Ok(Some(length))
    }
}

impl Decoder for FrameDecoder {
    type Item = Bytes;
    type Error = FrameError;

    fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<Bytes>, FrameError> {
        let expected = match self.expected {
            Some(expected) => expected,
            None => match self.read_length(buffer)? {
                Some(length) => *self.expected.insert(length),
                None => return Ok(None),
            },
        };
        if buffer.len() < expected {
            // The buffer grows only with received bytes, so an announced length alone takes no
            // memory.
            return Ok(None);
        }
        self.expected = None;
        Ok(Some(buffer.split_to(expected).freeze()))
    }
}

/// Error of a stream of frames.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// The connection failed.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// The bytes are not frames, or a frame is too large.
    #[error(transparent)]
    Protocol(#[from] Failure),
}

impl From<FrameError> for Failure {
    fn from(error: FrameError) -> Self {
        match error {
            FrameError::Io(error) => Self::from_io(&error),
            FrameError::Protocol(failure) => failure,
        }
    }
}

/// Appends a frame with this content to `buffer`.
pub fn put_frame(buffer: &mut Vec<u8>, content: &[u8]) {
    vlq::write(content.len() as u64, buffer);
    buffer.extend_from_slice(content);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode_all(bytes: &[u8], step: usize) -> Result<Vec<Bytes>, FailureReason> {
        let mut decoder = FrameDecoder::new(300);
        let mut buffer = BytesMut::new();
        let mut frames = Vec::new();
        for chunk in bytes.chunks(step) {
            buffer.extend_from_slice(chunk);
            while let Some(frame) = decoder
                .decode(&mut buffer)
                .map_err(|e| Failure::from(e).reason)?
            {
                frames.push(frame);
            }
        }
        Ok(frames)
    }

    #[test]
    fn frames_are_found_in_pieces_of_any_size() {
        let mut bytes = Vec::new();
        for content in [&[1_u8][..], &[7; 300], &[]] {
            put_frame(&mut bytes, content);
        }
        for step in 1..=bytes.len() {
            let lengths: Vec<usize> = decode_all(&bytes, step)
                .unwrap()
                .iter()
                .map(Bytes::len)
                .collect();
            assert_eq!(lengths, [1, 300, 0], "pieces of {step} bytes");
        }
    }

    #[test]
    fn an_invalid_length_is_refused_before_its_content_arrives() {
        assert_eq!(
            decode_all(&[0x82, 0x2d], 1),
            Err(FailureReason::TooLarge),
            "301 bytes"
        );
        assert_eq!(
            decode_all(&[0xff, 0xff, 0xff, 0xff, 0x7f], 1),
            Err(FailureReason::Malformed),
            "5 bytes"
        );
        assert_eq!(
            decode_all(&[0x80, 0x01, 0x00], 1),
            Err(FailureReason::Malformed),
            "not the shortest form"
        );
    }
}
