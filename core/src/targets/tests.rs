//! Targets: what is read, what each refusal says. The long lists are in the test suite.

use super::*;

fn malformed(url: &str) -> &'static str {
    match check(url, true) {
        Err(Malformed(why)) => why,
        other => panic!("{url}: {other:?}"),
    }
}

fn forbidden(url: &str) -> String {
    assert!(check(url, true).is_ok(), "{url}");
    match check(url, false) {
        Err(forbidden @ TargetError::Forbidden(_)) => forbidden.to_string(),
        other => panic!("{url}: {other:?}"),
    }
}

#[test]
fn a_url_is_taken_apart_and_put_together() {
    let target = check("HTTPS://Hooks.Example.COM:443/A/b?c=%2F#".trim_end_matches('#'), false);
    let target = target.unwrap();
    assert_eq!(target.host, Host::Name("hooks.example.com".into()));
    assert_eq!((target.tls, target.port, target.path.as_str()), (true, 443, "/A/b?c=%2F"));
    for (url, called) in [
        ("https://hooks.example.com:443/A", "https://hooks.example.com/A"),
        ("http://hooks.example.com", "http://hooks.example.com/"),
        ("http://hooks.example.com?a[]=1", "http://hooks.example.com/?a[]=1"),
        ("http://hooks.example.com:443/", "http://hooks.example.com:443/"),
        ("https://8.8.8.8:80/", "https://8.8.8.8:80/"),
        ("https://[2606:4700:0:0::1111]:8443/", "https://[2606:4700::1111]:8443/"),
        ("https://xn--mnchen-3ya.example.com/", "https://xn--mnchen-3ya.example.com/"),
    ] {
        assert_eq!(check(url, false).unwrap().url(), called);
    }
}

#[test]
fn what_is_malformed_says_why() {
    for (url, why) in [
        ("", "begin with `http://`"),
        ("ftp://example.com/", "begin with `http://`"),
        ("http:/example.com/", "begin with `http://`"),
        ("http://", "have a host"),
        ("http:///path", "have a host"),
        ("http://:80/", "have a host"),
        ("http://example.com/ä", "visible ASCII"),
        ("http://example.com/a b", "visible ASCII"),
        ("http://exam\tple.com/", "visible ASCII"),
        ("http://example.com\\@127.0.0.1/", "a backslash"),
        ("http://example.com/#a", "a fragment"),
        ("http://u:p@example.com/", "a user name"),
        ("http://@example.com/", "a user name"),
        ("http://example.com:/", "a port from 1"),
        ("http://example.com:0/", "a port from 1"),
        ("http://example.com:65536/", "a port from 1"),
        ("http://example.com:+80/", "a port from 1"),
        ("http://example.com:80:80/", "a port from 1"),
        ("http://example.com./", "ends in a dot"),
        ("http://exa%6dple.com/", "labels of 1 to 63"),
        ("http://a_b.example.com/", "labels of 1 to 63"),
        ("http://-a.example.com/", "labels of 1 to 63"),
        ("http://a..example.com/", "labels of 1 to 63"),
        ("http://2130706433/", "four plain decimal numbers"),
        ("http://0x7f.1/", "four plain decimal numbers"),
        ("http://0177.0.0.1/", "four plain decimal numbers"),
        ("http://127.1/", "four plain decimal numbers"),
        ("http://example.0x/", "four plain decimal numbers"),
        ("http://[::1/", "close the bracket"),
        ("http://[fe80::1%25eth0]/", "without a zone"),
        ("http://[::1]80/", "nothing but a port"),
        ("http://example.com/%zz", "percent-encoded"),
        ("http://example.com/%2", "percent-encoded"),
        ("http://example.com/<a>", "percent-encoded"),
        ("http://example.com/a/../b", "as a part of its path"),
        ("http://example.com/a/.%2E", "as a part of its path"),
    ] {
        assert!(malformed(url).contains(why), "{url}: {}", malformed(url));
    }
    let long = |label: usize, labels: usize| {
        let name = alloc::vec!["a".repeat(label); labels].join(".");
        format!("https://{name}.com/")
    };
    assert!(check(&long(63, 3), false).is_ok());
    assert!(malformed(&long(64, 1)).contains("1 to 63"));
    assert!(malformed(&long(63, 4)).contains("253"));
    let padded = |length: usize| format!("{:a<length$}", "https://example.com/");
    assert!(check(&padded(URL_BYTES_MAX), false).is_ok());
    assert!(malformed(&padded(URL_BYTES_MAX + 1)).contains("2048"));
}

#[test]
fn what_is_forbidden_says_what_it_is() {
    for (url, why) in [
        ("http://127.0.0.1:9/", "forbidden target: 127.0.0.1 is a loopback address"),
        ("http://[::1]/", "forbidden target: ::1 is a loopback address"),
        ("http://10.0.0.1/", "forbidden target: 10.0.0.1 is a private address"),
        ("http://localhost/", "forbidden target: localhost is this machine"),
        ("http://A.LOCALHOST/", "forbidden target: a.localhost is this machine"),
        (
            "http://redis:6379/",
            "forbidden target: redis is a name without a domain, which only a local network knows",
        ),
    ] {
        assert_eq!(forbidden(url), why);
    }
    assert!(forbidden("http://169.254.169.254/").contains("metadata"));
    assert!(forbidden("http://home.arpa/").contains("home network"));
    // Neither of these is one.
    for url in ["https://localhost.example.com/", "https://arpa.example.org", "https://a.home.de/"]
    {
        assert!(check(url, false).is_ok(), "{url}");
    }
}

#[test]
fn settings_of_a_log_say_when_inside_is_allowed() {
    assert!(allow_private(r#"{"idempotencyDays":7,"allowPrivateCallbacks":true}"#));
    for settings in ["", "{}", r#"{"allowPrivateCallbacks":false}"#, r#"{"idempotencyDays":7}"#] {
        assert!(!allow_private(settings), "{settings}");
    }
}
