//! Who we are at AWS is found out as AWS's own tools do, and secrets that AWS keeps go nowhere but into connections.

use crate::harness::{Place, Ran};
use selvedge_servers::{Bulk, FakeSearch, OBJECTS_KEY, OBJECTS_SECRET, moto, objects};

const PLANTED: &str = "planted/key+of=search";

fn run(place: &Place, words: &[&str], profile: &str, url: &str) -> Ran {
    let running = place.start_with(words, |command| {
        for name in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_REGION"] {
            command.env_remove(name);
        }
        command.env("AWS_CONFIG_FILE", place.path("aws-config")).env("AWS_SHARED_CREDENTIALS_FILE", "/nowhere");
        command.env("AWS_EC2_METADATA_DISABLED", "true").env("AWS_PROFILE", profile);
        command.env("AWS_ENDPOINT_URL_SECRETS_MANAGER", url).env("AWS_ENDPOINT_URL_SSM", url);
    });
    running.wait()
}

#[test]
fn credentials_come_from_a_profile_and_secrets_from_aws() {
    let place = Place::with(
        r#"Graph(name: "g", nodes: {
            "from": Files(connection: "here", path: "rows.csv", format: Csv()),
            "lake": Files(input: "from", connection: "lake", path: "rows", format: Parquet()),
            "search": Search(input: "from", connection: "search", index: "rows"),
        })"#,
    );
    place.write("rows.csv", "a,b\n1,x\n2,y\n");
    moto().call(
        "secretsmanager.CreateSecret",
        &format!(
            r#"{{"Name": "e2e/search", "SecretString": "{{\"key\": \"{PLANTED}\"}}", "ClientRequestToken": "{}"}}"#,
            "0".repeat(32)
        ),
    );
    moto().call("AmazonSSM.PutParameter", r#"{"Name": "/e2e/region", "Value": "us-east-1", "Type": "String"}"#);
    let search = FakeSearch::start(Some(&format!("ApiKey {PLANTED}")), 1 << 20, |_| Bulk::Pass);
    let connections = |name: &str| {
        format!(
            r#"Connections(profiles: {{"local": {{
                "here": Folder(path: "."),
                "lake": ObjectStore(url: "{}", endpoint: "{}", region: "${{secret:ssm:/e2e/region}}"),
                "search": Elasticsearch(url: "{}", auth: ApiKey("${{secret:secretsmanager:{name}}}")),
            }}}})"#,
            objects().url(),
            objects().endpoint(),
            search.url()
        )
    };
    place.write("connections.ron", connections("e2e/search#key"));
    place.write(
        "keys.sh",
        format!(r#"printf '{{"Version": 1, "AccessKeyId": "{OBJECTS_KEY}", "SecretAccessKey": "{OBJECTS_SECRET}"}}'"#),
    );
    place.write(
        "aws-config",
        format!(
            "[profile right]\nregion = eu-west-1\ncredential_process = /bin/sh {}\n\
             [profile wrong]\nregion = eu-west-1\naws_access_key_id = {OBJECTS_KEY}\naws_secret_access_key = other\n\
             [profile nobody]\nregion = eu-west-1\n",
            place.path("keys.sh").display()
        ),
    );
    let url = moto().url();
    for words in
        [&["doctor", "graph.ron"][..], &["plan", "graph.ron"], &["run", "graph.ron", "--report", "report.json"]]
    {
        let ran = run(&place, words, "right", &url).code(0);
        assert!(!ran.to_string().contains(PLANTED) && !ran.to_string().contains(OBJECTS_SECRET), "{ran}");
    }
    let report = std::fs::read_to_string(place.path("report.json")).unwrap();
    assert!(!report.contains(PLANTED) && !report.contains(OBJECTS_SECRET), "{report}");
    assert_eq!(search.documents("rows").len(), 2);

    // What is wrong is told where it stands, before a row moves, and with a way out.
    run(&place, &["doctor", "graph.ron"], "wrong", &url).code(2).prints("FAILED  lake").prints("check access_key");
    let ran = run(&place, &["check", "graph.ron"], "nobody", &url).code(2);
    ran.says("no AWS credentials").says("aws sso login");
    place.write("connections.ron", connections("e2e/other"));
    let ran = run(&place, &["check", "graph.ron"], "right", &url).code(2);
    ran.says("cannot read the secret `secretsmanager:e2e/other`")
        .says("ResourceNotFoundException")
        .says("connections.ron:4");
    // A service that is not there is no reason to wait for ever, or to go on.
    place.write("connections.ron", connections("e2e/gone"));
    let ran = run(&place, &["check", "graph.ron"], "right", "http://127.0.0.1:1").code(2);
    ran.says("asking http://127.0.0.1:1/");
}
