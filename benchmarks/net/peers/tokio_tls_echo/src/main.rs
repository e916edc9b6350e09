// Tokio echo server under OpenSSL's TLS: tokio_echo with tokio_openssl.  tokio_tls_echo PORT PEM
use openssl::ssl::{Ssl, SslAcceptor, SslFiletype, SslMethod};
use std::pin::Pin;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_openssl::SslStream;

fn main() {
    let port: u16 = std::env::args().nth(1).unwrap().parse().unwrap();
    let pem = std::env::args().nth(2).unwrap();
    let mut builder = SslAcceptor::mozilla_modern_v5(SslMethod::tls()).unwrap();
    builder.set_certificate_chain_file(&pem).unwrap();
    builder.set_private_key_file(&pem, SslFiletype::PEM).unwrap();
    let acceptor = builder.build();
    let rt = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
    rt.block_on(async move {
        let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            let _ = socket.set_nodelay(true);
            let mut stream = SslStream::new(Ssl::new(acceptor.context()).unwrap(), socket).unwrap();
            tokio::spawn(async move {
                if Pin::new(&mut stream).accept().await.is_err() {
                    return;
                }
                let mut buf = vec![0u8; 64 << 10];
                loop {
                    match stream.read(&mut buf).await {
                        Ok(0) | Err(_) => return,
                        Ok(n) => {
                            if stream.write_all(&buf[..n]).await.is_err() {
                                return;
                            }
                        }
                    }
                }
            });
        }
    });
}
