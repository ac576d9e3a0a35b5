//! On a real S3 server.

use crate::connect;
use bytes::Bytes;
use selvedge_connect::store::{Over, PART, ReadAt, Store};
use selvedge_node::{Connection, Span};
use selvedge_servers::{OBJECTS_KEY, OBJECTS_SECRET, objects};
use std::io::Read;
use std::sync::Arc;

fn connection(text: &str) -> Connection {
    let body = selvedge_ron::parse(selvedge_ron::FileId(0), text).unwrap();
    Connection { name: "lake".into(), kind: "ObjectStore".into(), span: Span::default(), body, base: ".".into() }
}

fn with(url: &str, endpoint: &str, secret: &str) -> Arc<dyn Store> {
    let text = format!(
        r#"(url: "{url}", region: "us-east-1", endpoint: "{endpoint}", access_key: "{OBJECTS_KEY}", secret_key: "{secret}", retries: 2)"#
    );
    connect(&connection(&text)).unwrap().unwrap_or_else(|p| panic!("{}", p.message))
}

/// A part of a new bucket.
fn store() -> Arc<dyn Store> {
    let server = objects();
    with(&format!("{}/some/prefix/", server.url()), &server.endpoint(), OBJECTS_SECRET)
}

fn write(store: &dyn Store, name: &str, bytes: &[u8]) {
    let mut upload = store.upload(name).unwrap();
    for part in bytes.chunks(PART) {
        upload.part(Bytes::copy_from_slice(part)).unwrap();
    }
    let uploaded = upload.finish().unwrap();
    store.complete(name, &uploaded, bytes.len() as u64).unwrap();
}

fn names(store: &dyn Store, folder: &str) -> Vec<String> {
    store.list(folder).unwrap().into_iter().map(|o| o.name).collect()
}

/// Bytes that tell their place.
fn pattern(length: usize) -> Vec<u8> {
    (0..length as u32).flat_map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes()).take(length).collect()
}

#[test]
fn nobody_sees_an_upload_before_it_is_complete() {
    let store = store();
    let bytes = pattern(PART + 12_345);
    let mut upload = store.upload("a/b.parquet").unwrap();
    for part in bytes.chunks(PART) {
        upload.part(Bytes::copy_from_slice(part)).unwrap();
    }
    let uploaded = upload.finish().unwrap();
    assert_eq!(store.find("a/b.parquet").unwrap(), None);
    assert!(names(&*store, "").is_empty());
    // Another process completes it, and one that does not know of that tries again.
    for _ in 0..2 {
        store.complete("a/b.parquet", &uploaded, bytes.len() as u64).unwrap();
    }
    assert_eq!(names(&*store, ""), ["a/b.parquet"]);
    let (read, _) = store.get("a/b.parquet").unwrap().unwrap();
    assert!(read == bytes, "other bytes were read than were written");
}

#[test]
fn an_upload_that_is_given_up_leaves_nothing() {
    let store = store();
    let mut upload = store.upload("a").unwrap();
    upload.part(Bytes::from_static(b"abc")).unwrap();
    drop(upload);
    let mut upload = store.upload("b").unwrap();
    upload.part(Bytes::from_static(b"abc")).unwrap();
    let uploaded = upload.finish().unwrap();
    store.forget("b", &uploaded);
    let e = store.complete("b", &uploaded, 3).unwrap_err();
    assert!(e.message.starts_with("completing s3://tests/"), "{e}");
    assert!(names(&*store, "").is_empty());
}

#[test]
fn objects_may_be_empty() {
    let store = store();
    write(&*store, "none", b"");
    assert_eq!(store.find("none").unwrap().unwrap().bytes, 0);
}

#[test]
fn listings_are_of_folders_and_in_order() {
    let store = store();
    let odd = ["a/k=1/x.csv", "a/k=2/x.csv", "a/über maß.csv", "a/1+1=2 & 3%.csv", "ab/x.csv", "z"];
    for name in odd {
        write(&*store, name, name.as_bytes());
    }
    let mut all = odd.to_vec();
    all.sort_unstable();
    assert_eq!(names(&*store, ""), all);
    assert_eq!(names(&*store, "a"), all.iter().filter(|n| n.starts_with("a/")).copied().collect::<Vec<_>>());
    for name in odd {
        let (bytes, _) = store.get(name).unwrap().unwrap();
        assert_eq!(bytes, name.as_bytes());
    }
    store.remove(&odd.map(String::from)).unwrap();
    store.remove(&odd.map(String::from)).unwrap();
    assert!(names(&*store, "").is_empty());
}

