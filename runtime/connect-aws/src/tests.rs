//! What AWS keeps, out of an emulator.

use crate::{identity, secret, signed};
use selvedge_connect::wait;
use selvedge_servers::moto;
use std::sync::Once;

/// The environment of this test program, set before anything reads it.
fn ready() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let file = tempfile::NamedTempFile::new().unwrap().into_temp_path().keep().unwrap();
        let script = "printf '{\"Version\":1,\"AccessKeyId\":\"AKPROCESS\",\"SecretAccessKey\":\"planted\",\"SessionToken\":\"tok\"}'";
        let shell = file.with_extension("sh");
        std::fs::write(&shell, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::write(
            &file,
            format!(
                "[default]\nregion = eu-west-1\naws_access_key_id = AKFILE\naws_secret_access_key = planted\n\
                 [profile made]\nregion = eu-central-1\ncredential_process = /bin/sh {}\n[profile empty]\nregion = eu-west-3\n",
                shell.display()
            ),
        )
        .unwrap();
        // SAFETY: no other thread of this program reads the environment before this.
        unsafe {
            std::env::set_var("AWS_CONFIG_FILE", &file);
            std::env::set_var("AWS_SHARED_CREDENTIALS_FILE", "/nowhere");
            std::env::set_var("AWS_EC2_METADATA_DISABLED", "true");
        }
    });
}

fn env(name: &str) -> Option<String> {
    (name == "AWS_ENDPOINT_URL").then(|| moto().url())
}

fn told(name: &str) -> String {
    match secret(name, &env).unwrap() {
        Ok(text) => text,
        Err(e) => format!("{} ({})", e.message, e.help.unwrap_or_default()),
    }
}

#[test]
fn profiles_say_who_we_are() {
    ready();
    let keys = |profile: Option<&str>| {
        let who = identity(profile).unwrap();
        let region = who.region().unwrap_or_default().to_string();
        wait(who.credentials())
            .unwrap()
            .map(|c| format!("{} in {region}", c.access_key_id()))
            .map_err(|e| e.to_string())
    };
    assert_eq!(keys(None).unwrap(), "AKFILE in eu-west-1");
    assert_eq!(keys(Some("made")).unwrap(), "AKPROCESS in eu-central-1");
    let e = keys(Some("empty")).unwrap_err();
    assert!(e.contains("no AWS credentials for the profile `empty`"), "{e}");
}

#[test]
fn a_signature_says_who_and_what_but_no_secret() {
    ready();
    let who = identity(Some("made")).unwrap();
    let to = ("POST", "https://search.eu-central-1.es.amazonaws.com/_bulk?filter_path=errors,items.*.status");
    let headers = wait(signed(&who, ("eu-central-1", "es"), to, &[("content-type", "application/x-ndjson")], b"{}\n"));
    let headers = headers.unwrap().unwrap();
    let find = |name: &str| headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.clone()).unwrap_or_default();
    let told = find("authorization");
    assert!(
        told.starts_with("AWS4-HMAC-SHA256 Credential=AKPROCESS/") && told.contains("/eu-central-1/es/aws4_request"),
        "{told}"
    );
    assert!(told.contains("content-type") && !told.contains("planted"), "{told}");
    // printf '{}\n' | sha256sum
    assert_eq!(find("x-amz-content-sha256"), "ca3d163bab055381827226140568f3bef7eaac187cebd76878e0b63e9e442356");
    assert_eq!(find("x-amz-security-token"), "tok");
}

#[test]
fn secrets_come_from_the_emulator() {
    ready();
    moto().call("secretsmanager.CreateSecret", r#"{"Name": "prod/retail", "SecretString": "{\"user\": \"etl\", \"port\": 5439}", "ClientRequestToken": "0123456789012345678901234567890123"}"#);
    moto().call(
        "AmazonSSM.PutParameter",
        r#"{"Name": "/prod/search", "Value": "key-of-search", "Type": "SecureString"}"#,
    );
    assert_eq!(told("ssm:/prod/search"), "key-of-search");
    assert_eq!(told("secretsmanager:prod/retail#user"), "etl");
    assert_eq!(told("secretsmanager:prod/retail#port"), "5439");
    assert_eq!(told("secretsmanager:prod/retail"), r#"{"user": "etl", "port": 5439}"#);
    assert_eq!(told("secretsmanager:prod/retail#password"), "its JSON has no key `password` ()");
    assert!(
        told("secretsmanager:prod/other").contains("ResourceNotFoundException"),
        "{}",
        told("secretsmanager:prod/other")
    );
    assert!(told("ssm:/none").contains("check its name"), "{}", told("ssm:/none"));
    assert!(secret("retail_password", &env).is_none());
}
