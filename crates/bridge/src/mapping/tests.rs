//! With routers that are played: a NAT-PMP one (RFC 6886), and a `UPnP` one.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::*;

#[test]
fn the_router_is_read_from_the_table() {
    let table =
        "Iface\tDestination\tGateway \tFlags\nlo\t0000007F\t00000000\t1\neth0\t00000000\t0101A8C0\t0003\n";
    assert_eq!(default_route(table), Some(Ipv4Addr::new(192, 168, 1, 1)));
    for table in [
        "",
        "Iface",
        "Iface\neth0\t00000000\t00000000",
        "Iface\neth0\t00000000\tx",
    ] {
        assert_eq!(default_route(table), None, "{table}");
    }
}

#[test]
fn nobody_is_asked_to_pass_on_what_nobody_else_is_to_reach_or_everybody_reaches() {
    for (listen, needed) in [
        ("[::]:1", true),
        ("0.0.0.0:1", true),
        ("192.168.1.2:1", true),
        ("127.0.0.1:1", false),
        ("[::1]:1", false),
        ("1.2.3.4:1", false),
        ("[2001:db8::1]:1", false),
    ] {
        assert_eq!(is_needed(listen.parse().expect("an address")), needed, "{listen}");
    }
}

/// A router that speaks NAT-PMP alone, at this address. Says which ports it was asked for, and for how long.
async fn nat_pmp(at: Ipv4Addr) -> UnboundedReceiver<(u8, u16, u32)> {
    let socket = UdpSocket::bind((at, 5351))
        .await
        .expect("nobody else is at this address");
    let (asked, news) = unbounded_channel();
    tokio::spawn(async move {
        let mut bytes = [0; 1100];
        loop {
            let (length, from) = socket.recv_from(&mut bytes).await.expect("an open socket");
            let mut answer = vec![0, bytes[1] | 0x80, 0, 0];
            if bytes[0] != 0 {
                // It knows no other version.
                answer[3] = 1;
                answer.extend([0; 4]);
            } else if length >= 12 {
                let port = u16::from_be_bytes([bytes[4], bytes[5]]);
                let lifetime = u32::from_be_bytes([bytes[8], bytes[9], bytes[10], bytes[11]]);
                answer.extend([0, 0, 0, 9]);
                answer.extend_from_slice(&bytes[4..6]);
                answer.extend(if lifetime == 0 {
                    [0; 2]
                } else {
                    [bytes[4], bytes[5]]
                });
                answer.extend_from_slice(&bytes[8..12]);
                asked.send((bytes[1], port, lifetime)).ok();
            }
            socket.send_to(&answer, from).await.expect("it is answered");
        }
    });
    news
}

#[tokio::test]
async fn ports_are_passed_on_by_nat_pmp_and_taken_back() {
    let router = Ipv4Addr::new(127, 0, 77, 1);
    let mut asked = nat_pmp(router).await;
    let routers = Routers {
        nearest: Some((router, Ipv4Addr::LOCALHOST)),
        upnp: SocketAddr::new([127, 0, 77, 2].into(), 1900),
    };
    let mappings = Mappings::keep(vec![Port::Tcp(7001), Port::Udp(7002)], routers);
    assert_eq!(asked.recv().await, Some((2, 7001, LIFETIME)));
    assert_eq!(asked.recv().await, Some((1, 7002, LIFETIME)));
    mappings.stop().await;
    assert_eq!(asked.recv().await, Some((2, 7001, 0)));
    assert_eq!(asked.recv().await, Some((1, 7002, 0)));
}