#[test]
fn a_small_object_is_written_over_what_is_known() {
    let store = store();
    let put =
        |text: &'static str, over: &Over| store.put("_m.json", Bytes::from_static(text.as_bytes()), over).unwrap();
    let one = put("one", &Over::Nothing).expect("there was none");
    assert_eq!(put("two", &Over::Nothing), None);
    // Whose answer got lost tries again, and finds its own.
    assert_eq!(put("one", &Over::Nothing).as_ref(), Some(&one));
    let two = put("two", &Over::Version(one.clone())).expect("it was the first");
    assert_eq!(put("three", &Over::Version(one)), None);
    assert_eq!(store.get("_m.json").unwrap().unwrap(), (Bytes::from_static(b"two"), two));
}

fn read_all(mut from: Box<dyn Read + Send>) -> std::io::Result<Vec<u8>> {
    let mut read = vec![];
    from.read_to_end(&mut read).map(|_| read)
}

#[test]
fn ranges_and_streams_are_the_objects_bytes() {
    let store = store();
    let bytes = pattern(11 << 20);
    write(&*store, "big", &bytes);
    let object = store.find("big").unwrap().unwrap();
    let open: Arc<dyn ReadAt> = store.open(&object);
    assert_eq!(open.length().unwrap(), bytes.len() as u64);
    for (from, to) in [(0, 1), (5, 5), (1 << 20, (4 << 20) + 7), ((11 << 20) - 3, 11 << 20)] {
        assert!(open.range(from as u64..to as u64).unwrap() == bytes[from..to], "{from}..{to}");
        assert!(read_all(open.clone().stream(from as u64..to as u64)).unwrap() == bytes[from..to], "{from}..{to}");
    }
    assert!(read_all(open.clone().stream(0..u64::MAX)).unwrap() == bytes);
    assert!(open.range(0..(11 << 20) + 1).is_err());
    // What is wanted soon is kept, and read from there.
    open.want(&[9 << 20..10 << 20, 0..100, 200..300]).unwrap();
    assert_eq!(open.held(), (1 << 20) + 300);
    store.remove(&["big".into()]).unwrap();
    assert!(open.range(9 << 20..10 << 20).unwrap() == bytes[9 << 20..10 << 20]);
    let mut buffer = vec![0; 500];
    assert_eq!(open.read_at(&mut buffer, 250).unwrap(), 50);
    assert!(buffer[..50] == bytes[250..300]);
    assert!(open.range(400..500).is_err());
}

#[test]
fn an_object_that_is_written_anew_is_not_mixed_with_the_old_one() {
    let store = store();
    write(&*store, "a", &pattern(1000));
    let object = store.find("a").unwrap().unwrap();
    write(&*store, "a", &pattern(1004)[4..]);
    let e = selvedge_connect::store::failed("reading", "a", &store.open(&object).range(0..10).unwrap_err());
    assert!(e.message.ends_with("/a was written anew while it was read"), "{e}");
}

#[test]
fn what_is_wrong_is_said_and_no_secret_with_it() {
    let server = objects();
    let wrong = with(&server.url(), &server.endpoint(), "another-s3cr3t").list("").unwrap_err();
    assert!(wrong.message.contains("SignatureDoesNotMatch"), "{wrong}");
    let none = with("s3://there-is-none", &server.endpoint(), OBJECTS_SECRET).list("").unwrap_err();
    assert!(none.message.contains("NoSuchBucket"), "{none}");
    let port = selvedge_servers::NOBODY;
    let nobody = with("s3://b", &format!("http://127.0.0.1:{port}"), OBJECTS_SECRET).list("").unwrap_err();
    assert!(nobody.message.contains("refused"), "{nobody}");
    assert!(nobody.retry);
    for e in [wrong, none, nobody] {
        let text = format!("{e:?} {e}");
        assert!(!text.contains("s3cr3t"), "{text}");
        assert!(e.help.is_some(), "{text}");
    }
    for (url, told) in [
        ("retail", "`retail` is no URL"),
        ("s3:///x", "`s3:///x` names no bucket"),
        ("ftp://host/x", "there is no object store of the scheme `ftp`"),
    ] {
        let problem = connect(&connection(&format!(r#"(url: "{url}")"#))).unwrap().err().unwrap();
        assert_eq!(problem.message, told);
    }
}
