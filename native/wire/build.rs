//! Compiles `proto/wire.proto` without `protoc`.

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto/wire.proto");
    let files = protox::compile(["proto/wire.proto"], ["proto"])?;
    tonic_prost_build::configure()
        .build_transport(false)
        .bytes(".atoll.wire.v1.Frame.body")
        .bytes(".atoll.wire.v1.CallRequest.body")
        .bytes(".atoll.wire.v1.CallResponse.body")
        .codec_path("crate::codec::EnvelopeCodec")
        .compile_fds(files)?;
    Ok(())
}
