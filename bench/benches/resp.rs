//! The codec: requests decoded, replies encoded.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use net::{Decoded, Decoder, Encoder, Protocol};

/// `count` requests in a row, as a pipeline sends them.
fn pipeline(request: &[u8], count: usize) -> Vec<u8> {
    request.repeat(count)
}

fn decode(c: &mut Criterion) {
    let value = "x".repeat(100);
    let cases = [
        ("ping", b"*1\r\n$4\r\nPING\r\n".to_vec()),
        ("get", b"*2\r\n$3\r\nGET\r\n$16\r\nkey:000000000012\r\n".to_vec()),
        (
            "set_100",
            format!("*3\r\n$3\r\nSET\r\n$16\r\nkey:000000000012\r\n$100\r\n{value}\r\n")
                .into_bytes(),
        ),
        ("inline_ping", b"PING\r\n".to_vec()),
    ];
    let mut group = c.benchmark_group("decode");
    for (name, request) in cases {
        let bytes = pipeline(&request, 16);
        group.throughput(Throughput::Elements(16));
        group.bench_function(name, |b| {
            let mut decoder = Decoder::new();
            b.iter(|| {
                let mut rest = &bytes[..];
                while !rest.is_empty() {
                    let decoded = decoder.decode(black_box(rest), true);
                    let Ok(Decoded::Command { consumed }) = decoded else {
                        unreachable!("the pipeline is whole")
                    };
                    black_box(decoder.arguments(rest).last());
                    rest = &rest[consumed..];
                }
            });
        });
    }
    group.finish();
}

fn encode(c: &mut Criterion) {
    let value = vec![b'x'; 100];
    let mut group = c.benchmark_group("encode");
    let mut out = Vec::with_capacity(4096);
    group.bench_function("simple_ok", |b| {
        b.iter(|| {
            out.clear();
            Encoder::new(&mut out, Protocol::Resp2).simple(black_box("OK"));
        });
    });
    group.bench_function("bulk_100", |b| {
        b.iter(|| {
            out.clear();
            Encoder::new(&mut out, Protocol::Resp2).bulk(black_box(&value));
        });
    });
    group.bench_function("integer", |b| {
        b.iter(|| {
            out.clear();
            Encoder::new(&mut out, Protocol::Resp3).integer(black_box(1_234_567));
        });
    });
    group.finish();
}

criterion_group!(benches, decode, encode);
criterion_main!(benches);
