//! Shape and strides of a product.

/// Shape and strides of the product `out[i][j] += sum over (o, k) of a[i, o, k] * b[o * inner + k][j]`.
///
/// `a` is read with strides, and `b` is dense and row-major. With strides one loop computes plain products,
/// transposed products, and convolutions without a patch matrix. Lengths and distances count elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Product {
    /// Rows of `out`.
    pub rows: usize,
    /// Columns of `out` and of `b`.
    pub columns: usize,
    /// Outer steps of the summation.
    pub outer: usize,
    /// Inner steps of the summation, per outer step.
    pub inner: usize,
    /// Distance in `a` between rows.
    pub a_row: usize,
    /// Distance in `a` between outer steps.
    pub a_outer: usize,
    /// Distance in `a` between inner steps.
    pub a_inner: usize,
    /// Distance in `out` between rows. Rows may overlap; each is added in turn.
    pub out_row: usize,
}

impl Product {
    /// `out[rows][columns] += a[rows][depth] * b[depth][columns]`, all dense.
    pub fn plain(rows: usize, depth: usize, columns: usize) -> Self {
        Product {
            rows,
            columns,
            outer: 1,
            inner: depth,
            a_row: depth,
            a_outer: 0,
            a_inner: 1,
            out_row: columns,
        }
    }

    /// `out[rows][columns] += transpose(a[depth][rows]) * b[depth][columns]`, all dense.
    pub fn transposed(rows: usize, depth: usize, columns: usize) -> Self {
        Product {
            a_row: 1,
            a_inner: rows,
            ..Product::plain(rows, depth, columns)
        }
    }
}
