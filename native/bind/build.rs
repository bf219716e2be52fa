//! Hands the digest of the workspace's sources to the library, which states it.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

const CRATES: [&str; 6] = ["bind", "codec", "curve", "simd", "training", "wire"];

fn main() -> Result<(), Box<dyn Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut found = vec![PathBuf::from("Cargo.lock")];
    for name in CRATES {
        // Folders too, so that a file that is added is seen.
        println!(
            "cargo:rerun-if-changed={}",
            root.join(name).join("src").display()
        );
        collect(&root, Path::new(name), &mut found)?;
    }
    found.sort();
    let mut whole = Sha256::new();
    whole.update(b"atoll/native/v1\0");
    for path in &found {
        println!("cargo:rerun-if-changed={}", root.join(path).display());
        let name = path
            .to_str()
            .ok_or("a name that is no text")?
            .replace('\\', "/");
        whole.update(name.as_bytes());
        whole.update([0]);
        whole.update(Sha256::digest(fs::read(root.join(path))?));
    }
    let digest: String = whole
        .finalize()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    println!("cargo:rustc-env=ATOLL_SOURCE_DIGEST={digest}");
    Ok(())
}

/// Collect the sources below a folder of the workspace, by their names from its root.
fn collect(root: &Path, folder: &Path, found: &mut Vec<PathBuf>) -> Result<(), Box<dyn Error>> {
    for entry in fs::read_dir(root.join(folder))? {
        let entry = entry?;
        let path = folder.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            collect(root, &path, found)?;
        } else if path
            .extension()
            .is_some_and(|end| end == "rs" || end == "proto")
        {
            found.push(path);
        }
    }
    Ok(())
}
