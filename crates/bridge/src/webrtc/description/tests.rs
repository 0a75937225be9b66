use super::*;

/// Chromium 156, an offer.
const CHROMIUM: &str = "v=0\r\no=- 4611731400430051336 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\n\
    a=extmap-allow-mixed\r\na=msid-semantic: WMS\r\nm=application 46243 UDP/DTLS/SCTP webrtc-datachannel\r\n\
    c=IN IP4 192.0.2.2\r\n\
    a=candidate:1467250027 1 udp 2113937151 192.0.2.2 46243 typ host generation 0 network-cost 999\r\n\
    a=candidate:2 1 udp 2113939711 0b1d2c3e-77f1-4f6a-9c55-0123456789ab.local 53203 typ host generation 0\r\n\
    a=candidate:3 1 tcp 1518280447 192.0.2.2 9 typ host tcptype active generation 0\r\n\
    a=ice-ufrag:Jm3K\r\na=ice-pwd:0RzJVP/bJtKqvGF+5c0p9Xre\r\na=ice-options:trickle\r\n\
    a=fingerprint:sha-256 8C:71:1E:5B:6A:4A:2B:AC:0D:7C:DC:9C:0B:9E:28:4E:3B:1A:91:A4:E0:5E:85:1A:3D:25:7A:44:8C:D0:42:5F\r\n\
    a=setup:actpass\r\na=mid:0\r\na=sctp-port:5000\r\na=max-message-size:262144\r\n";
/// libdatachannel, which libtorrent uses, an answer: attributes of the session, lines that end otherwise.
const LIBDATACHANNEL: &str = "v=0\no=rtc 3767197920 0 IN IP4 127.0.0.1\ns=-\nt=0 0\na=group:BUNDLE 0\na=group:LS 0\n\
    a=msid-semantic:WMS *\na=ice-options:ice2,trickle\n\
    a=fingerprint:sha-256 8C:71:1E:5B:6A:4A:2B:AC:0D:7C:DC:9C:0B:9E:28:4E:3B:1A:91:A4:E0:5E:85:1A:3D:25:7A:44:8C:D0:42:5F\n\
    m=application 9 UDP/DTLS/SCTP webrtc-datachannel\nc=IN IP4 0.0.0.0\na=mid:data\na=sendrecv\na=sctp-port:5001\n\
    a=setup:active\na=ice-ufrag:asNh\na=ice-pwd:gKtLfGrJwmCbRsBvNxPqZd\n\
    a=candidate:1 1 UDP 2122317823 192.0.2.7 50000 typ host\na=end-of-candidates\n";

#[test]
fn what_browsers_and_libtorrent_write_is_read() {
    let chromium = Description::parse(CHROMIUM).expect("a description");
    assert_eq!(chromium.credentials.ufrag, "Jm3K");
    assert_eq!(chromium.credentials.password, "0RzJVP/bJtKqvGF+5c0p9Xre");
    assert_eq!((chromium.setup, chromium.sctp_port), (Setup::ActPass, 5000));
    assert_eq!(chromium.max_message_size, Some(262_144));
    assert_eq!(chromium.candidates.len(), 1, "neither a name nor TCP");
    assert!(!chromium.ours);
    let other = Description::parse(LIBDATACHANNEL).expect("a description");
    assert_eq!(
        (other.mid.as_str(), other.setup, other.sctp_port),
        ("data", Setup::Active, 5001)
    );
    assert_eq!(other.max_message_size, Some(65_536), "RFC 8841's default");
    assert_eq!(other.fingerprint, chromium.fingerprint);
}

#[test]
fn what_is_written_is_read_again() {
    for sdp in [CHROMIUM, LIBDATACHANNEL] {
        let description = Description {
            ours: true,
            ..Description::parse(sdp).expect("a description")
        };
        assert_eq!(Description::parse(&description.to_string()), Ok(description));
    }
}

#[test]
fn what_has_no_data_channel_or_lacks_something_is_refused() {
    let without = |name: &str| {
        let lines = CHROMIUM.lines().filter(|line| !line.starts_with(name));
        Description::parse(&lines.collect::<Vec<_>>().join("\r\n"))
    };
    assert_eq!(without("m="), Err(DescriptionError::NoDataChannel));
    for name in ["a=ice-ufrag", "a=ice-pwd", "a=fingerprint", "a=setup"] {
        assert!(matches!(without(name), Err(DescriptionError::Lacks(_))), "{name}");
    }
    assert!(without("a=candidate").is_ok(), "its checks show where it is");
    let strange = CHROMIUM.replace("a=ice-ufrag:Jm3K", "a=ice-ufrag:Jm3K a=setup:active");
    assert!(Description::parse(&strange).is_err());
    assert_eq!(Description::parse(""), Err(DescriptionError::NoDataChannel));
}

#[test]
fn a_description_without_end_is_bounded() {
    let long = format!("{CHROMIUM}{}", "a=x:y\r\n".repeat(3000));
    assert_eq!(Description::parse(&long), Err(DescriptionError::TooLong));
    let candidates = "a=candidate:7 1 udp 1 192.0.2.7 5000 typ host\r\n".repeat(100);
    let many = Description::parse(&format!("{CHROMIUM}{candidates}")).expect("a description");
    assert_eq!(many.candidates.len(), MAX_CANDIDATES);
}

#[test]
fn new_credentials_are_long_enough_and_of_the_right_characters() {
    let mut next = 0_u8;
    let credentials = Credentials::generate(|bytes| {
        bytes.fill_with(|| {
            next = next.wrapping_add(31);
            next
        });
    });
    assert_eq!(credentials.ufrag, "1f3e5d7c9bba");
    assert_eq!(credentials.password.len(), 48);
    assert!(credentials.password.bytes().all(is_ice_char));
}
