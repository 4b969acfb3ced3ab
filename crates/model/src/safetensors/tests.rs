use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::path::Path;

fn sample(path: &Path, dtype: Dtype) {
    let data: Vec<f32> = (0..12).map(|i| i as f32 * 0.5).collect();
    let tensors = [
        TensorData { name: "b".into(), shape: vec![3, 4], data: &data },
        TensorData { name: "a".into(), shape: vec![2], data: &data[3..5] },
    ];
    write(path, dtype, &tensors, &BTreeMap::from([("format".into(), "pt".into())])).expect("written");
}

/// A file of a header and some bytes of data.
fn raw(path: &Path, header: &str, data: usize) {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.resize(bytes.len() + data, 0);
    std::fs::write(path, bytes).expect("written");
}

#[test]
fn every_dtype_survives_writing_and_reading() {
    let dir = tempfile::tempdir().expect("temp");
    for dtype in [Dtype::F32, Dtype::F16, Dtype::Bf16] {
        let path = dir.path().join("x.safetensors");
        sample(&path, dtype);
        let mut r = Reader::open(&path).expect("valid");
        assert_eq!(r.names().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!((r.shape("b"), r.metadata("format")), (Some(&[3, 4][..]), Some("pt")));
        let mut out = [0f32; 12];
        r.read_f32("b", &mut out).expect("there");
        assert!(out.iter().enumerate().all(|(i, v)| *v == i as f32 * 0.5), "{dtype:?}");
        assert!(matches!(r.read_f32("c", &mut out), Err(FileError::Missing { .. })));
    }
}

#[test]
fn hostile_headers_are_refused() {
    let dir = tempfile::tempdir().expect("temp");
    let path = dir.path().join("x.safetensors");
    let one = |dtype: &str, shape: &str, offsets: &str| {
        format!(r#"{{"a":{{"dtype":"{dtype}","shape":{shape},"data_offsets":{offsets}}}}}"#)
    };
    for (header, data) in [
        (one("F32", "[2]", "[0,8]"), 7),
        (one("F32", "[2]", "[0,8]"), 9),
        (one("F32", "[2]", "[8,0]"), 8),
        (one("F32", "[3]", "[0,8]"), 8),
        (one("F32", "[4294967296,4294967296]", "[0,8]"), 8),
        (one("F32", "[18446744073709551615,2]", "[0,8]"), 8),
        (one("F32", "[-1]", "[0,8]"), 8),
        (one("F32", "[1,1,1,1,1,1,1,1,2]", "[0,8]"), 8),
        (one("F32", "[1]", "[4,8]"), 8),
        (one("F32", "[2]", "[0,18446744073709551615]"), 8),
        ("{".into(), 8),
        ("[]".into(), 0),
        (r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#.into(), 4),
        (r#"{"a":1}"#.into(), 0),
        (r#"{"__metadata__":{"a":1}}"#.into(), 0),
    ] {
        raw(&path, &header, data);
        assert!(matches!(Reader::open(&path), Err(FileError::Format { .. })), "{header}");
    }
    std::fs::write(&path, u64::MAX.to_le_bytes()).expect("written");
    assert!(Reader::open(&path).is_err());
    std::fs::write(&path, [1, 2]).expect("written");
    assert!(Reader::open(&path).is_err());
    raw(&path, &one("I64", "[1]", "[0,8]"), 8);
    let mut r = Reader::open(&path).expect("other dtypes may lie there");
    assert!(matches!(r.read_f32("a", &mut [0.0]), Err(FileError::Dtype { .. })));
}

#[test]
fn a_failed_write_leaves_the_old_file() {
    let dir = tempfile::tempdir().expect("temp");
    let path = dir.path().join("x");
    write_atomically(&path, |out| std::io::Write::write_all(out, b"old")).expect("written");
    let full = write_atomically(&path, |out| {
        std::io::Write::write_all(out, b"new")?;
        Err(std::io::Error::other("disk full"))
    });
    assert!(full.is_err());
    assert_eq!(std::fs::read(&path).expect("there"), b"old");
    assert_eq!(std::fs::read_dir(dir.path()).expect("there").count(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    #[test]
    fn damaged_files_never_panic(at in 0usize..400, byte in any::<u8>(), cut in 0usize..400) {
        let dir = tempfile::tempdir().expect("temp");
        let path = dir.path().join("x.safetensors");
        sample(&path, Dtype::F32);
        let mut bytes = std::fs::read(&path).expect("there");
        let at = at % bytes.len();
        bytes[at] = byte;
        bytes.truncate(bytes.len().saturating_sub(cut % 3 * 50));
        std::fs::write(&path, bytes).expect("written");
        if let Ok(mut r) = Reader::open(&path) {
            let names: Vec<String> = r.names().map(str::to_string).collect();
            for name in names {
                let n = r.shape(&name).map(|s| s.iter().product()).unwrap_or(0);
                let _ = r.read_f32(&name, &mut vec![0f32; n]);
            }
        }
    }
}
