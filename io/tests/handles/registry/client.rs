//! What the client sends, and what it makes of answers.

use std::io::Write;
use std::iter;
use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

use slotflow::io::schema_registry::{Reference, Schema, SchemaRegistry, SchemaType};

use super::{Server, missing, schema};

#[test]
fn a_schema_is_asked_for_once_by_all_clones() {
    let server = Server::start(|line| match line {
        "GET /schemas/ids/7" => schema(r#""long""#, ""),
        "GET /schemas/ids/8" => schema("syntax = \"proto3\";", r#", "schemaType": "PROTOBUF", "more": [1]"#),
        _ => missing(),
    });
    let registry = server.client();
    assert_eq!(registry.schema(7).unwrap(), Some(Schema::avro("\"long\"")));
    assert_eq!(registry.clone().schema(7).unwrap(), Some(Schema::avro("\"long\"")));
    assert_eq!(registry.schema(8).unwrap(), Some(Schema::protobuf("syntax = \"proto3\";")));
    assert_eq!((registry.schema(9).unwrap(), registry.schema(9).unwrap()), (None, None));
    let asked = ["/schemas/ids/7", "/schemas/ids/8", "/schemas/ids/9", "/schemas/ids/9"];
    assert_eq!(server.lines(), asked.map(|path| format!("GET {path}")), "what is missing may come");
}

#[test]
fn schemas_are_registered_and_looked_up_under_their_subject() {
    let registered = r#"{"subject": "s", "version": 3, "id": 7, "schema": "\"long\""}"#;
    let server = Server::start(move |line| match line {
        "POST /subjects/a%2Fb-value/versions" => (200, r#"{"id": 7}"#.into()),
        "POST /subjects/s" | "GET /subjects/s/versions/latest" => (200, registered.into()),
        "POST /subjects/conflict/versions" => {
            (409, r#"{"error_code": 409, "message": "incompatible"}"#.into())
        }
        _ => (404, r#"{"error_code": 40401, "message": "Subject not found"}"#.into()),
    });
    let registry = server.client().basic_auth("trades", "s3cret");
    let (long, name) = (Schema::avro("\"long\""), "other.proto".into());
    let references = vec![Reference { name, subject: "other".into(), version: 2 }];
    let proto = Schema { references, ..Schema::protobuf("import \"other.proto\";") };
    assert_eq!(registry.register("a/b-value", &long).unwrap(), 7);
    assert_eq!(registry.register("a/b-value", &proto).unwrap(), 7);
    let found = registry.lookup("s", &long).unwrap().unwrap();
    assert_eq!((found.id, found.version, found.schema.schema_type), (7, 3, SchemaType::Avro));
    assert_eq!(registry.latest("s").unwrap(), Some(found));
    assert_eq!((registry.latest("t").unwrap(), registry.lookup("t", &long).unwrap()), (None, None));
    let error = registry.register("conflict", &long).unwrap_err().to_string();
    assert!(error.contains("409 Conflict, 409 \"incompatible\""), "{error}");
    assert!(registry.register("nowhere", &long).is_err());

    let asked = server.asked.lock().unwrap().clone();
    assert_eq!(asked[0].authorization.as_deref(), Some("Basic dHJhZGVzOnMzY3JldA=="));
    assert_eq!(asked[0].content_type.as_deref(), Some("application/vnd.schemaregistry.v1+json"));
    assert_eq!(asked[0].body, r#"{"schema":"\"long\""}"#, "an old registry knows no types");
    let with_reference = concat!(
        r#"{"schemaType":"PROTOBUF","schema":"import \"other.proto\";","#,
        r#""references":[{"name":"other.proto","subject":"other","version":2}]}"#
    );
    assert_eq!(asked[1].body, with_reference);
}

#[test]
fn a_registry_that_is_not_well_is_asked_again_and_one_that_refuses_is_not() {
    let tries = AtomicUsize::new(0);
    let server = Server::start(move |line| match line {
        "GET /schemas/ids/1" => match tries.fetch_add(1, Ordering::Relaxed) {
            0 => (503, "away".into()),
            1 => (429, String::new()),
            _ => schema("\"long\"", ""),
        },
        "GET /schemas/ids/2" => (500, r#"{"error_code": 50001, "message": "no store"}"#.into()),
        "GET /schemas/ids/3" => (401, r#"{"error_code": 401, "message": "Unauthorized"}"#.into()),
        "GET /schemas/ids/4" => (200, "<html>".into()),
        _ => (404, "<html>".into()),
    });
    let registry = server.client().retry(3, 0);
    assert_eq!(registry.schema(1).unwrap(), Some(Schema::avro("\"long\"")));
    assert_eq!(server.lines().len(), 3);
    let error = |id| registry.schema(id).unwrap_err().to_string();
    let away = error(2);
    assert!(
        away.contains("does not answer, asked 3 times: 500 Internal Server Error, 50001 \"no store\""),
        "{away}"
    );
    assert!(away.contains(".retry(..), now 3 and 0 ms"), "{away}");
    assert_eq!(server.lines().len(), 6);
    let refused = error(3);
    assert!(refused.contains("refuses /schemas/ids/3: 401 Unauthorized, 401 \"Unauthorized\""), "{refused}");
    assert!(error(4).contains("its answer is not what a registry says"), "{}", error(4));
    assert!(error(5).contains("404 Not Found"), "another server's 404 is no missing schema: {}", error(5));
}

#[test]
fn a_registry_that_is_not_there_or_never_answers_is_named() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let registry = SchemaRegistry::new(format!("http://{nobody}/")).retry(2, 0);
    let error = registry.schema(1).unwrap_err().to_string();
    assert!(
        error.starts_with(&format!("schema registry http://{nobody} does not answer, asked 2 times")),
        "{error}"
    );

    let (let_go, held) = mpsc::channel::<()>();
    let server = Server::start(move |_| {
        let _gone = held.recv();
        missing()
    });
    let error = server.client().timeout_ms(1).schema(1).unwrap_err().to_string();
    assert!(error.contains("timeout"), "{error}");
    drop(let_go);

    for (url, reason) in [("no url", "refuses"), ("ftp://a", "refuses"), ("", "refuses")] {
        let error = SchemaRegistry::new(url).retry(1, 0).schema(1).unwrap_err().to_string();
        assert!(error.contains(reason), "{url:?}: {error}");
    }
}

#[test]
fn an_answer_without_an_end_takes_no_longer_than_an_attempt_may() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let registry = SchemaRegistry::new(format!("http://{}", listener.local_addr().unwrap()));
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut bytes =
            b"HTTP/1.1 200 OK\r\nContent-Length: 15000000\r\n\r\n".iter().chain(iter::repeat(&b' '));
        while stream.write_all(&[*bytes.next().unwrap()]).is_ok() {}
    });
    let error = registry.timeout_ms(50).retry(1, 0).schema(1).unwrap_err().to_string();
    assert!(error.contains("timeout"), "{error}");
    server.join().unwrap();
}

#[cfg(not(feature = "schema-registry-tls"))]
#[test]
fn https_names_the_feature_that_it_needs() {
    let error = SchemaRegistry::new("https://127.0.0.1:1").retry(1, 0).schema(1).unwrap_err().to_string();
    assert!(error.contains("https needs the feature schema-registry-tls"), "{error}");
}

#[cfg(feature = "schema-registry-tls")]
#[test]
fn certificates_that_cannot_be_read_are_named() {
    let folder = crate::folder::Folder::new("certificates");
    let empty = folder.write("empty.pem", "no certificate");
    let error = |file: &str| {
        SchemaRegistry::new("https://127.0.0.1:1").ca_file(file).schema(1).unwrap_err().to_string()
    };
    let none = error(&folder.file("none.pem"));
    assert!(none.contains("none.pem: No such file"), "{none}");
    assert!(error(&empty).contains("empty.pem: it holds none"), "{}", error(&empty));
}

#[test]
fn no_text_holds_what_is_secret() {
    let registry = SchemaRegistry::new("http://me:cana/ry:canary@127.0.0.1:1/x").retry(1, 0);
    let error = registry.schema(1).unwrap_err().to_string();
    assert!(error.contains("give it by .basic_auth(..)"), "{error}");
    let with =
        [registry.clone(), registry.clone().basic_auth("me", "canary"), registry.bearer_token("canary")];
    let texts = with.map(|registry| format!("{registry:?} {}", registry.schema(1).unwrap_err()));
    for text in texts {
        assert!(text.contains("127.0.0.1:1") && !text.contains("cana"), "{text}");
    }
    let unspeakable = SchemaRegistry::new("http://127.0.0.1:1").retry(1, 0).bearer_token("canary\n");
    let error = unspeakable.schema(1).unwrap_err().to_string();
    assert!(error.contains("refuses") && !error.contains("canary"), "{error}");
}
