//! Strided operands, checked once at the door so that kernels may use raw pointers.

/// A matrix to read: element `(i, j)` lies at `i * row_stride + j * col_stride`.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    data: &'a [f32],
    pub(crate) row_stride: usize,
    pub(crate) col_stride: usize,
}

impl<'a> View<'a> {
    /// A row-major `rows` x `cols` matrix with row stride `ld`.
    pub(crate) fn rows(data: &'a [f32], rows: usize, cols: usize, ld: usize) -> Self {
        assert!(rows <= 1 || ld >= cols, "matmul: row stride {ld} is less than the {cols} columns");
        let need = if rows == 0 || cols == 0 { 0 } else { (rows - 1) * ld + cols };
        assert!(
            data.len() >= need,
            "matmul: {rows} x {cols} with stride {ld} needs {need} elements, got {}",
            data.len()
        );
        View { data, row_stride: ld, col_stride: 1 }
    }

    /// The same matrix, rows as columns.
    pub(crate) fn transposed(self) -> Self {
        View { data: self.data, row_stride: self.col_stride, col_stride: self.row_stride }
    }

    /// The matrix from element `(i, j)` on. An offset past the end (of an empty matrix) is the empty slice.
    pub(crate) fn from(self, i: usize, j: usize) -> Self {
        let at = (i * self.row_stride + j * self.col_stride).min(self.data.len());
        View { data: &self.data[at..], ..self }
    }

    /// Address of the first element.
    pub(crate) fn ptr(&self) -> *const f32 {
        self.data.as_ptr()
    }
}

/// A row-major matrix to write, shared by tasks that write disjoint parts.
#[derive(Clone, Copy)]
pub(crate) struct Out {
    ptr: *mut f32,
    pub(crate) ld: usize,
}

// SAFETY: tasks write disjoint elements; see `gemm`.
unsafe impl Send for Out {}
// SAFETY: as above.
unsafe impl Sync for Out {}

impl Out {
    /// An `m` x `n` matrix with row stride `ld`.
    pub(crate) fn new(data: &mut [f32], m: usize, n: usize, ld: usize) -> Self {
        assert!(m <= 1 || ld >= n, "matmul: output row stride {ld} is less than the {n} columns");
        let need = if m == 0 || n == 0 { 0 } else { (m - 1) * ld + n };
        assert!(
            data.len() >= need,
            "matmul: output {m} x {n} with stride {ld} needs {need} elements, got {}",
            data.len()
        );
        Out { ptr: data.as_mut_ptr(), ld }
    }

    /// A matrix at an address.
    ///
    /// # Safety
    /// Every element that will be written lies inside one allocation that outlives the use.
    pub(crate) unsafe fn from_raw(ptr: *mut f32, ld: usize) -> Self {
        Out { ptr, ld }
    }

    /// Address of element `(i, j)`, which the caller knows to be inside.
    pub(crate) fn ptr(&self, i: usize, j: usize) -> *mut f32 {
        self.ptr.wrapping_add(i * self.ld + j)
    }

    /// The matrix from element `(i, j)` on.
    pub(crate) fn from(self, i: usize, j: usize) -> Self {
        Out { ptr: self.ptr(i, j), ld: self.ld }
    }
}
