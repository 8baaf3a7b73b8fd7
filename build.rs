//! Embeds the page, which `make page` builds in `web/dist`. Without it the program is built without the page.

use std::collections::hash_map::DefaultHasher;
use std::fmt::Write as _;
use std::hash::{Hash, Hasher};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

use flate2::Compression;
use flate2::write::GzEncoder;

fn main() -> io::Result<()> {
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    let folder = root.join("web/dist");
    // A folder that is not there would have everything built again each time: `make page` touches this file instead.
    println!("cargo:rerun-if-changed=build.rs");
    let mut files = Vec::new();
    if folder.join("index.html").is_file() {
        println!("cargo:rerun-if-changed=web/dist");
        collect(&folder, &mut files)?;
        files.sort();
    }
    let mut table = String::from("&[\n");
    for (number, file) in files.iter().enumerate() {
        let content = fs::read(file)?;
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(&content)?;
        let packed = encoder.finish()?;
        let gzip = packed.len() < content.len();
        let embedded = out.join(format!("asset-{number}"));
        fs::write(&embedded, if gzip { &packed } else { &content })?;
        let path = file.strip_prefix(&folder).map_err(io::Error::other)?.to_string_lossy().replace('\\', "/");
        let mut hasher = DefaultHasher::new();
        content.hash(&mut hasher);
        let tag = format!("{:016x}", hasher.finish());
        writeln!(
            table,
            "Asset {{ path: {path:?}, tag: {tag:?}, gzip: {gzip}, content: include_bytes!({:?}) }},",
            embedded.to_string_lossy()
        )
        .map_err(io::Error::other)?;
    }
    table.push(']');
    fs::write(out.join("assets.rs"), table)
}

/// Every file below `folder`.
fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() { collect(&path, files)? } else { files.push(path) }
    }
    Ok(())
}
