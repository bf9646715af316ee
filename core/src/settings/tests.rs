//! Settings: defaults hold, bounds are inclusive, errors name what to set.

use super::*;
use alloc::vec::Vec;

fn with(
    host: HostKind,
    name: &'static str,
    value: &'static str,
) -> Result<Settings, InvalidSetting> {
    Settings::read(host, &mut |setting| (setting.name == name).then(|| value.to_string()))
}

#[test]
fn defaults_are_within_their_own_ranges() {
    for host in [HostKind::Native, HostKind::Worker] {
        let settings = Settings::read(host, &mut |_| None).unwrap();
        assert_eq!((settings.body_bytes_max, settings.batch_commands_max), (256 * 1024, 128));
        assert_eq!(settings.test_stamps, None);
    }
    let native = Settings::read(HostKind::Native, &mut |_| None).unwrap();
    assert_eq!((native.data.as_str(), native.listen.as_str()), ("./data", "127.0.0.1:3000"));
    let worker = Settings::read(HostKind::Worker, &mut |_| None).unwrap();
    assert_eq!((worker.row_cache_max, worker.guest_memory_max), (4 << 20, 24 << 20));
}

#[test]
fn every_setting_that_is_read_is_in_the_table_once() {
    let mut asked = Vec::new();
    Settings::read(HostKind::Native, &mut |setting| {
        asked.push(setting.name);
        None
    })
    .unwrap();
    let mut names: Vec<_> = TABLE.iter().map(|setting| setting.name).collect();
    asked.sort_unstable();
    names.sort_unstable();
    assert_eq!(asked, names);
}

#[test]
fn numbers_are_checked_at_below_and_above_their_bounds() {
    for setting in
        TABLE.iter().filter(|s| !matches!(s.unit, Unit::Switch | Unit::Text | Unit::Secret))
    {
        let read = |number: u64| {
            let value = number.to_string();
            Settings::read(HostKind::Native, &mut |s| {
                (s.name == setting.name).then(|| value.clone())
            })
        };
        assert!(read(setting.min).is_ok() && read(setting.max).is_ok(), "{}", setting.name);
        assert!(read(setting.max + 1).is_err(), "{}", setting.name);
        assert!(setting.min == 0 || read(setting.min - 1).is_err(), "{}", setting.name);
    }
}

#[test]
fn errors_name_flag_value_and_range() {
    let error = with(HostKind::Native, "deadline_ms", "soon").unwrap_err();
    assert_eq!(
        error.to_string(),
        "--deadline-ms (or FOLDLOG_DEADLINE_MS) is `soon`: \
         it must be a whole number from 10 to 600000 milliseconds"
    );
    let error = with(HostKind::Worker, "record_commands", "yes").unwrap_err();
    assert_eq!(error.to_string(), "RECORD_COMMANDS is `yes`: it must be true or false");
}

#[test]
fn bytes_have_units() {
    let row_cache = |value| with(HostKind::Native, "row_cache_max", value).map(|s| s.row_cache_max);
    assert_eq!(row_cache("8MiB").unwrap(), 8 << 20);
    assert_eq!(row_cache("2048 KiB").unwrap(), 2 << 20);
    assert_eq!(row_cache("2097152").unwrap(), 2 << 20);
    assert!(row_cache("8MB").is_err() && row_cache("-1").is_err() && row_cache("64MiB").is_err());
}

#[test]
fn a_port_alone_means_the_loopback_interface() {
    assert_eq!(with(HostKind::Native, "port", "8080").unwrap().listen, "127.0.0.1:8080");
    assert_eq!(with(HostKind::Native, "listen", "[::]:1").unwrap().listen, "[::]:1");
}

fn mail(settings: &[(&str, &str)]) -> Result<Settings, InvalidSetting> {
    Settings::read(HostKind::Worker, &mut |setting| {
        let set = settings.iter().find(|(name, _)| *name == setting.name);
        set.map(|(_, value)| value.to_string())
    })
}

#[test]
fn a_secret_is_shown_nowhere() {
    let key = ("sendgrid_api_key", "SG.planted");
    let settings = mail(&[key, ("email_from", "a@b.c")]).unwrap();
    assert_eq!(settings.mail.key.as_ref().map(Secret::reveal), Some("SG.planted"));
    assert!(!format!("{settings:?}").contains("planted"));
    for wrong in [" SG.planted", "SG.planted\n", "SG.plänted", "planted"] {
        let wrong = mail(&[("sendgrid_api_key", wrong)]).unwrap_err();
        let told = format!("{wrong} {wrong:?}");
        assert!(!told.contains("nted") && told.contains("SENDGRID_API_KEY"), "{told}");
    }
    assert!(TABLE.iter().all(|setting| setting.unit != Unit::Secret || setting.flag.is_empty()));
}

#[test]
fn secrets_have_their_lengths() {
    let secret = |length: usize| mail(&[("secret", &"x".repeat(length))]);
    for (length, fits) in [(8, false), (15, false), (16, true), (1_024, true), (1_025, false)] {
        assert_eq!(secret(length).is_ok(), fits, "{length}");
    }
    assert_eq!(
        secret(15).unwrap_err().to_string(),
        "FOLDLOG_SECRET is `[hidden]`: it must be 16 to 1024 visible ASCII characters, no spaces"
    );
    assert_eq!(secret(0).unwrap().secret, None, "the host makes one");
    let native = with(HostKind::Native, "secret", "planted").unwrap_err().to_string();
    assert!(native.starts_with("FOLDLOG_SECRET is `[hidden]`"), "{native}");
    // None of them is longer than a secret can be.
    let secrets = TABLE.iter().filter(|setting| setting.unit == Unit::Secret);
    for Setting { name, min, max, .. } in secrets {
        assert!((8..=*max).contains(min) && *max == 1_024, "{name}");
    }
}

#[test]
fn consumers_are_called_inside_only_when_it_is_set() {
    for host in [HostKind::Native, HostKind::Worker] {
        let allowed = |value| with(host, "allow_private_callbacks", value).map(|s| s.open());
        let registry = crate::registry::Registry::standard();
        let stated = |value| crate::commit::settings_text(&allowed(value).unwrap(), &registry);
        assert!(
            !stated("false").contains("allowPrivateCallbacks") && stated("") == stated("false")
        );
        let mut appended = stated("");
        appended.insert_str(appended.len() - 1, ",\"allowPrivateCallbacks\":true");
        assert_eq!(stated("true"), appended);
        assert!(crate::targets::allow_private(&stated("true")));
        assert!(!crate::targets::allow_private(&stated("")));
        assert!(allowed("yes").is_err());
    }
}

#[test]
fn a_key_needs_a_sender_and_a_url_no_password() {
    let error = mail(&[("sendgrid_api_key", "SG.planted")]).unwrap_err();
    assert!(error.to_string().starts_with("EMAIL_FROM is ``: it must be set when"), "{error}");
    for from in ["a", "@b", "a@", "a b@c", "A <a@b.c>", "a@b.c,d@e.f"] {
        assert!(mail(&[("email_from", from)]).is_err(), "{from}");
    }
    for url in
        ["api.sendgrid.com", "ftp://a", "https://", "https:///v3", "https://u:p@a", "http://a?b"]
    {
        assert!(mail(&[("sendgrid_url", url)]).is_err(), "{url}");
    }
    let url = |url: &str| mail(&[("sendgrid_url", url)]).unwrap().mail.url;
    assert_eq!(url("http://127.0.0.1:9/"), "http://127.0.0.1:9");
    assert_eq!(url(""), "https://api.sendgrid.com");
}
