//! Other libraries' `sgemm`, loaded at run time.

use std::ffi::{CString, c_char, c_int, c_void};

unsafe extern "C" {
    fn dlopen(name: *const c_char, flags: c_int) -> *mut c_void;
    fn dlsym(library: *mut c_void, symbol: *const c_char) -> *mut c_void;
}

/// Which operand is transposed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    Nn,
    Nt,
    Tn,
}

type DnnlSgemm = unsafe extern "C" fn(
    c_char,
    c_char,
    i64,
    i64,
    i64,
    f32,
    *const f32,
    i64,
    *const f32,
    i64,
    f32,
    *mut f32,
    i64,
) -> c_int;
type Cblas32 = unsafe extern "C" fn(
    c_int,
    c_int,
    c_int,
    i32,
    i32,
    i32,
    f32,
    *const f32,
    i32,
    *const f32,
    i32,
    f32,
    *mut f32,
    i32,
);
type Cblas64 = unsafe extern "C" fn(
    c_int,
    c_int,
    c_int,
    i64,
    i64,
    i64,
    f32,
    *const f32,
    i64,
    *const f32,
    i64,
    f32,
    *mut f32,
    i64,
);

enum Entry {
    Dnnl(DnnlSgemm),
    Blas32(Cblas32),
    Blas64(Cblas64),
}

/// A loaded library.
pub struct Peer {
    pub name: String,
    entry: Entry,
}

impl Peer {
    /// The libraries named in `OPENLEDGER_PEERS`; those that cannot be loaded are left out with a word on stderr.
    pub fn from_environment() -> Vec<Peer> {
        let names = std::env::var("OPENLEDGER_PEERS").unwrap_or_default();
        names.split(':').filter(|n| !n.is_empty()).filter_map(Peer::load).collect()
    }

    fn load(file: &str) -> Option<Peer> {
        const RTLD_NOW: c_int = 2;
        let path = CString::new(file).ok()?;
        // SAFETY: a C string; the library's initialisers are trusted by whoever names it.
        let library = unsafe { dlopen(path.as_ptr(), RTLD_NOW) };
        if library.is_null() {
            eprintln!("cannot load {file}");
            return None;
        }
        let find = |symbol: &str| {
            let symbol = CString::new(symbol).expect("no NUL");
            // SAFETY: an open library and a C string.
            let address = unsafe { dlsym(library, symbol.as_ptr()) };
            (!address.is_null()).then_some(address)
        };
        // SAFETY: these symbols have these signatures in the libraries that export them.
        let entry = unsafe {
            if let Some(f) = find("dnnl_sgemm") {
                Entry::Dnnl(std::mem::transmute::<*mut c_void, DnnlSgemm>(f))
            } else if let Some(f) = find("scipy_cblas_sgemm64_").or_else(|| find("cblas_sgemm64_")) {
                Entry::Blas64(std::mem::transmute::<*mut c_void, Cblas64>(f))
            } else if let Some(f) = find("scipy_cblas_sgemm").or_else(|| find("cblas_sgemm")) {
                Entry::Blas32(std::mem::transmute::<*mut c_void, Cblas32>(f))
            } else {
                eprintln!("{file} exports no sgemm");
                return None;
            }
        };
        let name = file.rsplit('/').next().unwrap_or(file).split('.').next().unwrap_or(file);
        Some(Peer { name: name.to_string(), entry })
    }

    /// `c = a b` in the given form, contiguous row-major.
    pub fn sgemm(&self, form: Form, m: usize, n: usize, k: usize, a: &[f32], b: &[f32], c: &mut [f32]) {
        assert!(a.len() == m * k && b.len() == k * n && c.len() == m * n);
        let (lda, ldb) = (if form == Form::Tn { m } else { k }, if form == Form::Nt { k } else { n });
        let (pa, pb, pc) = (a.as_ptr(), b.as_ptr(), c.as_mut_ptr());
        let (ta, tb) = (form == Form::Tn, form == Form::Nt);
        const ROW_MAJOR: c_int = 101;
        let flag = |t: bool| if t { 112 } else { 111 };
        let letter = |t: bool| if t { b'T' as c_char } else { b'N' as c_char };
        // SAFETY: slices of the shapes named.
        unsafe {
            match self.entry {
                Entry::Dnnl(f) => {
                    let (m, n, k, lda, ldb, ldc) =
                        (m as i64, n as i64, k as i64, lda as i64, ldb as i64, n as i64);
                    f(letter(ta), letter(tb), m, n, k, 1.0, pa, lda, pb, ldb, 0.0, pc, ldc);
                }
                Entry::Blas32(f) => {
                    let (m, n, k, lda, ldb, ldc) =
                        (m as i32, n as i32, k as i32, lda as i32, ldb as i32, n as i32);
                    f(ROW_MAJOR, flag(ta), flag(tb), m, n, k, 1.0, pa, lda, pb, ldb, 0.0, pc, ldc);
                }
                Entry::Blas64(f) => {
                    let (m, n, k, lda, ldb, ldc) =
                        (m as i64, n as i64, k as i64, lda as i64, ldb as i64, n as i64);
                    f(ROW_MAJOR, flag(ta), flag(tb), m, n, k, 1.0, pa, lda, pb, ldb, 0.0, pc, ldc);
                }
            }
        }
    }
}
