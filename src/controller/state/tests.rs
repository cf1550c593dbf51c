//! What is written is read again, and nothing else is believed.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::controller::manifest::read_world;
use crate::controller::translate::translate;
use crate::controller::world::ClassSettings;

const MANIFEST: &str = r#"
kind: GatewayRoute
metadata: {name: a, namespace: shop, uid: u1, generation: 3, creationTimestamp: "2026-01-01T00:00:00Z"}
spec: {routes: [{hosts: [a.example.com], backends: [{service: {name: web, port: 80}}]}]}
status: {observedGeneration: 3}
---
kind: Service
metadata: {name: web, namespace: shop, uid: s1}
spec: {selector: {app: web}, ports: [{port: 80}]}
---
kind: EndpointSlice
metadata: {name: web-1, namespace: shop, uid: e1, labels: {kubernetes.io/service-name: web}}
addressType: IPv4
ports: [{port: 8080}]
endpoints: [{addresses: [10.0.0.1]}]
"#;

/// A directory that goes away with the test.
struct Directory(PathBuf);

impl Directory {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("sluice-state-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        Self(path)
    }

    fn settings(&self) -> StateSettings {
        StateSettings::new(&self.0, "sluice", &[])
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn objects() -> Vec<Object> {
    read_world(MANIFEST, ClassSettings::default()).unwrap().objects()
}

fn write(settings: &StateSettings, at: SystemTime) {
    file::replace(&settings.path, |out| format::encode(out, settings, &objects(), at)).unwrap();
}

fn at(second: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(second)
}

#[test]
fn what_was_kept_is_served_as_it_was() {
    let directory = Directory::new("round-trip");
    let settings = directory.settings();
    assert!(load(&settings, at(0)).unwrap().is_none());
    write(&settings, at(1000));
    let stored = load(&settings, at(1060)).unwrap().unwrap();
    assert_eq!(stored.written, at(1000));
    let before = translate(&read_world(MANIFEST, ClassSettings::default()).unwrap());
    let after = translate(&stored.fill(World::default()));
    assert_eq!(after.gateway, before.gateway);
    assert_eq!(after.gateway.upstreams[0].endpoints.len(), 1);
}

#[test]
fn only_its_owner_may_read_it_and_nothing_else_stays() {
    let directory = Directory::new("mode");
    let settings = directory.settings();
    // Left by a process that died: a link somewhere else is not followed.
    fs::create_dir_all(&directory.0).unwrap();
    write(&settings, at(1000));
    write(&settings, at(2000));
    let files: Vec<_> = fs::read_dir(&directory.0).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(files, ["sluice-sluice.state"]);
    assert_eq!(fs::metadata(&settings.path).unwrap().permissions().mode() & 0o777, 0o600);
    fs::set_permissions(&settings.path, fs::Permissions::from_mode(0o602)).unwrap();
    assert!(matches!(load(&settings, at(2000)), Err(StateError::WritableByOthers(0o602))));
}

#[test]
fn a_file_that_was_cut_off_anywhere_is_refused() {
    let directory = Directory::new("cut");
    let settings = directory.settings();
    write(&settings, at(1000));
    let whole = fs::read(&settings.path).unwrap();
    for length in 0..whole.len() {
        assert!(format::decode(&whole[..length], &settings, at(1000)).is_err(), "{length} bytes of {}", whole.len());
    }
    assert!(format::decode(&whole, &settings, at(1000)).is_ok());
}

#[test]
fn a_file_with_one_altered_byte_is_refused() {
    let directory = Directory::new("altered");
    let settings = directory.settings();
    write(&settings, at(1000));
    let whole = fs::read(&settings.path).unwrap();
    for place in 0..whole.len() {
        let mut altered = whole.clone();
        altered[place] ^= 1;
        let outcome = format::decode(&altered, &settings, at(1000));
        assert!(outcome.is_err(), "byte {place}: {:?}", outcome.map(|stored| stored.objects.len()));
    }
}

#[test]
fn what_was_written_too_long_ago_or_for_others_is_refused() {
    let directory = Directory::new("others");
    let settings = directory.settings();
    write(&settings, at(1000));
    let later = at(1000) + MAX_AGE + Duration::from_secs(1);
    assert!(matches!(load(&settings, later), Err(StateError::TooOld(_))));
    // A clock that was put back.
    assert!(load(&settings, at(0)).unwrap().is_some());
    let other = StateSettings { class: "other".to_owned(), ..settings.clone() };
    assert!(matches!(load(&other, at(1000)), Err(StateError::OfAnother { .. })));
    let narrow = StateSettings { namespaces: vec!["shop".to_owned()], ..settings };
    assert!(matches!(load(&narrow, at(1000)), Err(StateError::OfAnother { .. })));
}

#[test]
fn another_format_is_refused_by_its_number() {
    let settings = StateSettings::new(Path::new("/"), "sluice", &[]);
    let text = "{\"sluiceState\":9}\n";
    let sum = text
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    let whole = format!("{text}{{\"end\":{{\"bytes\":{},\"checksum\":\"{sum:016x}\"}}}}\n", text.len());
    let refused = format::decode(whole.as_bytes(), &settings, at(0));
    assert!(matches!(refused, Err(StateError::OtherFormat(9))), "{refused:?}");
}

#[test]
fn a_directory_that_is_shared_keeps_classes_apart() {
    let path = |class: &str| StateSettings::new(Path::new("/state"), class, &[]).path;
    assert_eq!(path("edge"), Path::new("/state/sluice-edge.state"));
    assert_eq!(path("../../etc/x"), Path::new("/state/sluice-.._.._etc_x.state"));
}
