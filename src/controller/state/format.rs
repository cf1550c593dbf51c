//! The file's content: lines of JSON, so that a person can read it.
//!
//! ```text
//! {"sluiceState":1,"writtenAt":1795428000,"class":"sluice","namespaces":[],"objects":2}
//! {"kind":"Service","object":{…}}
//! {"kind":"GatewayRoute","object":{…}}
//! {"end":{"bytes":1234,"checksum":"9f0c…"}}
//! ```
//!
//! The last line is about all bytes before it. Its checksum (FNV-1a, 64 bits) sees accidents: every altered byte
//! changes it, as each step is a bijection. It is no signature, and is not meant to be one: who may write the file may
//! also write its checksum, which is why its mode is looked at. Written as a stream, so it costs no second copy of
//! everything in memory.

use std::io::{self, Write};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{MAX_AGE, StateError, StateSettings, Stored};
use crate::controller::manifest::read_object;
use crate::controller::world::Object;

/// Grows whenever an older reader would misunderstand a newer file.
pub const FORMAT: u32 = 1;
/// The kind that is read here and nowhere else.
const CONFIG_MAP: &str = "ConfigMap";

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Header {
    sluice_state: u32,
    written_at: u64,
    class: String,
    namespaces: Vec<String>,
    objects: usize,
}

#[derive(Serialize)]
struct Line<'o, T> {
    kind: &'static str,
    object: &'o T,
}

/// A custom object without what was said about it.
#[derive(Serialize)]
struct Bare<'o> {
    metadata: &'o ObjectMeta,
    spec: &'o Value,
}

#[derive(Deserialize)]
struct ReadLine {
    kind: String,
    object: Value,
}

#[derive(Debug, Serialize, Deserialize)]
struct Last {
    end: End,
}

#[derive(Debug, Serialize, Deserialize)]
struct End {
    bytes: u64,
    checksum: String,
}

/// FNV-1a.
#[derive(Clone, Copy, Debug)]
struct Checksum(u64);

impl Default for Checksum {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Checksum {
    fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn text(self) -> String {
        format!("{:016x}", self.0)
    }
}

/// Passes on what is written, and sums it.
struct Summing<W> {
    out: W,
    bytes: u64,
    checksum: Checksum,
}

impl<W: Write> Write for Summing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.out.write(bytes)?;
        self.checksum.add(bytes.get(..count).unwrap_or_default());
        self.bytes += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Writes a whole file's content.
///
/// # Errors
/// Those of `out`.
pub fn encode(out: impl Write, settings: &StateSettings, objects: &[Object], now: SystemTime) -> io::Result<()> {
    let mut out = Summing { out, bytes: 0, checksum: Checksum::default() };
    let header = Header {
        sluice_state: FORMAT,
        written_at: now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs(),
        class: settings.class.clone(),
        namespaces: settings.namespaces.clone(),
        objects: objects.len(),
    };
    line(&mut out, &header)?;
    for object in objects {
        write(&mut out, object)?;
    }
    let end = End { bytes: out.bytes, checksum: out.checksum.text() };
    line(&mut out, &Last { end })?;
    out.flush()
}

fn write(out: &mut impl Write, object: &Object) -> io::Result<()> {
    match object {
        Object::GatewayRoute(route) => {
            let bare = Bare { metadata: &route.metadata, spec: &route.spec };
            line(out, &Line { kind: "GatewayRoute", object: &bare })
        }
        Object::GatewayPolicy(policy) => {
            let bare = Bare { metadata: &policy.metadata, spec: &policy.spec };
            line(out, &Line { kind: "GatewayPolicy", object: &bare })
        }
        Object::ReferenceGrant(object) => line(out, &Line { kind: "ReferenceGrant", object: &**object }),
        Object::ConfigMap(object) => line(out, &Line { kind: CONFIG_MAP, object: &**object }),
        Object::Service(object) => line(out, &Line { kind: "Service", object: &**object }),
        Object::EndpointSlice(object) => line(out, &Line { kind: "EndpointSlice", object: &**object }),
        Object::Endpoints(object) => line(out, &Line { kind: "Endpoints", object: &**object }),
        Object::IngressClass(object) => line(out, &Line { kind: "IngressClass", object: &**object }),
    }
}

fn line(out: &mut impl Write, value: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, value)?;
    out.write_all(b"\n")
}

/// Reads a whole file's content.
///
/// # Errors
/// Everything but a good one for this instance.
pub fn decode(bytes: &[u8], settings: &StateSettings, now: SystemTime) -> Result<Stored, StateError> {
    let content = whole(bytes)?;
    let mut lines = content.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    let first: Value = serde_json::from_slice(lines.next().unwrap_or_default())?;
    let format = first.get("sluiceState").and_then(Value::as_u64).unwrap_or_default();
    if format != u64::from(FORMAT) {
        return Err(StateError::OtherFormat(u32::try_from(format).unwrap_or(u32::MAX)));
    }
    let header: Header = serde_json::from_value(first)?;
    if header.class != settings.class || header.namespaces != settings.namespaces {
        return Err(StateError::OfAnother { class: header.class, namespaces: header.namespaces });
    }
    let written = UNIX_EPOCH + Duration::from_secs(header.written_at);
    // A clock that was put back makes it younger than nothing.
    let age = now.duration_since(written).unwrap_or_default();
    if age > MAX_AGE {
        return Err(StateError::TooOld(age));
    }
    // What the file says of its own length is believed as far as the file can hold it.
    let mut objects = Vec::with_capacity(header.objects.min(content.len() / 16));
    for line in lines {
        let ReadLine { kind, object } = serde_json::from_slice(line)?;
        if kind == CONFIG_MAP {
            // Only the operator's own is ever written here; in manifests any may stand.
            objects.push(Object::ConfigMap(serde_json::from_value(object)?));
        } else {
            // A kind that we no longer know is of no use to us.
            objects.extend(read_object(&kind, object)?);
        }
    }
    Ok(Stored { objects, written })
}

/// The content without its last line, if that agrees.
fn whole(bytes: &[u8]) -> Result<&[u8], StateError> {
    let body = bytes.strip_suffix(b"\n").ok_or(StateError::NoEnd)?;
    let at = body.iter().rposition(|byte| *byte == b'\n').ok_or(StateError::NoEnd)?;
    let (content, last) = bytes.split_at(at + 1);
    let Last { end } = serde_json::from_slice(last).map_err(|_| StateError::NoEnd)?;
    let mut checksum = Checksum::default();
    checksum.add(content);
    if end.bytes != content.len() as u64 || end.checksum != checksum.text() {
        return Err(StateError::Altered);
    }
    Ok(content)
}
