//! Compiles `proto/` without protoc, and keeps the descriptors for reflection.

use std::path::{Path, PathBuf};
use std::{env, fs, io};

use prost::Message as _;
use tonic_prost_build::FileDescriptorSet;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let root = PathBuf::from("../../proto");
    println!("cargo:rerun-if-changed={}", root.display());
    let mut files = Vec::new();
    collect(&root, &mut files)?;
    files.sort();

    let descriptors = protox::compile(&files, [&root])?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("descriptors.bin"), descriptors.encode_to_vec())?;
    let mut config = tonic_prost_build::Config::new();
    config.enable_type_names();
    tonic_prost_build::configure()
        .btree_map(".")
        .codec_path("crate::codec::Codec")
        .compile_fds_with_config(descriptors.clone(), config)?;
    encoded_server(&out, descriptors)
}

/// Generates the server of the evaluation service once more: with responses that are encoded already.
fn encoded_server(out: &Path, mut descriptors: FileDescriptorSet) -> Result<(), Box<dyn std::error::Error>> {
    descriptors.file.retain(|file| file.package() == "burgee.evaluation.v1");
    let mut builder = tonic_prost_build::configure()
        .build_client(false)
        .codec_path("crate::encoded::EncodedCodec")
        .extern_path(".burgee.v1", "crate::v1")
        .extern_path(".burgee.evaluation.v1", "crate::evaluation::v1");
    for method in descriptors.file.iter().flat_map(|file| &file.service).flat_map(|service| &service.method) {
        let response = method.output_type();
        let name = response.rsplit('.').next().unwrap_or_default();
        let encoded = format!("crate::encoded::Encoded<crate::evaluation::v1::{name}>");
        builder = builder.extern_path(response, encoded);
    }
    let folder = out.join("encoded");
    fs::create_dir_all(&folder)?;
    builder.out_dir(folder).compile_fds(descriptors)?;
    Ok(())
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "proto") {
            files.push(path);
        }
    }
    Ok(())
}