/// A `UPnP` router at this address. Says what it was asked for over HTTP.
async fn upnp(at: Ipv4Addr) -> (SocketAddr, UnboundedReceiver<String>) {
    let (search, http) = (UdpSocket::bind((at, 0)).await, TcpListener::bind((at, 0)).await);
    let (search, http) = (search.expect("a port"), http.expect("a port"));
    let address = search.local_addr().expect("bound");
    let place = http.local_addr().expect("bound");
    tokio::spawn(async move {
        let mut bytes = [0; 1500];
        while let Ok((_, from)) = search.recv_from(&mut bytes).await {
            let answer = format!(
                "HTTP/1.1 200 OK\r\nST: urn:schemas-upnp-org:device:InternetGatewayDevice:1\r\nLOCATION: http://{place}/root.xml\r\n\r\n"
            );
            search
                .send_to(answer.as_bytes(), from)
                .await
                .expect("it is answered");
        }
    });
    let (asked, news) = unbounded_channel();
    tokio::spawn(async move {
        while let Ok((stream, _)) = http.accept().await {
            tokio::spawn(serve(stream, asked.clone()));
        }
    });
    (address, news)
}

async fn serve(mut stream: tokio::net::TcpStream, asked: UnboundedSender<String>) {
    let mut request = Vec::new();
    let text = loop {
        let mut bytes = [0; 4096];
        let Ok(length @ 1..) = stream.read(&mut bytes).await else {
            return;
        };
        request.extend_from_slice(&bytes[..length]);
        let text = String::from_utf8_lossy(&request).into_owned();
        if text.starts_with("GET") && text.contains("\r\n\r\n") || text.contains("</s:Envelope>") {
            break text;
        }
    };
    let body = if text.starts_with("GET /root.xml") {
        "<root xmlns=\"urn:schemas-upnp-org:device-1-0\"><device><deviceType>urn:schemas-upnp-org:device:WANConnectionDevice:1</deviceType>\
         <serviceList><service><serviceType>urn:schemas-upnp-org:service:WANIPConnection:1</serviceType>\
         <controlURL>/control</controlURL><SCPDURL>/scpd.xml</SCPDURL></service></serviceList></device></root>"
            .to_owned()
    } else if text.starts_with("GET") {
        let action = |name: &str, arguments: &[&str]| {
            let argument =
                |name| format!("<argument><name>{name}</name><direction>in</direction></argument>");
            let arguments: Vec<_> = arguments.iter().map(argument).collect();
            format!(
                "<action><name>{name}</name><argumentList>{}</argumentList></action>",
                arguments.concat()
            )
        };
        let key = ["NewRemoteHost", "NewExternalPort", "NewProtocol"];
        let rest = [
            "NewInternalPort",
            "NewInternalClient",
            "NewEnabled",
            "NewPortMappingDescription",
            "NewLeaseDuration",
        ];
        format!(
            "<scpd><actionList>{}{}</actionList></scpd>",
            action("AddPortMapping", &[&key[..], &rest].concat()),
            action("DeletePortMapping", &key)
        )
    } else {
        let action = if text.contains("DeletePortMapping") {
            "DeletePortMapping"
        } else {
            "AddPortMapping"
        };
        asked.send(text).ok();
        format!(
            "<s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\"><s:Body><u:{action}Response \
             xmlns:u=\"urn:schemas-upnp-org:service:WANIPConnection:1\"/></s:Body></s:Envelope>"
        )
    };
    let answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(answer.as_bytes()).await.ok();
}

#[tokio::test]
async fn ports_are_passed_on_by_upnp_where_nothing_else_answers() {
    let (place, mut asked) = upnp(Ipv4Addr::new(127, 0, 77, 3)).await;
    let routers = Routers {
        nearest: None,
        upnp: place,
    };
    let mappings = Mappings::keep(vec![Port::Tcp(7003)], routers);
    let request = asked.recv().await.expect("it is asked");
    for part in [
        "<NewExternalPort>7003</NewExternalPort>",
        "<NewProtocol>TCP</NewProtocol>",
        "<NewInternalPort>7003</NewInternalPort>",
        "<NewLeaseDuration>3600</NewLeaseDuration>",
    ] {
        assert!(request.contains(part), "{part} in {request}");
    }
    mappings.stop().await;
    let request = asked.recv().await.expect("it is asked");
    assert!(
        request.contains("DeletePortMapping") && request.contains("<NewExternalPort>7003<"),
        "{request}"
    );
}
